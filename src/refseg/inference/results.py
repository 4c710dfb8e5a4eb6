"""Results: the answer to one expression, and its export formats."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageShow

from refseg.array_types import Box, Mask, PixelBox, PolygonList
from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.files.atomic import write_atomically
from refseg.inference.html import encode_small, figure_html
from refseg.inference.verdicts import DecidedBy, decided_by, verdict
from refseg.inference.word_weights import WordWeights
from refseg.lazy import LazyModule
from refseg.masks.boxes import mask_box
from refseg.masks.instances import left_to_right
from refseg.masks.overlay import COLOURS, Colour, coloured, contrasting_colours
from refseg.masks.pictures import (
    GREY,
    PNG_LEVEL,
    RED,
    SIDE,
    UNFAMILIAR,
    Line,
    captioned,
    enlarged,
    enlarged_mask,
    marked_unfamiliar,
    numbered,
    whole_factor,
)
from refseg.masks.polygons import polygons
from refseg.masks.rle import encode_rle
from refseg.preprocessing.restore import resize_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from refseg.readers.reading import Reading
else:
    torch = LazyModule("torch")

_ENDINGS = ".png", ".jpg", ".jpeg", ".json", ".npy"
_MAX_KEYS = 24  # objects that a picture's legend lists


@dataclass(frozen=True, eq=False)
class Instance:
    """One object that an expression refers to, in an image of H x W pixels.

    Attributes:
        mask: (H, W) bool.
        box: left, top, right, bottom in pixels; right and bottom lie just outside.

    Examples:
        >>> star = Instance(np.array([[False, True], [False, True]]), (1, 0, 2, 2))
        >>> star, star.area, star.share
        (Instance(box (1, 0, 2, 2), 2 px), 2, 0.5)
    """

    mask: Mask
    box: PixelBox

    def __repr__(self) -> str:
        return f"Instance(box {self.box}, {self.area} px)"

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def share(self) -> float:
        """Part of the image that the mask covers, 0 to 1."""
        return self.area / self.mask.size

    def rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length code: {"size": [H, W], "counts": str}."""
        return encode_rle(self.mask)

    def polygons(self) -> list[PolygonList]:
        """The outlines [x, y, x, y, ...] of the mask's connected parts in pixels; holes as `outlines.polygons` says."""
        return polygons(self.mask)


@dataclass(frozen=True)
class Candidate:
    """A box that a detector considered.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels.
        score: of the detector, in [0, 1].
        meant: whether it is one of those that are meant if anything is.
    """

    box_xyxy: Box
    score: float
    meant: bool

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        box = [round(side, 1) for side in self.box_xyxy]
        return {"box": box, "score": round(self.score, 4), "meant": self.meant}


@dataclass(eq=False, repr=False)
class Result:
    """The answer to one expression about one image of H x W pixels, and the sequence of the objects that it found.

    Objects are in order from left to right, by the centres of their boxes, in everything that lists them; there is one,
    the whole mask, where the network knows no objects. A result without objects is false.

    Attributes:
        expression: the expression.
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, True on what the expression refers to; empty when nothing matches.
        exists: probability that the expression refers to anything.
        logits: (h, w) mask logits at the network's resolution, without padding; an array where they were computed
            without torch.
        instance_map: (H, W) uint8, 0 outside of the mask, k on its k-th object; None if the network knows no objects.
        warnings: one line each: why the answer may be worthless.
        unknown_words: words of the expression that the network has never seen.
        source: what the image is, for those who get the result as a file; "" if unknown.
        exists_threshold: probability of existence above which there is a mask.
        familiar: Whether the image is like those that the network was trained on; pictures say if it is not.
        reading: how the expression was read, and what each object scored; None for networks that give no reading.
        candidates: boxes that a detector considered, the best first; () for networks without one.
        words: the network's weights of the words; None unless the segmenter has `view_words`, and the network weights.

    Examples:
        >>> from refseg import load, load_dataset
        >>> scene = load_dataset("drawn_scenes", split="test")[0]
        >>> result = load()(scene.image, "the pentagons")
        >>> result.found, len(result), result.decided_by
        (True, 4, 'mask')
        >>> abs(result[0].box[0] - 24) < 3  # the leftmost
        True
        >>> result.save("pentagons.png")  # doctest: +SKIP
    """

    expression: str
    image: NDArray[np.uint8]
    mask: Mask
    exists: float
    logits: Tensor | NDArray[np.float32]
    instance_map: NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()
    unknown_words: tuple[str, ...] = ()
    source: str = ""
    exists_threshold: float = 0.5
    familiar: bool = True
    reading: Reading | None = None
    candidates: tuple[Candidate, ...] = ()
    words: WordWeights | None = None

    def __post_init__(self) -> None:
        if self.instance_map is not None:
            self.instance_map = left_to_right(self.instance_map)

    def __repr__(self) -> str:
        """One line: of warnings the first words, since each image of a run has them; `warnings` says what to do."""
        size = f", {self.area} px ({self.share:.1%})" if self.found else ""
        doubt = "".join(f"; warning: {_briefly(warning)}" for warning in self.warnings)
        return f"{type(self).__name__}({self.expression!r}{self._place}: {self.verdict}{size}{doubt})"

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Instance]:
        return map(Instance, self._regions(), self.boxes)

    @overload
    def __getitem__(self, index: int) -> Instance: ...

    @overload
    def __getitem__(self, index: slice) -> list[Instance]: ...

    def __getitem__(self, index: int | slice) -> Instance | list[Instance]:
        """Returns the object at `index`, from left to right, or a list of them."""
        if isinstance(index, slice):
            return [self._instance(k) for k in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"it has {counted(len(self), 'object')}, counted from 0; there is none at {index}")
        return self._instance(index % len(self))

    @cached_property
    def found(self) -> bool:
        """Whether the mask has any pixel."""
        return bool(self.mask.any())

    @property
    def decided_by(self) -> DecidedBy:
        """What made the answer, as `inference.verdicts.DecidedBy` says."""
        return decided_by(self.found, self.exists, self.exists_threshold, self._reason)

    @property
    def verdict(self) -> str:
        """The answer in words: how many objects, or why there is none; of an unfamiliar image, that it is no answer."""
        return verdict(len(self), self.exists, self.exists_threshold, self._reason, self.familiar)

    @property
    def caption(self) -> str:
        """The verdict as pictures say it: of an unfamiliar image, that there is no answer."""
        return self.verdict if self.familiar else UNFAMILIAR

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def share(self) -> float:
        """Part of the image that the mask covers, 0 to 1."""
        return self.area / self.mask.size

    @property
    def probability(self) -> NDArray[np.float32]:
        """(H, W) float32: probability of each pixel, above 0.5 in the mask; computed anew each time."""
        height, width = self.mask.shape
        logits = torch.as_tensor(self.logits)
        values: NDArray[np.float32] = resize_logits(logits[None, None], (height, width))[0, 0].sigmoid().numpy()
        return values

    @property
    def instances(self) -> list[Mask]:
        """(H, W) bool, one mask for each object; together they are the mask. Empty if the network knows no objects."""
        return list(self._instances())

    @cached_property
    def box(self) -> PixelBox | None:
        """Left, top, right, bottom of the mask in pixels (right and bottom just outside); None when nothing matches."""
        return mask_box(self.mask)

    @cached_property
    def boxes(self) -> list[PixelBox]:
        """As `box`, for each object; for the whole mask where the network knows no objects."""
        return [box for box in map(mask_box, self._regions()) if box is not None]

    def colours(self) -> list[Colour]:
        """Returns red, green and blue for each object, which stand out from what it covers."""
        return contrasting_colours(self.image, self._regions()) if self.found else []

    def overlay(self, colours: Sequence[Colour] = (), side: int = 0) -> Image.Image:
        """Returns the image with the objects coloured and outlined; `picture` says what is meant as well.

        An unfamiliar image loses its colours, and a band across it says that there is no answer.

        Args:
            colours: of the objects, for example those of a video's first frame; by default those of `colours()`.
            side: a smaller image is enlarged by a whole factor up to so many pixels; by default it keeps its size.
        """
        height, width = self.mask.shape
        factor = whole_factor((height, width), side)
        regions = (enlarged_mask(region, factor) for region in self._regions())
        drawn = coloured(enlarged(self.image, factor), regions, colours or self.colours() or COLOURS)
        return Image.fromarray(drawn) if self.familiar else marked_unfamiliar(drawn)

    def picture(self) -> Image.Image:
        """Returns the overlay with the expression, the verdict, a legend of several objects and the warnings below it.

        Small images are enlarged by a whole factor.
        """
        colours, lines = self.colours(), [Line(self._title), Line(self.caption, GREY)]
        if len(self) > 1 and self.familiar:
            shares = [f"{k}: {one.share:.1%}" for k, one in enumerate(self, start=1)]
            lines.append(Line(keys=list(zip(colours, shares, strict=True))[:_MAX_KEYS]))
        return captioned(self._enlarged(colours), [*lines, *(Line(f"warning: {text}", RED) for text in self.warnings)])

    def show(self) -> None:
        """Shows the picture: in a notebook below the cell, elsewhere in the system's viewer.

        Raises:
            InvalidInput: if there is no viewer.
        """
        ipython = sys.modules.get("IPython")
        if ipython is not None and hasattr(ipython.get_ipython(), "kernel"):
            ipython.display.display(self)
        elif not ImageShow.show(self.picture(), self.expression):
            raise InvalidInput('there is no viewer for pictures here; write a file, for example result.save("it.png")')

    def save(self, path: str | Path) -> None:
        """Writes the result to a file, which is replaced if it is there.

        Args:
            path: its ending says what is written: .png, .jpg or .jpeg the picture, .json everything but pixels, .npy
                the mask.

        Raises:
            InvalidInput: for another ending.
            UnwritableOutput: if it cannot be written.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in _ENDINGS:
            raise InvalidInput(f"{path} ends in none of {', '.join(_ENDINGS)}; give for example answer.png")
        with write_atomically(path) as file:
            if ending == ".json":
                file.write_text(json.dumps(self.to_dict(), allow_nan=False) + "\n", encoding="utf-8")
            elif ending == ".npy":
                np.save(file, self.mask, allow_pickle=False)
            elif ending == ".png":
                self.picture().save(file, compress_level=PNG_LEVEL)
            else:
                self.picture().save(file, quality=92, subsampling=0)

    def rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length code: {"size": [H, W], "counts": str}."""
        return encode_rle(self.mask)

    def polygons(self) -> list[PolygonList]:
        """The outlines [x, y, x, y, ...] of the mask's connected parts in pixels; holes as `outlines.polygons` says."""
        return polygons(self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON."""
        return {
            "expression": self.expression,
            "found": self.found,
            "exists": round(self.exists, 6),
            "exists_threshold": round(self.exists_threshold, 6),
            "decided_by": self.decided_by,
            "familiar": self.familiar,
            "size": list(self.mask.shape),
            "area": self.area,
            "box": list(self.box) if self.box else None,
            "rle": self.rle(),
            "instances": [
                {"box": list(box), "area": int(np.count_nonzero(mask)), "rle": encode_rle(mask)}
                for box, mask in zip(self.boxes, self._instances(), strict=False)
            ],
            "warnings": list(self.warnings),
            "unknown_words": list(self.unknown_words),
            **({"reading": self.reading.to_dict()} if self.reading else {}),
            **({"candidates": [one.to_dict() for one in self.candidates]} if self.candidates else {}),
            **({"words": self.words.to_dict()} if self.words else {}),
            **({"source": self.source} if self.source else {}),
        }

    def to_coco(self, image_id: int | str = 0, category_id: int = 1) -> list[dict[str, Any]]:
        """Returns an entry of a COCO results file for each object, ready for JSON; its score is `exists`.

        There is no bbox, which pycocotools computes from the mask; with one it takes the box's area for the mask's.

        Args:
            image_id: of the image in the COCO annotations that the file goes with.
            category_id: of all objects, since expressions have no categories.
        """
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "segmentation": one.rle(),
                "score": round(self.exists, 6),
                "expression": self.expression,
            }
            for one in self
        ]

    def to_supervision(self) -> Any:
        """Returns the objects as `supervision.Detections`: boxes, masks, `exists` as confidence, class 0, expression.

        Raises:
            InvalidInput: if supervision is not installed.
        """
        try:
            detections = import_module("supervision").Detections
        except ModuleNotFoundError as error:
            raise InvalidInput("to_supervision needs supervision; install it with: pip install supervision") from error
        count = len(self)
        return detections(
            xyxy=np.array(self.boxes, np.float32).reshape(count, 4),
            mask=np.array([one.mask for one in self], bool).reshape(count, *self.mask.shape),
            confidence=np.full(count, self.exists, np.float32),
            class_id=np.zeros(count, int),
            data={"expression": np.array([self.expression] * count, dtype=str)},
        )

    @property
    def _reason(self) -> str:
        """Why nothing was looked for; "" if something was."""
        return self.reading.reason if self.reading else ""

    @property
    def _title(self) -> str:
        return f"“{self.expression}”{self._place}"

    @property
    def _place(self) -> str:
        return ""

    def _repr_png_(self) -> bytes:
        return encode_small(self.picture(), "PNG")

    def _repr_html_(self) -> str:
        colours = self.colours()
        objects = [f"{k}: box {one.box}, {one.area} px ({one.share:.1%})" for k, one in enumerate(self, start=1)]
        keys = list(zip(colours, objects, strict=True))[:_MAX_KEYS] if self.familiar else []
        return figure_html(self._enlarged(colours), self._title, self.caption, keys, self.warnings)

    def _enlarged(self, colours: Sequence[Colour]) -> Image.Image:
        """The enlarged overlay, with numbers if there are several objects."""
        picture = self.overlay(colours, SIDE)
        if len(self) < 2 or not self.familiar:
            return picture
        factor = picture.height // self.image.shape[0]
        tops = [(float(np.flatnonzero(one.mask[one.box[1]]).mean()), one.box[1]) for one in self]
        return numbered(picture, [(round(x * factor), y * factor) for x, y in tops], colours)

    def _instance(self, k: int) -> Instance:
        return Instance(self.mask if self.instance_map is None else self.instance_map == k + 1, self.boxes[k])

    def _regions(self) -> Iterator[Mask]:
        """The masks of the objects; the whole mask where the network knows none."""
        return iter([self.mask]) if self.instance_map is None else self._instances()

    def _instances(self) -> Iterator[Mask]:
        """One after the other: of a large image they take much memory."""
        if self.instance_map is not None:
            yield from (self.instance_map == k for k in range(1, int(self.instance_map.max()) + 1))


def _briefly(warning: str) -> str:
    """Returns what a warning states, without what follows from it and what to do."""
    return re.split(r"; |, so | \(", warning, maxsplit=1)[0]


@dataclass(eq=False, repr=False)
class FrameResult(Result):
    """The answer to one expression about one frame of a video.

    Attributes:
        index: of the frame, from 0.
        seconds: from the beginning of the video.

    Examples:
        >>> from refseg import load, load_dataset
        >>> clip = load_dataset("drawn_clips", split="test")[8]
        >>> results = list(load("selector_video").video(clip, "the white disk that moves down"))
        >>> len(results), results[1].index, results[1].seconds, results[1].found
        (12, 1, 0.125, True)
    """

    index: int = 0
    seconds: float = 0.0

    @property
    def _place(self) -> str:
        return f", frame {self.index}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON."""
        return {"frame": self.index, "seconds": round(self.seconds, 6), **super().to_dict()}
