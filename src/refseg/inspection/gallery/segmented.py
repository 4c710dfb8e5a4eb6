"""Answers that a run of `refseg segment` has written, as stored masks."""

import json
from pathlib import Path
from typing import Any

from typing_extensions import override

from refseg.array_types import Mask
from refseg.errors import InvalidInput
from refseg.evaluation.stored_masks import StoredMasks
from refseg.files.resumable import ANSWERS
from refseg.inspection.gallery.asked import photograph_id
from refseg.masks.rle import decode_rle, parse_rle


class SegmentedFiles(StoredMasks):
    """The answers in the folder of a run, by `photograph_id`.

    Attributes:
        unfamiliar: ids of those about images that the weights do not know.

    Raises:
        InvalidInput: if a line is no answer.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.place, self._starts, unfamiliar, start = folder / ANSWERS, dict[str, int](), set[str](), 0
        with self.place.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                line = self._parsed(text, number)
                if "error" not in line:
                    id = photograph_id(folder / line["source"], line["expression"])
                    self._starts[id] = start
                    if line.get("familiar") is False:
                        unfamiliar.add(id)
                start += len(text)
        self.ids, self.unfamiliar = frozenset(self._starts), frozenset(unfamiliar)

    @override
    def mask(self, id: str) -> Mask:
        with self.place.open("rb") as lines:
            lines.seek(self._starts[id])
            return decode_rle(parse_rle(json.loads(lines.readline()).get("rle", {})))

    def _parsed(self, text: bytes, number: int) -> dict[str, Any]:
        try:
            line: dict[str, Any] = json.loads(text)
            names = ["expression"] if "error" in line else ["expression", "source"]
            if not all(isinstance(line[name], str) for name in names):
                raise TypeError
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InvalidInput(
                f"{self.place}, line {number}, is no answer of `refseg segment`; repeat the command that wrote it"
            ) from error
        return line
