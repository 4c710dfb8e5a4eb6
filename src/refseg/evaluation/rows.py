"""Rows of an evaluation: one for each expression, with the counts of every protocol, as a line of JSON.

Of a video there is a row for each expression and frame.
"""

import codecs
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from refseg.errors import InvalidInput, MissingFile
from refseg.metrics import Counts, Values

ROWS, MASKS = "expressions.jsonl", "masks.jsonl"
MOST_PIXELS = 2**53  # of a count; more are not exact as floats
_READ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@with_config(_READ)
@dataclass(frozen=True, slots=True)
class Score:
    """Score of one answer under one protocol.

    Attributes:
        intersection, union: pixels of answer and truth, as the protocol counts them.
        has_prediction: whether the protocol counts it as an answer with a referent.
        iou: in the protocol's own arithmetic; None where that gives no number. J of protocols that have J and F.
        contour: F of those.
    """

    intersection: int
    union: int
    has_prediction: bool
    iou: float | None
    contour: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        names = [name for name in self.__slots__ if name != "contour" or self.contour is not None]
        return {name: getattr(self, name) for name in names}


@with_config(_READ)
@dataclass(frozen=True, slots=True)
class Row:
    """One expression and how it was answered.

    Attributes:
        id: of the expression, unique within the data set.
        image_id, expression, kind: from the sample; the image of a frame is its video.
        type: form of the expression, the data set's own where it has one.
        part: part of a held-out split, or "".
        size: of all that it refers to, "" if that is nothing: the data set's own word, else its share of the image.
        referents: how many it refers to, 0 if to nothing.
        exists: the probability that it refers to something; None if it is unknown.
        seconds: its share of the time that its batch of images took.
        error: kind of error, see `kinds_of_error`.
        scores: by name of the protocol; of a frame only those protocols that count it.
        cause: what a wrong answer is due to: "missed" (an object that is meant was not found), "choice" (another set
            of objects), "mask" (the right set); "" for a network that knows no objects.
        perfect: intersection and union if every object that is meant and was found had been chosen; None as above.
        area: pixels of all that it refers to.
        frame: name of the frame of a video; "" of an image.
        annotator: whose text it is, where a video's objects have several for `davis`, otherwise "".
    """

    id: str
    image_id: str
    expression: str
    type: str
    kind: str
    part: str
    size: str
    referents: int
    exists: float | None
    seconds: float
    error: str
    scores: Mapping[str, Score]
    cause: str = ""
    perfect: tuple[int, int] | None = None
    area: int = 0
    frame: str = ""
    annotator: str = ""

    @property
    def key(self) -> str:
        """Key that is unique among the rows."""
        return f"{self.id}/{self.frame}" if self.frame else self.id

    @property
    def has_target(self) -> bool:
        """Whether it refers to anything."""
        return self.referents > 0

    def json(self) -> str:
        """Returns the row as a line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        scores = {name: score.to_dict() for name, score in self.scores.items()}
        return {field: getattr(self, field) for field in self.__slots__} | {"scores": scores}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Row":
        """Returns the row that `json` wrote."""
        scores = {name: Score(**score) for name, score in values["scores"].items()}
        perfect = values.get("perfect")
        return cls(**{**values, "scores": scores, "perfect": tuple(perfect) if perfect else None})


@dataclass(frozen=True)
class FoundInImage:
    """How well the objects of one image were found, before any expression was read.

    Attributes:
        objects: number of true objects.
        found: number of found ones.
        ious: IoU of each true object with the found one that matches it, 0 for a missed one.
        missed: number of true objects that no found one matches.
    """

    objects: int
    found: int
    ious: tuple[float, ...]
    missed: int


@dataclass(frozen=True)
class ImageAnswers:
    """The rows of one image and what is known of it without any expression.

    Attributes:
        index: of the image, or video, in the data set.
        rows: one for each of its expressions, in order; of a video, frame after frame.
        unfamiliar: whether the weights do not know such images; None if that is unknown.
        found: if network and sample know objects.
        masks: run-length codes of the answers at the image's own size, where they are to be kept.
        nowhere: number of expressions about a video that name objects of which no annotated frame has a pixel.
    """

    index: int
    rows: Sequence[Row]
    unfamiliar: bool | None = None
    found: FoundInImage | None = None
    masks: Sequence[Mapping[str, Any]] = field(default=())
    nowhere: int = 0

    def json(self) -> str:
        """All of it as a line."""
        found = asdict(self.found) if self.found else None
        rows = [row.to_dict() for row in self.rows]
        return json.dumps({**vars(self), "rows": rows, "found": found}, ensure_ascii=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ImageAnswers":
        """What `json` wrote."""
        found = values["found"]
        return cls(
            index=values["index"],
            rows=[Row.of(row) for row in values["rows"]],
            unfamiliar=values["unfamiliar"],
            found=FoundInImage(**{**found, "ious": tuple(found["ious"])}) if found else None,
            masks=values["masks"],
            nowhere=values.get("nowhere", 0),
        )


def rows_of(answers: Iterable[ImageAnswers]) -> list[Row]:
    """Returns the rows of all images."""
    return [row for image in answers for row in image.rows]


def counts_of(rows: Iterable[Row], protocol: str) -> Counts:
    """Returns the counts of those rows that the protocol counts."""
    rows = [row for row in rows if protocol in row.scores]
    scores = [row.scores[protocol] for row in rows]
    return Counts(
        np.array([score.intersection for score in scores], np.int64),
        np.array([score.union for score in scores], np.int64),
        np.array([row.has_target for row in rows], np.bool_),
        np.array([score.has_prediction for score in scores], np.bool_),
    )


def scores_of(counts: Counts, ious: Values) -> Iterator[Score]:
    """A score for each of the expressions that were counted."""
    columns = (counts.intersection, counts.union, counts.has_prediction, ious)
    for intersection, union, has_prediction, iou in zip(*(column.tolist() for column in columns), strict=True):
        yield Score(int(intersection), int(union), bool(has_prediction), None if math.isnan(iou) else float(iou))


def rows_file(path: Path) -> Path:
    """Returns the `expressions.jsonl` that a path names by itself, or by its folder."""
    return path / ROWS if path.is_dir() else path


def read_rows(path: Path) -> list[Row]:
    """The rows of an `expressions.jsonl`, or of the folder that holds it.

    Raises:
        MissingFile, InvalidInput: if it is not there, or something else.
    """
    path = rows_file(path)
    if not path.is_file():
        raise MissingFile(f"{path} is missing; give an {ROWS} that `refseg evaluate` or `refseg score` wrote")
    if path.name == "report.json":
        raise InvalidInput(f"{path} is a report, without rows; give the {ROWS} beside it, or their folder")
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(_read_row(line.removeprefix(codecs.BOM_UTF8)))
            except ValueError as error:
                raise InvalidInput(
                    f"{path}, line {number}, is no row of an evaluation ({error}); give an {ROWS} that "
                    "`refseg evaluate` or `refseg score` of this version wrote"
                ) from error
    return rows


def _read_row(line: bytes) -> Row:
    """The row that `Row.json` wrote; ValueError if it is another thing."""
    try:
        row = _row_reader().validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise ValueError(f"{place}: {first['msg']}"[:200]) from error
    counts = [row.area, row.referents, *(row.perfect or ())]
    for score in row.scores.values():
        counts += [score.intersection, score.union]
        if score.intersection > score.union:
            raise ValueError("an intersection is larger than its union")
    if not all(0 <= count < MOST_PIXELS for count in counts):
        raise ValueError("a number of pixels or referents is negative or too large")
    return row


@cache
def _row_reader() -> TypeAdapter[Row]:
    return TypeAdapter(Row)
