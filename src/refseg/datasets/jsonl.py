"""Your own data as JSON Lines: an expression a line, with its image and its referents.

{"image": "desk.jpg", "expression": "the cup", "mask": "cup.png"}             an image file, black is outside
{"image": "desk.jpg", "expression": "both pens", "mask": [[x, y, x, y, ...], ...]}          polygons, in pixels
{"image": "desk.jpg", "expression": "the lamp", "mask": {"counts": ..., "size": [h, w]}}    COCO's run lengths
{"image": "desk.jpg", "expression": "the chair", "boxes": [[left, top, right, bottom]]}     in pixels, one a referent
{"image": "desk.jpg", "expression": "the cat", "mask": []}                                  refers to nothing

Source     yours; `refseg data import` makes it from COCO annotations, docs/datasets.md#jsonl describes it.
Licence    yours.
Splits     as its lines say; a line without one is in split "all" only.
"""

import json
import reprlib
from math import isfinite
from pathlib import Path
from typing import Any

from refseg.datasets.storage.annotation_masks import MaskFile, Piece, parse_segmentation
from refseg.datasets.storage.index import BOX_ONLY, NONE, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import ErrorCollector, count_of, error_context, find_one_file, parse_coco_id
from refseg.errors import InvalidInput, choose_one
from refseg.masks.rle import Rle

KEYS = ("image", "expression", "mask", "boxes", "split", "id", "type")


class JsonLines(IndexedDataset):
    """A .jsonl file; its paths are relative to its folder.

    Args:
        split: as its lines say; "all" takes every line.
        root: the file, or a folder with one .jsonl.
        settings: those of `IndexedDataset`.

    Raises:
        InvalidInput: if a line is bad, with its number and what is wrong there.
    """

    name = "jsonl"
    folder = "jsonl"
    image_folders = (".", "images")

    @property
    def index_name(self) -> str:
        """Named after the file."""
        return f"{self.name}-{self.file.name}"

    def sources(self) -> list[Path]:
        """Returns the file."""
        return [self.file]

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index line by line."""
        reader, errors = LineReader(builder), ErrorCollector()
        with self.file.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    with errors.collect(f"line {number}"):
                        reader.read(number, line)
        errors.raise_if_any(self.file)
        if reader.unstated:
            raise InvalidInput(
                f"{self.file}: {count_of(reader.unstated, len(reader), 'line')} neither mask nor boxes; add them, or "
                'write "mask": [] where an expression refers to nothing'
            )

    def _root(self, root: str | Path | None) -> Path:
        self.file = find_one_file(super()._root(root), "*.jsonl")
        return self.file.parent


class LineReader:
    """Adds lines to an index and checks ids and sizes across lines; its length is the number of lines read.

    Attributes:
        unstated: lines that do not say what they refer to, nor that it is nothing.
    """

    def __init__(self, builder: IndexBuilder):
        self._builder = builder
        self._images: dict[str, int] = {}
        self._lines: dict[str, int] = {}  # by id of the expression
        self.unstated: list[str] = []
        self._sizes: dict[str, tuple[tuple[int, int], int]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def read(self, number: int, line: bytes) -> None:
        """Adds a line; its number is the id of an expression that has none.

        Raises:
            InvalidInput: if it is bad.
        """
        try:
            entry = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InvalidInput("not UTF-8; save the file as UTF-8") from error
        except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
            raise InvalidInput(f"not JSON ({error})") from error
        _check(entry)
        if entry.get("mask") is None and entry.get("boxes") is None:
            self.unstated.append(f"line {number}")
        pieces, boxes = _pieces(entry.get("mask")), _boxes(entry.get("boxes"))
        image, id = entry["image"], str(entry.get("id", number))
        self._check_id(id, number)
        self._check_size(image, pieces, number)
        if image not in self._images:
            self._images[image] = self._builder.image(image, image, coco_id=parse_coco_id(image))
        targets = self._objects(self._images[image], id, entry, pieces, boxes)
        split, type = entry.get("split", ""), entry.get("type", "")
        self._builder.expression(
            self._images[image], id, entry["expression"], targets=targets, ref=number, split=split, type=type
        )

    def _objects(self, image: int, id: str, entry: dict[str, Any], pieces: list[Piece], boxes: list[Any]) -> list[int]:
        if not entry.get("mask"):
            return [self._builder.object(image, f"{id}-{k}", box=box, state=BOX_ONLY) for k, box in enumerate(boxes)]
        edges = list(zip(*boxes, strict=True))
        around = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3])) if boxes else None
        return [self._builder.object(image, id, pieces, around, NONE)]

    def _check_id(self, id: str, number: int) -> None:
        if id in self._lines:
            raise InvalidInput(f"id {id!r} is that of line {self._lines[id]} already")
        self._lines[id] = number

    def _check_size(self, image: str, pieces: list[Piece], number: int) -> None:
        for piece in pieces:
            if isinstance(piece, Rle):
                size, line = self._sizes.setdefault(image, (piece.size_hw, number))
                if size != piece.size_hw:
                    raise InvalidInput(
                        f"its mask is of size {list(piece.size_hw)}, that of line {line} of {list(size)}"
                    )


def _check(entry: Any) -> None:
    if not isinstance(entry, dict):
        raise InvalidInput(f"a line is an object with {', '.join(KEYS)}, not a {type(entry).__name__}")
    if unknown := entry.keys() - set(KEYS):
        raise InvalidInput(f"unknown key {min(unknown)!r}; {choose_one(min(unknown), KEYS)}")
    for key in ("image", "expression"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise InvalidInput(f"{key} must be a text that is not empty")
    for key in ("split", "type"):
        if not isinstance(entry.get(key, ""), str):
            raise InvalidInput(f"{key} must be a text")
    if not isinstance(entry.get("id", ""), str | int):
        raise InvalidInput("id must be a text or a number")
    for key in ("image", "split", "type", "id"):
        if any("\ud800" <= letter <= "\udfff" for letter in str(entry.get(key, ""))):
            raise InvalidInput(f"{key} has half a character (a lone surrogate)")


def _pieces(mask: Any) -> list[Piece]:
    if mask is None:
        return []
    if isinstance(mask, str):
        if not mask.strip():
            raise InvalidInput("mask names no file; give one, or [] where the expression refers to nothing")
        return [MaskFile(mask)]
    pieces = parse_segmentation(mask)
    if mask and not pieces:
        raise InvalidInput("no polygon of mask has 3 points")
    return pieces


def _boxes(boxes: Any) -> list[tuple[float, float, float, float]]:
    if boxes is None:
        return []
    if not isinstance(boxes, list):
        raise InvalidInput(f"boxes is a list of [left, top, right, bottom], not {reprlib.repr(boxes)}")
    found = []
    with error_context("boxes"):
        for box in boxes:
            left, top, right, bottom = corners = tuple(map(float, box))
            if not (left <= right and top <= bottom and all(map(isfinite, corners))):
                raise InvalidInput(f"[left, top, right, bottom] in pixels, not {reprlib.repr(box)}")
            found.append((left, top, right, bottom))
    return found
