"""COCO annotations and expressions for them, in a table or as refs, to the lines of `jsonl`."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refseg.datasets.refer import targets_of
from refseg.datasets.sources import Complaints, at, entries, read_plain
from refseg.errors import InvalidInput, MissingFile

COLUMNS = ("expression", "annotation", "image", "split", "id", "type")


def lines_of(expressions: Path, instances: Path, images: str = "") -> list[str]:
    """One JSON line an expression.

    Args:
        expressions: .csv or .jsonl with COLUMNS, or refs(...).p or .json.
        instances: COCO's annotations.
        images: what is put before the names of image files.

    Raises:
        MissingFile, InvalidInput: if a file is missing or damaged; the first bad rows are named, the others counted.
    """
    for path in (expressions, instances):
        if not path.is_file():
            raise MissingFile(f"{path} is missing; give EXPRESSIONS and INSTANCES, see refseg data import --help")
    complaints = Complaints()
    rows = []
    for place, row in _rows(expressions):
        with complaints.at(place):
            rows.append((place, row | {"annotation": _ids(row.get("annotation"))}))
    annotations = _Annotations(instances, {id for _, row in rows for id in row["annotation"]})
    lines = []
    for place, row in rows:
        with complaints.at(place):
            lines.append(json.dumps(annotations.line(row, images), ensure_ascii=False))
    complaints.tell(expressions)
    return lines


class _Annotations:
    """Images and the wanted annotations of a COCO file; ids are texts, as a table has them."""

    def __init__(self, instances: Path, wanted: set[str]):
        def compact(entry: dict[str, Any]) -> Any:
            return entry if "image_id" not in entry or str(entry.get("id")) in wanted else None

        content = read_plain(instances, each=compact)
        with at(str(instances)):
            self._files = {str(image["id"]): image["file_name"] for image in content["images"]}
            self._images = {file: id for id, file in self._files.items()}
            self._annotations = {str(found["id"]): found for found in content["annotations"] if found is not None}

    def line(self, row: dict[str, Any], images: str) -> dict[str, Any]:
        if not isinstance(row.get("expression"), str) or not row["expression"].strip():
            raise InvalidInput("expression is empty")
        ids = row["annotation"]
        if lost := [id for id in ids if id not in self._annotations]:
            raise InvalidInput(f"annotation {lost[0]} is not in the COCO file")
        found = [self._annotations[id] for id in ids]
        about = {str(annotation["image_id"]) for annotation in found}
        if (image := row.get("image")) not in (None, ""):
            about.add(self._images.get(str(image), str(image)))
        if len(about) != 1:
            raise InvalidInput(
                f"its annotations and image are of several images ({', '.join(sorted(about))})"
                if about
                else "it has neither annotation nor image"
            )
        if (number := about.pop()) not in self._files:
            raise InvalidInput(f"image {number} is not in the COCO file")
        line: dict[str, Any] = {"image": images + self._files[number], "expression": row["expression"]}
        if found and all(annotation.get("segmentation") for annotation in found):
            line["mask"] = [part for annotation in found for part in _parts(annotation["segmentation"])]
        if found and all(annotation.get("bbox") for annotation in found):
            boxes = [map(float, annotation["bbox"]) for annotation in found]
            line["boxes"] = [[x, y, round(x + w, 2), round(y + h, 2)] for x, y, w, h in boxes]
        if found and not line.keys() & {"mask", "boxes"}:
            raise InvalidInput(f"annotation {ids[0]} has neither segmentation nor bbox")
        return line | {key: row[key] for key in ("split", "id", "type") if row.get(key) not in (None, "")}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or [])
            with at(str(path)):
                for row in reader:
                    yield f"line {reader.line_num}", row
    elif path.suffix == ".jsonl":
        with path.open("rb") as binary:
            for number, line in enumerate(binary, start=1):
                if line.strip():
                    yield f"line {number}", _json_row(path, number, line)
    elif path.suffix in (".p", ".json"):
        for place, ref in entries(path, read_plain(path), "ref"):
            with at(place):
                rest = {"image": ref["image_id"], "annotation": targets_of(ref), "split": ref["split"]}
                for sentence in ref["sentences"]:
                    text, id = sentence.get("raw", sentence["sent"]), f"{ref['ref_id']}-{sentence['sent_id']}"
                    yield f"sentence {id}", rest | {"expression": text, "id": id, "type": ref.get("type", "")}
    else:
        raise InvalidInput(f"{path} is neither .csv nor .jsonl, nor refs as .p or .json; see refseg data import --help")


def _json_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    with at(f"{path}: line {number}"):
        row = json.loads(line.decode("utf-8-sig"))
        if not isinstance(row, dict):
            raise InvalidInput(f"a row is an object with {', '.join(COLUMNS)}, not a {type(row).__name__}")
        _check_columns(path, list(row))
        return row


def _check_columns(path: Path, names: Any) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "expression" not in names:
        what = f"an unknown column {unknown[0]!r}" if unknown else "no column 'expression'"
        raise InvalidInput(f"{path} has {what}; the columns are {', '.join(COLUMNS)}")


def _ids(value: Any) -> list[str]:
    """Ids of annotations: a list, a number, or a text with spaces between them; nothing for nothing."""
    if value is None:
        return []
    values = value.split() if isinstance(value, str) else value if isinstance(value, list) else [value]
    if not all(isinstance(id, str | int) for id in values):
        raise InvalidInput(f"annotation is an id or several, not {value!r}")
    return [str(id) for id in values]


def _parts(segmentation: Any) -> list[Any]:
    return segmentation if isinstance(segmentation, list) else [segmentation]
