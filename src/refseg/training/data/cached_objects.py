"""Selector's objects, computed once by its frozen image side and kept on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray

from refseg.batch import CachedObjectBatch
from refseg.counting import counted
from refseg.recipes.recipe import Stage
from refseg.text.tokenizer import Tokenizer
from refseg.training.data.scene_batches import SceneBatches
from refseg.training.data.sources import SceneSource
from refseg.training.progress import print_once


@dataclass(frozen=True)
class CachedObjects:
    """The image side's output for the first N scenes, in half precision; fields as in `CachedObjectBatch`."""

    found_tokens: NDArray[np.float16]
    valid: NDArray[np.bool_]
    pairs: NDArray[np.float16]
    matched: NDArray[np.int8]


class CachedObjectBatches(SceneBatches):
    """`SceneBatches` with cached objects in the place of images."""

    def __init__(self, found: CachedObjects, *arguments: object, **keywords: object):
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
        self.found = found

    def _batch(  # type: ignore[override]
        self, chosen: NDArray[np.int64], flip: NDArray[np.bool_], rng: list[np.random.Generator]
    ) -> CachedObjectBatch:
        found, most = self.found, int(self.scenes.counts[chosen].max())
        slots = int(found.valid[chosen].sum(1).max())  # valid ones come first
        expressions = self._expressions(chosen, flip, rng, most)
        return CachedObjectBatch(
            torch.from_numpy(found.found_tokens[chosen, :slots]).float(),
            torch.from_numpy(found.valid[chosen, :slots]),
            torch.from_numpy(found.pairs[chosen, :slots, :slots]).float(),
            torch.from_numpy(found.matched[chosen, :slots].astype(np.int64)),
            **{name: expressions[name] for name in ("tokens", "word_mask", "image_of_expression", "targets", "steps")},
        )


SCENES_AT_ONCE = 64


@torch.no_grad()
def cache_objects(
    fabric: Fabric, network: Any, source: SceneSource, tokenizer: Tokenizer, stage: Stage, folder: Path
) -> CachedObjects:
    """Computes what the frozen image side of a `Selector` says of the first scenes.

    Args:
        fabric: the processes; each computes its share, all read the whole.
        network: the `Selector`.
        source: of the scenes.
        tokenizer: of the network.
        stage: says how many scenes are cached.
        folder: where the arrays are kept.
    """
    world, rank = fabric.world_size, fabric.global_rank
    network.to(fabric.device).eval()
    count, slots = stage.cached_scenes, network.config.candidates
    batches = source.batches(stage.replace(expressions_per_image=0), tokenizer, (0, 0))
    first = network.encode_image(fabric.to_device(batches.whole(range(1))).image)
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "found_tokens": (np.float16, (slots, first.tokens.shape[-1])),
        "valid": (np.bool_, (slots,)),
        "pairs": (np.float16, (slots, slots, first.pairs.shape[-1])),
        "matched": (np.int8, (slots,)),
    }
    if fabric.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (dtype, shape) in shapes.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape))
    fabric.barrier()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+", allow_pickle=False) for name in shapes}
    with fabric.autocast():
        for start in range(rank * SCENES_AT_ONCE, count, world * SCENES_AT_ONCE):
            batch = fabric.to_device(batches.whole(range(start, min(start + SCENES_AT_ONCE, count))))
            found = network.encode_image(batch.image)
            matched, q = network.match(found, batch.objects), found.valid.shape[1]
            here = slice(start, start + len(batch.image))
            arrays["found_tokens"][here, :q] = found.tokens.float().cpu().numpy()
            arrays["valid"][here, :q] = found.valid.cpu().numpy()
            arrays["pairs"][here, :q, :q] = found.pairs.float().cpu().numpy()
            arrays["matched"][here, :q] = matched.cpu().numpy()
            done = min(start + world * SCENES_AT_ONCE, count)
            print_once(f"\rfinding objects: {counted(done, 'scene', count)}", end="", flush=True)
    print_once()
    fabric.barrier()
    return CachedObjects(**{name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in shapes})
