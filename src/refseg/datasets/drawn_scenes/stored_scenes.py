"""Store of drawn scenes on disk, so that training need not draw them again: arrays that all processes map.

A scene takes 64 KB: its image and id map; masks are look-ups. The folder is a function of the scenes' settings alone
and is written once, under another name first, so that an interrupted drawing leaves nothing that looks complete.
"""

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.drawn_scenes.balanced_sentences import BLOCK
from refseg.datasets.drawn_scenes.dataset import ATTRIBUTES, KIND_SHARES, TYPE_SHARES, VERSION, DrawnScenes
from refseg.datasets.drawn_scenes.layout import TIERS
from refseg.datasets.drawn_scenes.programs import STEPS, World, evaluate_steps
from refseg.errors import InvalidInput, UnwritableOutput
from refseg.files.atomic import all_or_nothing, remove_leftovers
from refseg.files.cache import cache_folder
from refseg.samples import Expression

SLOTS = max(tier.objects[1] for tier in TIERS.values())  # objects that a scene can have
TYPES, KINDS = tuple(TYPE_SHARES), ("", *KIND_SHARES)
LAYOUT = 2  # of the arrays; raised when they change, so that older ones are drawn again


@dataclass(frozen=True)
class StoredScenes:
    """Scenes 0 ... N - 1 of a split, E expressions in all.

    Attributes:
        images: (N, H, W, 3) uint8.
        id_maps: (N, H, W) uint8, 0 = background, k = object k.
        centres, radii: (N, SLOTS, 2) and (N, SLOTS) float32 in pixels; 0 in empty slots.
        attributes: (N, SLOTS, 4) int64.
        counts: (N,) number of objects.
        first: (N + 1,) scene i has expressions first[i] ... first[i + 1] - 1.
        referents: (E,) uint16, bit k = object k + 1.
        steps: (E, len(STEPS)) uint16, the sets that each expression's program goes through, as `referents`.
        types, kinds: (E,) uint8, indices into TYPES and KINDS.
        texts: the sentences.
    """

    images: NDArray[np.uint8]
    id_maps: NDArray[np.uint8]
    centres: NDArray[np.float32]
    radii: NDArray[np.float32]
    attributes: NDArray[np.int64]
    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    referents: NDArray[np.uint16]
    steps: NDArray[np.uint16]
    types: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.images)


def stored_scenes(
    scenes: DrawnScenes, workers: int, progress: Callable[[int], None] = lambda drawn: None
) -> StoredScenes:
    """Opens the stored scenes; `workers` processes draw them first if they are not there yet.

    Args:
        scenes: which scenes.
        workers: processes that draw, one block of 64 at a time.
        progress: called with the number of scenes drawn since the last call.

    Raises:
        UnwritableOutput: if the cache folder cannot be written or has no room.
        InvalidInput: if a process that draws ended early.
    """
    name = f"v{VERSION}.{LAYOUT}-{scenes.split}-{scenes.tier}-{scenes.side}-seed{scenes.seed}-{len(scenes)}"
    folder = cache_folder() / "drawn_scenes" / name
    remove_leftovers(folder.parent)
    if not folder.exists():
        try:
            with (
                _drawing_processes(min(workers, _blocks(scenes))) as map_blocks,
                all_or_nothing(folder.parent) as staging,
            ):
                _draw(scenes, staging / name, map_blocks, progress)
                if folder.exists():  # another process was faster, and others may read already
                    shutil.rmtree(staging / name)
        except UnwritableOutput as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            raise UnwritableOutput(
                f"cannot keep drawn scenes in {folder.parent} ({reason}); set REFSEG_CACHE to a folder with "
                f"{len(scenes) * scenes.side**2 * 4 / 1e9:.1f} GB of room"
            ) from error
    return _open(folder)


def _open(folder: Path) -> StoredScenes:
    def array(name: str) -> NDArray:
        return np.load(
            folder / f"{name}.npy", mmap_mode="r" if name in ("images", "id_maps") else None, allow_pickle=False
        )

    arrays = {field.name: array(field.name) for field in fields(StoredScenes) if field.name != "texts"}
    return StoredScenes(**arrays, texts=(folder / "texts.txt").read_text(encoding="utf-8").splitlines())


def _blocks(scenes: DrawnScenes) -> int:
    return (len(scenes) + BLOCK - 1) // BLOCK


def _draw(
    scenes: DrawnScenes, folder: Path, map_blocks: Callable[..., Iterator[dict]], progress: Callable[[int], None]
) -> None:
    folder.mkdir(parents=True)
    count, side = len(scenes), scenes.side
    shapes = {"images": (count, side, side, 3), "id_maps": (count, side, side)}
    for name, shape in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape)
        _allocate(folder / f"{name}.npy")
    settings = (scenes.split, count, scenes.tier, side, scenes.seed)
    blocks = _blocks(scenes)
    parts = []
    for part in map_blocks(_draw_one, [folder] * blocks, [settings] * blocks, range(blocks)):
        parts.append(part)
        progress(len(part["counts"]))
    texts = "\n".join(text for part in parts for text in part.pop("texts")) + "\n"
    (folder / "texts.txt").write_text(texts, encoding="utf-8")
    sentences = np.concatenate([part.pop("sentences") for part in parts])
    np.save(folder / "first.npy", np.concatenate([[0], np.cumsum(sentences)]))
    for name in parts[0]:
        np.save(folder / f"{name}.npy", np.concatenate([part[name] for part in parts]))


@contextmanager
def _drawing_processes(count: int) -> Iterator[Callable[..., Iterator[dict]]]:
    """Yields `map`, of this process alone or over several processes.

    Raises:
        InvalidInput: if a process ended early: each runs the user's script from its first line, or memory was short.
    """
    if count == 1:
        yield map
        return
    try:
        with ProcessPoolExecutor(count, get_context("spawn"), initializer=_follow_parent) as pool:
            pool.submit(os.getpid).result()  # where scripts are run again, this fails before anything is written
            yield pool.map
    except BrokenProcessPool as error:
        raise InvalidInput(
            "the processes that draw scenes ended before they were done. In a script, write the call below "
            "`if __name__ == '__main__':`, since each process runs the script again; otherwise memory was short: "
            "take fewer scenes"
        ) from error


def _follow_parent() -> None:
    """Makes a worker end with its parent, however that ends, and ignore signals that go to the whole group."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _allocate(file: Path) -> None:
    """Allocates a file's blocks on disk: where a mapped file finds none, the process is killed."""
    with file.open("rb+") as content:
        try:
            os.posix_fallocate(content.fileno(), 0, file.stat().st_size)
        except AttributeError:  # not on this system
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # others: not on this disk


def _draw_one(folder: Path, settings: tuple[str, int, str, int, int], block: int) -> dict:
    """Draws a block into the memory-mapped images; returns everything else."""
    scenes = DrawnScenes(*settings)
    images = np.load(folder / "images.npy", mmap_mode="r+", allow_pickle=False)
    id_maps = np.load(folder / "id_maps.npy", mmap_mode="r+", allow_pickle=False)
    numbers = range(block * BLOCK, min((block + 1) * BLOCK, len(scenes)))
    count = len(numbers)
    part: dict[str, NDArray] = {
        "centres": np.zeros((count, SLOTS, 2), np.float32),
        "radii": np.zeros((count, SLOTS), np.float32),
        "attributes": np.zeros((count, SLOTS, len(ATTRIBUTES)), np.int64),
        "counts": np.zeros(count, np.int64),
        "sentences": np.zeros(count, np.int64),
    }
    expressions: list[Expression] = []
    steps: list[tuple[int, ...]] = []
    for row, number in enumerate(numbers):
        scene = scenes[number]
        images[number], id_maps[number] = scene.image, scene.id_map
        things = len(scene.radii)
        part["counts"][row], part["sentences"][row] = things, len(scene.expressions)
        part["centres"][row, :things] = scene.centres
        part["radii"][row, :things] = scene.radii
        part["attributes"][row, :things] = scene.attributes
        expressions.extend(scene.expressions)
        world = World(scene.layout)
        steps.extend(evaluate_steps(program, world) for program in scene.programs)
    referents = [sum(1 << (k - 1) for k in expression.targets) for expression in expressions]
    return part | {
        "referents": np.array(referents, np.uint16),
        "steps": np.array(steps, np.uint16).reshape(-1, len(STEPS)),
        "types": np.array([TYPES.index(expression.type) for expression in expressions], np.uint8),
        "kinds": np.array([KINDS.index(expression.kind) for expression in expressions], np.uint8),
        "texts": [expression.text for expression in expressions],
    }
