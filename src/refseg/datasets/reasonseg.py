"""ReasonSeg: instructions that take reasoning or knowledge, for regions of images; part of an image may be ignored.

train, val, test/NAME.jpg    the photograph
train, val, test/NAME.json   text: instructions; is_sentence: whether they are long; shapes: polygons (points) with a
                             label, "target" or "ignore"

Shapes are drawn one over the other, large ones first; "flag" is left out. Pixels of "ignore" are not scored.

Source     https://github.com/dvlab-research/LISA; X. Lai et al. "LISA: Reasoning Segmentation via Large Language
           Model". CVPR 2024.
Licence    none is stated for the data.
Splits     images: train 239, val 200, test 779. Of train all instructions are read, of the others the first, which is
           the one that the authors ask.
Departs    Pillow draws the polygons, the authors' script OpenCV; a few pixels along an edge may differ.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from typing_extensions import override

from refseg.array_types import Mask
from refseg.datasets.storage.annotation_masks import MAX_COORDINATE, draw
from refseg.datasets.storage.index import CROWD, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset, IndexedSample
from refseg.datasets.storage.reading import error_context, list_files
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.masks.rle import encode_rle, parse_rle
from refseg.preprocessing.images import open_image

SPLITS = ("train", "val", "test")
IGNORED = "ignore"
"""Id of the object of an image that is not scored."""


class ReasonSegSample(IndexedSample):
    """An image of ReasonSeg."""

    @override
    def ignored(self, index: int) -> Mask | None:
        here = np.flatnonzero(self._index["object_image"] == self._image).tolist()
        for number in here:
            if self._index.text("object_id", number) == IGNORED:
                return draw(self._dataset.pieces(number), self.size_hw)
        return None


class ReasonSeg(IndexedDataset):
    """ReasonSeg; the type of an expression is "long query" or "short query"."""

    name = folder = "reasonseg"
    image_folders = (".",)
    sample_class = ReasonSegSample

    @override
    def sources(self) -> list[Path]:
        """Returns the files of annotations of those splits that are there.

        Raises:
            MissingFile: if there is none.
        """
        found = [file for split in SPLITS for file in list_files(self.root / split, ".json")]
        if not found:
            raise MissingFile(
                f"{self.root} has no .json in {', '.join(SPLITS)}; docs/datasets.md#{self.anchor} says where to get it"
            )
        return found

    @override
    def read(self, builder: IndexBuilder) -> None:
        for ref, path in enumerate(self.sources()):
            split, id = path.parent.name, f"{path.parent.name}/{path.stem}"
            with error_context(str(path)):
                content = _read(path)
                texts = content["text"]
                if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
                    raise InvalidInput("text is a list of texts, at least one")
                size_hw = _size(path.with_suffix(".jpg"))
                target, ignored = draw_shapes(content["shapes"], size_hw)
                image = builder.image(id, f"{id}.jpg", size_hw)
                targets = [builder.object(image, "target", [parse_rle(encode_rle(target))])]
                if ignored.any():
                    builder.object(image, IGNORED, [parse_rle(encode_rle(ignored))], state=CROWD)
                type = "long query" if content["is_sentence"] else "short query"
                for position, text in enumerate(texts if split == "train" else texts[:1]):
                    builder.expression(
                        image, f"{id}-{position}", text, targets=targets, ref=ref, split=split, type=type
                    )


def draw_shapes(shapes: Any, size_hw: tuple[int, int]) -> tuple[Mask, Mask]:
    """Draws the shapes of an image, the largest first; returns target and ignored pixels (H, W), which do not overlap.

    Raises:
        InvalidInput: if shapes are not as the format says.
    """
    if not isinstance(shapes, list):
        raise InvalidInput(f"shapes is a list, not a {type(shapes).__name__}")
    drawn: list[tuple[Mask, bool]] = []
    for number, shape in enumerate(shapes):
        with error_context(f"shape {number}"):
            label = str(shape["label"]).lower()
            if label != "flag":
                drawn.append((_polygon(shape["points"], size_hw), IGNORED in label))
    drawn = sorted(drawn, key=lambda one: np.count_nonzero(one[0]))[::-1]
    target, ignored = np.zeros(size_hw, np.bool_), np.zeros(size_hw, np.bool_)
    for mask, is_ignored in drawn:
        target[mask], ignored[mask] = not is_ignored, is_ignored
    return target, ignored


def _polygon(points: Any, size_hw: tuple[int, int]) -> Mask:
    corners = np.array(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        raise InvalidInput("points are [[x, y], ...]")
    if not (np.abs(corners) <= MAX_COORDINATE).all():  # also NaN
        raise InvalidInput(f"a point is not a number or lies beyond {MAX_COORDINATE:g} pixels")
    height, width = size_hw
    image = Image.new("1", (width, height))
    at = [(int(x), int(y)) for x, y in corners.tolist()]
    pencil = ImageDraw.Draw(image)
    if len(at) == 1:
        pencil.point(at, 1)
    else:
        pencil.polygon(at, fill=1, outline=1)
    return np.array(image)


def _read(path: Path) -> dict[str, Any]:
    """Reads a file of annotations in UTF-8, or else in Windows' encoding, which some have."""
    try:
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
        found = json.loads(text)
    except OSError as error:
        raise InvalidInput(f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"damaged or not JSON ({first_line(error)}); download it again") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"holds a {type(found).__name__}, not text, is_sentence and shapes")
    return found


def _size(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise MissingFile(f"{path} is missing, and its annotations do not say how large it is; download it again")
    try:
        with open_image(path) as image:
            return image.height, image.width
    except InvalidInput:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(f"{path} cannot be decoded ({first_line(error)}); is it damaged or cut off?") from error
