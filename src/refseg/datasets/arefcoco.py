"""aRefCOCO: ambiguous expressions for objects of RefCOCO and RefCOCOg, which distract or leave the class unsaid.

arefcoco.json      annotations: split, entity_id, original_dataset (refcoco or refcocog), ref_id there, descriptions
../refcoco         instances.json and refs(unc).p, for images and masks
../refcocog        instances.json and refs(umd).p

Source     https://github.com/zhenjiemao/aRefCOCO; Z. Mao et al. "SaFiRe: Saccade-Fixation Reiteration with Mamba for
           Referring Image Segmentation". NeurIPS 2025.
Licence    CC BY 4.0; photographs each under its own Flickr licence.
Splits     images / objects / expressions: test 2,213 / 4,112 / 7,050, that of the paper; train 18,496 / 41,417 /
           110,818, added later.
"""

from math import isnan
from pathlib import Path

from refseg.datasets.refcoco import TRAIN2014, RefCOCO, RefCOCOg
from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.index import Index, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import entries, error_context, read_plain
from refseg.errors import InvalidInput

ORIGINALS = {"refcoco": (RefCOCO, "unc"), "refcocog": (RefCOCOg, "umd")}
"""Data sets whose refs are described anew, with their division."""


class ARefCOCO(IndexedDataset):
    """aRefCOCO; the folders refcoco and refcocog lie beside its own."""

    name = folder = "arefcoco"
    image_folders = TRAIN2014

    def sources(self) -> list[Path]:
        """Returns the file of descriptions and those of the data sets whose refs it describes."""
        others = []
        for name, (_, split_by) in ORIGINALS.items():
            beside = self.root.parent / name
            others += [beside / "instances.json", beside / f"refs({split_by}).p"]
        return [self.root / "arefcoco.json", *others]

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index: images and objects are those of the refs that are described."""
        path, *_ = self.sources()
        content = read_plain(path)
        with error_context(str(path)):
            annotations = content["annotations"]
        refs = {
            name: _Refs(name, kind("all", split_by=split_by, root=self.root.parent / name).index)
            for name, (kind, split_by) in ORIGINALS.items()
        }
        copied, ids = _Copied(builder), []
        for number, (place, entry) in enumerate(entries(path, annotations, "annotation")):
            with error_context(place):
                original = str(entry["original_dataset"])
                if original not in refs:
                    raise InvalidInput(f"original_dataset is {' or '.join(refs)}, not {original!r}")
                image, targets = copied.add(refs[original].index, refs[original].find(normalize_id(entry["ref_id"])))
                ids.append(normalize_id(entry["entity_id"]))
                descriptions = entry["descriptions"]
                if not isinstance(descriptions, list) or not all(isinstance(text, str) for text in descriptions):
                    raise InvalidInput("descriptions is a list of texts")
                for position, text in enumerate(descriptions):
                    builder.expression(
                        image, f"{ids[-1]}-{position}", text, targets=targets, ref=number, split=str(entry["split"])
                    )
        builder.repeated("entity", ids)


class _Refs:
    """The refs of a data set in the refer layout, by their id."""

    def __init__(self, name: str, index: Index):
        self.index, self._name = index, name
        self._first: dict[str, int] = {}  # expression of each ref
        for number in range(len(index)):
            self._first.setdefault(index.text("expression_id", number).rpartition("-")[0], number)

    def find(self, ref_id: str) -> int:
        """Returns the number of the ref's first expression."""
        if ref_id not in self._first:
            raise InvalidInput(f"ref {ref_id} is not in {self._name}; are its refs those that the authors took?")
        return self._first[ref_id]


class _Copied:
    """Images and objects of other indices in a builder, each once."""

    def __init__(self, builder: IndexBuilder):
        self._builder = builder
        self._images: dict[str, int] = {}
        self._objects: dict[tuple[int, str], int] = {}

    def add(self, index: Index, expression: int) -> tuple[int, list[int]]:
        """Adds what an expression of an index is about; returns the numbers of the image and of the objects."""
        image = int(index["expression_image"][expression])
        image_id = index.text("image_id", image)
        if image_id not in self._images:
            height, width = index["image_hw"][image].tolist()
            file, coco_id = index.text("image_file", image), int(index["image_coco"][image])
            self._images[image_id] = self._builder.image(image_id, file, (height, width), coco_id)
        targets = []
        for target in index.targets(expression):
            key = self._images[image_id], index.text("object_id", target)
            if key not in self._objects:
                box = index["object_box"][target].tolist()
                state = int(index["object_state"][target])
                known = None if any(map(isnan, box)) else tuple(box)
                self._objects[key] = self._builder.object(*key, index.pieces(target), known, state)
            targets.append(self._objects[key])
        return self._images[image_id], targets
