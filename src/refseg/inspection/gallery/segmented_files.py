"""Answers that a run of `refseg segment` has written, as stored masks."""

import json
from pathlib import Path

from typing_extensions import override

from refseg.array_types import Mask
from refseg.errors import InvalidInput
from refseg.evaluation.stored_masks import StoredMasks
from refseg.files.resumable import ANSWERS
from refseg.inspection.gallery.shown_samples import photograph_id
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
        self._folder = folder
        self.place, self._starts, unfamiliar, start = folder / ANSWERS, dict[str, int](), set[str](), 0
        with self.place.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                if answer := self._parse(text, number):
                    id, is_unfamiliar = answer
                    self._starts[id] = start
                    if is_unfamiliar:
                        unfamiliar.add(id)
                start += len(text)
        self.ids, self.unfamiliar = frozenset(self._starts), frozenset(unfamiliar)

    @override
    def mask(self, id: str) -> Mask:
        with self.place.open("rb") as lines:
            lines.seek(self._starts[id])
            return decode_rle(parse_rle(json.loads(lines.readline()).get("rle", {})))

    def _parse(self, text: bytes, number: int) -> tuple[str, bool] | None:
        """Returns the id of an answer and whether its image is unfamiliar; None for an error in place of an answer."""
        try:
            line = json.loads(text)
            expression = line["expression"]
            if not isinstance(expression, str):
                raise TypeError
            if "error" in line:
                return None
            return photograph_id(self._folder / line["source"], expression), line.get("familiar") is False
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError) as error:
            raise InvalidInput(
                f"{self.place}, line {number}, is no answer of `refseg segment`; repeat the command that wrote it"
            ) from error
