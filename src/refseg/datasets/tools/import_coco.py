"""Conversion of COCO annotations and expressions, in a table or as refs, to the lines of `jsonl`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.counting import counted
from refseg.datasets.jsonl import LineReader
from refseg.datasets.refer import get_annotation_ids
from refseg.datasets.storage.annotation_masks import parse_segmentation
from refseg.datasets.storage.ids import normalize_id, repeated
from refseg.datasets.storage.index import IndexBuilder
from refseg.datasets.storage.reading import ErrorCollector, count_of, entries, error_context, read_plain
from refseg.errors import InvalidInput, MissingFile
from refseg.files.names import path_inside
from refseg.files.text import read_table

COLUMNS = ("expression", "annotation", "image", "split", "id", "type")
NOTHING = ["none"], ["-1"]
"""Values of column `annotation` of an expression that refers to nothing; the latter is gRefCOCO's."""


@dataclass(frozen=True)
class ImportedLines:
    """Lines in the format of `jsonl`.

    Attributes:
        lines: a JSON line for each expression.
        no_target: how many of them refer to nothing.
    """

    lines: list[str]
    no_target: int


def convert_coco(expressions: Path, instances: Path, images: str = "") -> ImportedLines:
    """Makes a JSON line of each expression, in the format of `jsonl`.

    Args:
        expressions: .csv or .jsonl with COLUMNS, or refs(...).p or .json.
        instances: COCO's annotations.
        images: what is put before the names of image files.

    Raises:
        MissingFile, InvalidInput: if a file is missing or damaged; the first bad rows are named, the others counted.
    """
    for path in (expressions, instances):
        if not path.is_file():
            raise MissingFile(
                f"{path} is missing; give a table of expressions and an instances.json, see refseg data import --help"
            )
    errors = ErrorCollector()
    rows, unstated = [], []
    for place, row in _rows(expressions):
        with errors.collect(place):
            ids = _ids(row.get("annotation"))
            if ids is None:
                unstated.append(place)
            rows.append((place, row | {"annotation": ids or []}))
    if unstated:
        raise InvalidInput(
            f"{expressions}: {count_of(unstated, len(rows), 'row')} no annotation; give its id in COCO, or none where "
            "the expression refers to nothing"
        )
    annotations = _Annotations(instances, {id for _, row in rows for id in row["annotation"]})
    reader, lines = LineReader(IndexBuilder()), list[str]()
    for number, (place, row) in enumerate(rows, start=1):
        with errors.collect(place):
            line = json.dumps(annotations.line(row, images), ensure_ascii=False).encode(errors="replace")
            reader.read(number, line)
            lines.append(line.decode())
    errors.raise_if_any(expressions)
    if not lines:
        raise InvalidInput(f"{expressions} holds no expression; give a table with a row for each")
    return ImportedLines(lines, sum(not row["annotation"] for _, row in rows))


class _Annotations:
    """Images and the wanted annotations of a COCO file; ids are texts, as in a table."""

    def __init__(self, instances: Path, wanted: set[str]):
        def compact(entry: dict[str, Any]) -> Any:
            is_annotation = "image_id" in entry and "id" in entry
            return None if is_annotation and normalize_id(entry["id"]) not in wanted else entry

        content = read_plain(instances, each=compact)
        with error_context(str(instances)):
            images = content["images"]
            annotations = [found for found in content["annotations"] if found is not None]
            self._files = {normalize_id(image["id"]): file_of(image) for image in images}
            self._ids = {file: id for id, file in self._files.items()}
            self._annotations = {normalize_id(found["id"]): found for found in annotations}
            self._twice = {
                "image": repeated(normalize_id(image["id"]) for image in images),
                "annotation": repeated(normalize_id(found["id"]) for found in annotations),
            }

    def line(self, row: dict[str, Any], images: str) -> dict[str, Any]:
        if not isinstance(row.get("expression"), str) or not row["expression"].strip():
            raise InvalidInput("expression is empty")
        ids = row["annotation"]
        if lost := [id for id in ids if id not in self._annotations]:
            raise InvalidInput(f"annotation {lost[0]} is not in the COCO file")
        found = [self._annotations[id] for id in ids]
        about = {normalize_id(annotation["image_id"]) for annotation in found}
        if (image := row.get("image")) not in (None, ""):
            id = normalize_id(image)
            about.add(self._ids.get(id, id))
        if len(about) != 1:
            raise InvalidInput(
                f"its annotations and image are of several images ({', '.join(sorted(about))})"
                if about
                else "its annotation is none, so its image must be said; add its id or file name in column image"
            )
        if (number := about.pop()) not in self._files:
            raise InvalidInput(f"image {number} is not in the COCO file")
        self._check_once("annotation", ids)
        self._check_once("image", [number])
        line: dict[str, Any] = {"image": images + self._files[number], "expression": row["expression"]}
        line |= _mask_and_boxes(ids, found) if found else {"mask": []}
        return line | {key: row[key] for key in ("split", "id", "type") if row.get(key) not in (None, "")}

    def _check_once(self, what: str, ids: list[str]) -> None:
        """Checks that each wanted id occurs once in the COCO file."""
        if twice := [id for id in ids if id in self._twice[what]]:
            raise InvalidInput(f"{what} {twice[0]} is more than once in the COCO file; make its ids unique")


def _mask_and_boxes(ids: list[str], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the joint mask of the annotations that an expression names, and their boxes, as far as they have them."""
    masks, boxes = {}, []
    for id, annotation in zip(ids, annotations, strict=True):
        with error_context(f"annotation {id}"):
            if segmentation := annotation.get("segmentation"):
                if not parse_segmentation(segmentation):
                    raise InvalidInput("no polygon of its segmentation has 3 points")
                masks[id] = segmentation if isinstance(segmentation, list) else [segmentation]
            if annotation.get("bbox"):
                left, top, width, height = map(float, annotation["bbox"])
                boxes.append([left, top, round(left + width, 2), round(top + height, 2)])
            elif not segmentation:
                raise InvalidInput("it has neither segmentation nor bbox")
    if masks and (without := [id for id in ids if id not in masks]):
        raise InvalidInput(
            f"annotation {without[0]} has a bbox but no segmentation, and others of this expression have one; "
            "there would be no mask of all"
        )
    found: dict[str, Any] = {"mask": [part for parts in masks.values() for part in parts]} if masks else {}
    return found | ({"boxes": boxes} if len(boxes) == len(ids) else {})


def file_of(image: dict[str, Any]) -> str:
    """Returns the name of an image's file.

    Raises:
        InvalidInput: if it leaves the folder of images.
    """
    path_inside(Path("images"), image["file_name"], f"file_name of image {image['id']}")
    return str(image["file_name"])


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".csv":
        rows = read_table(path)
        _, names = next(rows, (1, []))
        _check_columns(path, names)
        for number, cells in rows:
            with error_context(f"{path}: line {number}"):
                if len(cells) > len(names):
                    raise InvalidInput(
                        f"{counted(len(cells), 'cell')}, {counted(len(names), 'column')}; texts with commas need quotes"
                    )
                yield f"line {number}", dict(zip(names, cells, strict=False))
    elif path.suffix == ".jsonl":
        with path.open("rb") as binary:
            for number, line in enumerate(binary, start=1):
                if line.strip():
                    yield f"line {number}", _json_row(path, number, line)
    elif path.suffix in (".p", ".json"):
        for place, ref in entries(path, read_plain(path), "ref"):
            with error_context(place):
                rest = {"image": ref["image_id"], "annotation": get_annotation_ids(ref), "split": ref["split"]}
                for sentence in ref["sentences"]:
                    text, id = sentence.get("raw", sentence["sent"]), f"{ref['ref_id']}-{sentence['sent_id']}"
                    yield f"sentence {id}", rest | {"expression": text, "id": id, "type": ref.get("type", "")}
    else:
        raise InvalidInput(f"{path} is neither .csv nor .jsonl, nor refs as .p or .json; see refseg data import --help")


def _json_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    with error_context(f"{path}: line {number}"):
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InvalidInput("not UTF-8; save the file as UTF-8") from error
        except RecursionError as error:
            raise InvalidInput(f"not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InvalidInput(f"a row is an object with {', '.join(COLUMNS)}, not a {type(row).__name__}")
        _check_columns(path, list(row))
        return row


def _check_columns(path: Path, names: Any) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "expression" not in names:
        what = f"an unknown column {unknown[0]!r}" if unknown else "no column 'expression'"
        raise InvalidInput(f"{path} has {what}; the columns are {', '.join(COLUMNS)}")


def _ids(value: Any) -> list[str] | None:
    """Parses ids of annotations: a list, a number, or a text with spaces between them.

    Returns an empty list where it is said that there are none, and None where nothing is said.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    values = value.split() if isinstance(value, str) else value if isinstance(value, list) else [value]
    ids = [normalize_id(id) for id in values]
    return [] if [id.lower() for id in ids] in NOTHING else ids
