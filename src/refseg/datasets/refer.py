"""The `refer` layout of most referring data sets; and any folder in it.

instances.json        COCO: images, annotations (boxes, polygons or run lengths), categories
refs(SPLIT_BY).p      list of refs: ref_id, image_id, ann_id, split, sentences (sent_id, raw, sent); JSON is read, too
grefs(SPLIT_BY).json  the same with several targets (a list of ann_id) and none ([-1])

Source     yours; `refseg data draw` writes this layout.
Licence    yours.
Splits     as its refs say.
"""

import re
import warnings
from functools import cached_property
from math import isnan
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

from typing_extensions import override

from refseg.counting import counted
from refseg.datasets.storage.annotation_masks import Piece, draw, parse_segmentation
from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.index import CROWD, MISSING, NONE, Index, IndexBuilder, open_index
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import entries, error_context, find_first_file, parse_coco_id, read_plain
from refseg.errors import InvalidInput, RefsegError, choose_one, option
from refseg.masks.boxes import mask_box
from refseg.samples import AnnotatedObject, AnnotatedObjects

NO_TARGET = ["-1"]
SHOWN = 3  # ids that a warning names
_OPENING = Lock()


def get_annotation_ids(ref: dict[str, Any]) -> list[str]:
    """Returns the ids of the annotations that a ref names; none where it names nothing.

    That is ann_id [-1] in gRefCOCO, and source "zero" in Ref-ZOM, whatever its ann_id says there.
    """
    ids = ref["ann_id"] if ref.get("source") != "zero" else NO_TARGET
    ids = [normalize_id(id) for id in (ids if isinstance(ids, list) else [ids])]
    return [] if ids == NO_TARGET else ids


class ReferLayout(IndexedDataset):
    """A data set in the refer layout.

    Args:
        split: "testA" is every ref whose split holds the letter A (testB, testC alike), "test" every ref whose split
            holds "test"; "all" everything.
        split_by: whose division into splits it is; the first of `split_bys` by default.
        settings: those of `IndexedDataset`.
    """

    split_bys: ClassVar[tuple[str, ...]]
    refs_file: ClassVar[str] = "refs({})"
    """Name of the file of refs without its ending."""
    instances_file: ClassVar[str] = "instances.json"
    ids_repeat: ClassVar[bool] = False
    """Whether ref_id and sent_id are not unique; positions in the file then replace them."""

    def __init__(self, split: str, split_by: str | None = None, **settings: Any):
        self.split_by = self.split_bys[0] if split_by is None else split_by
        if self.split_by not in self.split_bys:
            raise InvalidInput(f"{self.name} is not split by {split_by!r}; {choose_one(split_by, self.split_bys)}")
        super().__init__(split, **settings)
        if repeated := [id for id in self.index.repeated if not id.startswith("ref ")]:
            some = ", ".join(repeated[:SHOWN]) + (", ..." if len(repeated) > SHOWN else "")
            warnings.warn(
                f"{self.label} in {self.root}: {len(repeated):,} ids are given more than once ({some}), of which the "
                "last one in the image counts; `refseg data check` tells of them",
                stacklevel=2,
            )

    @property
    def label(self) -> str:
        """Name and `split_by`."""
        return f"{self.name} ({self.split_by})"

    @property
    def index_name(self) -> str:
        """Name with that of the file of refs, of which a folder may hold several."""
        return f"{self.name}-{self.refs_file.format(self.split_by)}"

    def sources(self) -> list[Path]:
        """Returns the files of refs and of annotations."""
        name = self.refs_file.format(self.split_by)
        return [find_first_file(self.root, [f"{name}.p", f"{name}.json"]), self.root / self.instances_file]

    def belongs(self, name: str, split: str) -> bool:
        """Whether a ref is in a split, by the rules of lichengunc/refer: "testAB" is in testA and in testB."""
        if re.fullmatch("test[ABC]", split):
            return split[-1] in name
        return split == "all" or (split in name if split == "test" else split == name)

    def names_nothing(self, sentence: dict[str, Any]) -> bool:
        """Whether a sentence of a ref names nothing, although the ref has an annotation."""
        return False

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index: images with refs, the annotations that refs name, every sentence."""
        refs_path, instances_path = self.sources()
        refs = read_plain(refs_path)
        wanted: set[str] = set()
        for place, ref in entries(refs_path, refs, "ref"):
            with error_context(place):
                wanted.update(get_annotation_ids(ref))
        instances = read_plain(instances_path, each=_compact(wanted))
        with error_context(str(instances_path)):
            images = {normalize_id(image["id"]): image for image in instances["images"]}
            found = [annotation for annotation in instances["annotations"] if annotation is not None]
            annotations = {(normalize_id(one["image_id"]), normalize_id(one["id"])): one for one in found}
            builder.repeated("image", [normalize_id(image["id"]) for image in instances["images"]])
            builder.repeated("annotation", [normalize_id(one["id"]) for one in found])
        if not self.ids_repeat:
            builder.repeated("ref", [str(ref.get("ref_id")) for ref in refs])
        image_numbers: dict[str, int] = {}
        object_numbers: dict[tuple[int, str], int] = {}
        for number, (place, ref) in enumerate(entries(refs_path, refs, "ref")):
            with error_context(place):
                image_id = normalize_id(ref["image_id"])
                if image_id not in images:
                    raise InvalidInput(f"image {image_id} is not in {instances_path}; the two are not of one data set")
                if image_id not in image_numbers:
                    image_numbers[image_id] = self._add_image(builder, images[image_id])
                image = image_numbers[image_id]
                for target in (targets := get_annotation_ids(ref)):
                    if (image, target) not in object_numbers:
                        annotation = annotations.get((image_id, target))  # in another image it is something else
                        object_numbers[image, target] = _add_object(builder, image, target, annotation)
                objects = [object_numbers[image, target] for target in targets]
                for position, sentence in enumerate(ref["sentences"]):
                    ids = (number, position) if self.ids_repeat else (ref["ref_id"], sentence["sent_id"])
                    builder.expression(
                        image,
                        id=f"{ids[0]}-{ids[1]}",
                        raw=sentence.get("raw", sentence["sent"]),
                        sent=sentence["sent"],
                        targets=[] if self.names_nothing(sentence) else objects,
                        ref=number,
                        split=ref["split"],
                        type=ref.get("type", ""),
                        kind=ref.get("kind", ""),
                    )

    @override
    def annotated_objects(self, image_id: str, size_hw: tuple[int, int]) -> AnnotatedObjects | None:
        with _OPENING:  # of all objects an index is made when they are first asked for, by one thread
            known = self._all_objects
        if known is None:
            return None
        index, names = known.found, known.found.names["type"]
        objects = []
        for number in known.of_image.get(image_id, ()):
            mask = draw(index.pieces(number), size_hw, self.covered_twice)
            box = index["object_box"][number].tolist()
            found = mask_box(mask) if isnan(box[0]) else tuple(box)
            if found is not None:
                name = names[index["expression_type"][number]]
                objects.append(AnnotatedObject(name, found, mask))
        return AnnotatedObjects(tuple(objects), tuple(names))

    @cached_property
    def _all_objects(self) -> "_AllObjects | None":
        index = open_index(f"{self.index_name}-objects", self.sources()[1:], self._read_objects)
        if not len(index):
            return None
        of_image: dict[str, list[int]] = {}
        for number, image in enumerate(index["object_image"].tolist()):
            of_image.setdefault(index.text("image_id", image), []).append(number)
        return _AllObjects(index, of_image)

    def _read_objects(self, builder: IndexBuilder) -> None:
        """Fills an index of all objects but crowds; each has its class as the type of an expression about it."""
        (path,) = self.sources()[1:]
        instances = read_plain(path, each=_compact(None))
        with error_context(str(path)):
            classes = {category["id"]: str(category["name"]) for category in instances.get("categories", ())}
            for known in classes.values():
                builder.name("type", known)
            images: dict[str, int] = {}
            for one in instances["annotations"]:
                if one.get("iscrowd") or one.get("category_id") not in classes or not one["pieces"]:
                    continue
                image_id, id = normalize_id(one["image_id"]), normalize_id(one["id"])
                if image_id not in images:
                    images[image_id] = builder.image(image_id, "")
                number = _add_object(builder, images[image_id], id, one)
                builder.expression(images[image_id], id, "", targets=[number], type=classes[one["category_id"]])

    def file_of(self, image: dict[str, Any]) -> str:
        """Returns the name of an image's file."""
        return str(image["file_name"])

    def _add_image(self, builder: IndexBuilder, image: dict[str, Any]) -> int:
        file = self.file_of(image)
        return builder.image(normalize_id(image["id"]), file, (image["height"], image["width"]), parse_coco_id(file))


class Refer(ReferLayout):
    """Any folder in the refer layout.

    Args:
        split: as its refs say; "all" takes everything.
        split_by: what stands in brackets in the file's name; need not be given if there is one such file.
        grefs: whether to read grefs(...), with several targets and none; by default only where refs(...) is missing.
        settings: those of `IndexedDataset`; `root` must be given.
    """

    name = "refer"
    folder = "refer"
    image_folders = ("images", ".")

    def __init__(self, split: str, split_by: str | None = None, grefs: bool | None = None, **settings: Any):
        root = self._root(settings.get("root"))
        pattern = re.compile(r"(g?refs)\((.*)\)\.(?:p|json)")
        found = sorted({(m[1], m[2]) for path in root.glob("*refs(*).*") if (m := pattern.fullmatch(path.name))})
        choices = [(kind, by) for kind, by in found if split_by in (None, by) and grefs in (None, kind == "grefs")]
        if grefs is None and any(kind == "refs" for kind, _ in choices):
            choices = [(kind, by) for kind, by in choices if kind == "refs"]
        if len(choices) != 1:
            has = ", ".join(f"{kind}({by})" for kind, by in found) or "neither refs(...) nor grefs(...)"
            raise InvalidInput(
                f"{root} has {has}; it takes instances.json and one file of refs, chosen by split_by=... and grefs=..."
            )
        kind, by = choices[0]
        self.refs_file, self.split_bys = f"{kind}({{}})", (by,)  # type: ignore[misc]
        self._others = kind == "refs" and ("grefs", by) in found
        super().__init__(split, by, **settings)

    @property
    @override
    def selection(self) -> str:
        name = self.refs_file.format(self.split_by)
        if not self._others:
            return name
        file = find_first_file(self.root, [f"g{name}.p", f"g{name}.json"])
        try:
            refs = [ref for ref in read_plain(file) if self.belongs(ref["split"], self.split)]
            left_out = sum(len(ref["sentences"]) for ref in refs if len(get_annotation_ids(ref)) != 1)
        except (RefsegError, KeyError, TypeError):  # it is damaged, which does not matter here
            others = "those"
        else:
            others = counted(left_out, "expression")
        return (
            f"{name}, one target each; left out: {others} about several targets or none, which {option('grefs', True)} "
            f"takes from {file.name}"
        )


class _AllObjects(NamedTuple):
    """The index of all annotated objects, and their numbers by image."""

    found: Index
    of_image: dict[str, list[int]]


def _compact(wanted: set[str] | None) -> Any:
    """Returns a function that reduces a COCO annotation to the fields that are read, or None if it is not wanted.

    Args:
        wanted: ids of annotations; None for all.
    """

    def compact(entry: dict[str, Any]) -> Any:
        if "image_id" not in entry or "id" not in entry:
            return entry  # an image, a category, run lengths
        if wanted is not None and normalize_id(entry["id"]) not in wanted:
            return None
        pieces: list[Piece] = []
        if segmentation := entry.get("segmentation"):
            with error_context(f"annotation {entry['id']}"):
                pieces = parse_segmentation(segmentation)
        kept = ("id", "image_id", "bbox", "iscrowd", "category_id")
        return {name: entry[name] for name in kept if name in entry} | {"pieces": pieces}

    return compact


def _add_object(builder: IndexBuilder, image: int, id: str, annotation: dict[str, Any] | None) -> int:
    if annotation is None:
        return builder.object(image, id, state=MISSING)
    box = None
    if annotation.get("bbox"):
        left, top, width, height = map(float, annotation["bbox"])
        box = left, top, left + width, top + height
    state = CROWD if annotation.get("iscrowd") else NONE
    return builder.object(image, id, annotation["pieces"], box, state)
