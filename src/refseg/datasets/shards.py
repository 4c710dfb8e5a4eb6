"""Shards: a split of a data set in a few large files, for disks that many small files would make slow.

NAME-000000.tar, ...   as WebDataset lays them out: KEY.jpg (or what the photograph was) and KEY.json beside each other,
                       {"image": ..., "size": [h, w], "coco": ..., "objects": [...], "expressions": [...]}

The annotations go into an index with the place of every photograph in its shard, and photographs are read from there in
any order. So a shard must lie where it can be read in the middle: on a local disk or a mounted one, not behind a URL.

Source     yours; `refseg data shard` makes them from any data set of files, docs/scaling.md#shards.
Licence    that of the data set.
Splits     those of the data set that were asked for.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from refseg.datasets.index import BOX_ONLY, CROWD, MISSING, NONE, IndexBuilder
from refseg.datasets.indexed import IndexedDataset, IndexedSample
from refseg.datasets.masks import MaskFile, draw, rle_of
from refseg.datasets.sources import at
from refseg.errors import InvalidInput, MissingFile

STATES = {"": NONE, "crowd": CROWD, "box": BOX_ONLY, "missing": MISSING}


class Shards(IndexedDataset):
    """What `write_shards` wrote.

    Args:
        split: as the data set called it; "all" takes everything.
        root: the folder of the shards.
        settings: those of `IndexedDataset`.
    """

    name = "shards"
    folder = "shards"
    image_folders = (".",)

    def sources(self) -> list[Path]:
        """The shards, in their order.

        Raises:
            MissingFile: if there is none.
        """
        if not (found := sorted(self.root.glob("*.tar"))):
            raise MissingFile(f"{self.root} holds no shard (*.tar); refseg data shard makes them")
        return found

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index; of photographs it reads the places alone."""
        refs: dict[str, int] = {}
        for shard in self.sources():
            with at(str(shard)):
                try:
                    _read(builder, shard, refs)
                except (tarfile.TarError, EOFError, OSError) as error:
                    raise InvalidInput(f"cannot be read as a tar file ({error}); is it damaged or cut off?") from error

    def open_image(self, file: str) -> Image.Image:
        """The photograph at a place, not decoded yet."""
        shard, offset, size = file.rsplit(":", 2)
        with self.find_image(shard).open("rb") as opened:
            opened.seek(int(offset))
            return Image.open(io.BytesIO(opened.read(int(size))))


def write_shards(
    dataset: IndexedDataset, name: str, folder: Path, shard_bytes: int, progress: Callable[[], None] = lambda: None
) -> int:
    """Writes all images of a data set with their expressions; photographs stay as they are, byte by byte.

    Args:
        dataset: whose split is written, in its order.
        name: first part of the shards' names.
        folder: where to.
        shard_bytes: from which size on another shard is begun.
        progress: called after each image.

    Returns:
        The number of shards.
    """
    archive, number = None, 0
    try:
        for place, sample in enumerate(dataset):
            if archive is None or archive.offset >= shard_bytes:
                if archive is not None:
                    archive.close()
                archive = tarfile.open(folder / f"{name}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)
                number += 1
            about = json.dumps(_about(dataset, sample)).encode()
            for ending, content in ((sample.image_path.suffix, sample.image_path.read_bytes()), (".json", about)):
                member = tarfile.TarInfo(f"{place:09d}{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            progress()
    finally:
        if archive is not None:
            archive.close()
    return number


def _about(dataset: IndexedDataset, sample: IndexedSample) -> dict[str, Any]:
    index = dataset.index
    named = [target for expression in sample.expressions for target in expression.targets]
    places = {target: place for place, target in enumerate(dict.fromkeys(named))}
    expressions = [
        {
            "id": expression.id,
            "raw": index.text("expression_raw", number),
            "sent": index.text("expression_sent", number),
            "targets": [places[target] for target in expression.targets],
            "ref": f"{dataset.prefix}{index['expression_ref'][number]}",
            "split": index.word("split", number),
            "type": expression.type,
            "kind": expression.kind,
        }
        for number, expression in zip(sample.numbers.tolist(), sample.expressions, strict=True)
    ]
    return {
        "image": sample.image_id,
        "size": sample.size_hw,
        "coco": -1 if sample.coco_id is None else sample.coco_id,
        "objects": [_object(dataset, target, sample.size_hw) for target in places],
        "expressions": expressions,
    }


def _object(dataset: IndexedDataset, number: int, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Its mask as it is drawn at the photograph's size."""
    index = dataset.index
    state, box = int(index["object_state"][number]), index["object_box"][number]
    about: dict[str, Any] = {"id": index.text("object_id", number), "state": {v: k for k, v in STATES.items()}[state]}
    if not np.isnan(box).any():
        about["box"] = box.tolist()
    if state in (NONE, CROWD):
        found = index.pieces(number) if state == NONE or dataset.crowds else []
        pieces = [dataset.find_mask(piece) if isinstance(piece, MaskFile) else piece for piece in found]
        mask = draw(pieces, size_hw, dataset.covered_twice)
        rle = coco.encode(np.asfortranarray(mask, np.uint8))
        about["mask"] = {"size": rle["size"], "counts": rle["counts"].decode()}
    return about


def _add(builder: IndexBuilder, about: dict[str, Any], place: str, refs: dict[str, int]) -> None:
    height, width = about["size"]
    image = builder.image(about["image"], place, (height, width), about["coco"])
    objects = [
        builder.object(
            image,
            each["id"],
            [rle_of(each["mask"])] if "mask" in each else [],
            tuple(each["box"]) if "box" in each else None,
            STATES[each["state"]],
        )
        for each in about["objects"]
    ]
    for each in about["expressions"]:
        builder.expression(
            image,
            each["id"],
            each["raw"],
            each["sent"],
            [objects[target] for target in each["targets"]],
            refs.setdefault(each["ref"], len(refs)),
            each["split"],
            each["type"],
            each["kind"],
        )


def _read(builder: IndexBuilder, shard: Path, refs: dict[str, int]) -> None:
    with tarfile.open(shard, "r:") as archive:
        place = ""
        for member in archive:
            if not member.name.endswith(".json"):
                place = f"{shard.name}:{member.offset_data}:{member.size}"
                continue
            content = archive.extractfile(member)
            assert content is not None
            _add(builder, json.loads(content.read()), place, refs)
