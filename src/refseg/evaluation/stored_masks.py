"""Masks that any program wrote: a folder of PNG, or JSON Lines of run lengths, by the expressions' ids."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refseg.array_types import Mask
from refseg.counting import counted
from refseg.datasets.storage.annotation_masks import extract_mask, has_more_values
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.evaluation.rows import ImageAnswers
from refseg.evaluation.scoring import score_image
from refseg.inference.prefetch import prefetch_map
from refseg.lazy import LazyModule
from refseg.masks.rle import decode_rle, parse_rle
from refseg.preprocessing.images import open_image
from refseg.protocols.protocol import Protocol
from refseg.samples import Sample

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

NAMED = 5  # ids that an error or a warning names


class StoredMasks(ABC):
    """Masks by id of their expression.

    Attributes:
        place: where they lie, for messages.
        ids: of the expressions that have one.
        cut: ids of the masks that were read and have soft edges or noise, which were cut at half.
    """

    place: Path
    ids: frozenset[str]

    def __init__(self) -> None:
        self.cut: set[str] = set()

    @abstractmethod
    def mask(self, id: str) -> Mask:
        """The mask (H, W) of an expression; InvalidInput if it cannot be read."""

    def cautions(self) -> list[str]:
        """What is to be known of the masks that were read, one line or none."""
        if not self.cut:
            return []
        some = _some(sorted(self.cut))
        return [
            f"{self.place} holds {counted(len(self.cut), 'mask')} with soft edges or noise, which are cut at "
            f"half: {some}"
        ]

    def exists(self, id: str) -> float | None:
        """The probability that the expression refers to something, if the program gave one."""
        return None


class PngFolder(StoredMasks):
    """ID.png for each expression, black where it is not; an id with a slash lies in a folder of its own."""

    def __init__(self, folder: Path):
        super().__init__()
        self.place = folder
        files = sorted(file for file in folder.rglob("*.*") if file.suffix.lower() == ".png")
        self._files = {file.relative_to(folder).as_posix()[: -len(".png")]: file for file in files}
        self.ids = frozenset(self._files)
        if not self.ids:
            raise InvalidInput(f"{folder} holds no .png; a mask is called after the id of its expression")

    def mask(self, id: str) -> Mask:
        """The mask of ID.png."""
        file = self._files[id]
        try:
            with open_image(file) as image:
                mask = extract_mask(image, str(file), labels=False)
                if has_more_values(image):
                    self.cut.add(id)
                return mask
        except InvalidInput:
            raise
        except Exception as error:  # decoders of damaged files raise whatever they like
            raise InvalidInput(f"{file} cannot be read ({first_line(error)}); is it damaged?") from error


class RunLengths(StoredMasks):
    """A line {"id", "counts", "size": [H, W]} an expression, maybe with "exists"; `evaluate --masks` writes them."""

    def __init__(self, file: Path):
        super().__init__()
        self.place = file
        self._start: dict[str, int] = {}
        self._exists: dict[str, float] = {}
        with file.open("rb") as lines:
            start = 0
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    self._index(number, start, line)
                start += len(line)
        self.ids = frozenset(self._start)

    def mask(self, id: str) -> Mask:
        """The mask of the line with that id."""
        with self.place.open("rb") as lines:
            lines.seek(self._start[id])
            line = lines.readline()
        try:
            return decode_rle(parse_rle(json.loads(line)))
        except InvalidInput as error:
            raise InvalidInput(f"{self.place}, expression {id}: {error}") from error

    def exists(self, id: str) -> float | None:
        """Returns the probability of its line."""
        return self._exists.get(id)

    def _index(self, number: int, start: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            id, exists = str(entry["id"]), entry.get("exists")
            if exists is not None:
                self._exists[id] = float(exists)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f'{self.place}, line {number}, is not {{"id": ..., "counts": ..., "size": [height, width]}}'
            ) from error
        if not 0 <= self._exists.get(id, 0) <= 1:
            raise InvalidInput(f"{self.place}, line {number}: exists is a probability, 0 to 1, not {self._exists[id]}")
        if id in self._start:
            raise InvalidInput(f"{self.place}, line {number}: there is another mask of expression {id} before it")
        self._start[id] = start


def open_masks(place: Path) -> StoredMasks:
    """The masks of a folder or a file.

    Raises:
        MissingFile, InvalidInput: if there are none.
    """
    if place.is_dir():
        return PngFolder(place)
    try:
        return RunLengths(place)
    except FileNotFoundError as error:
        raise MissingFile(f"{place} is missing; give a folder of PNG, or JSON Lines of run lengths") from error
    except OSError as error:
        raise InvalidInput(f"{place} cannot be read ({error.strerror})") from error


def compare_samples(masks: StoredMasks, samples: Iterable[Sample]) -> list[str]:
    """As `compare_ids`, of all expressions of the samples."""
    return compare_ids(masks, [id for sample in samples for id in expression_ids(sample)])


def compare_ids(masks: StoredMasks, wanted: Sequence[str], others: Iterable[str] = ()) -> list[str]:
    """Says which masks belong to no expression of the data set, one line or none.

    Args:
        masks: what there is.
        wanted: the ids that must be there.
        others: ids that may be.

    Raises:
        InvalidInput: if an expression has no mask, or two have the same id.
    """
    known = set(wanted)
    if len(known) < len(wanted):
        raise InvalidInput("two expressions of this data set have the same id, so masks cannot be told apart")
    if missing := [id for id in wanted if id not in masks.ids]:
        raise InvalidInput(
            f"{masks.place} lacks {counted(len(missing), 'mask', len(wanted))}: {_some(missing)}; write an empty one "
            "where the answer is that nothing matches"
        )
    surplus = sorted(masks.ids - known.union(others))
    if not surplus:
        return []
    return [
        f"{masks.place} holds {counted(len(surplus), 'mask')} of no expression of this split, left out: "
        f"{_some(surplus)}"
    ]


def score_samples(
    masks: StoredMasks, samples: Iterable[Sample], protocols: Sequence[Protocol], workers: int = 0
) -> Iterator[ImageAnswers]:
    """Yields the rows of samples, image after image; an empty mask says that the expression refers to nothing.

    Raises:
        InvalidInput: if a mask is not of its image's size.
    """

    def score(numbered: tuple[int, Sample]) -> ImageAnswers:
        index, sample = numbered
        answers = torch.from_numpy(np.stack(read_sample_masks(masks, sample)))
        none = ~answers.flatten(1).any(1)

        def predict(protocol: Protocol, where: slice) -> torch.Tensor:
            return protocol.from_masks(answers[where], none[where])

        return score_image(
            index, sample, predict, none, [masks.exists(id) for id in expression_ids(sample)], 0.0, protocols
        )

    return prefetch_map(score, ((k, sample) for k, sample in enumerate(samples) if sample.expressions), workers)


def read_sample_masks(masks: StoredMasks, sample: Sample) -> list[Mask]:
    """The masks (H, W) of a sample's expressions; InvalidInput as of `read_masks`."""
    return read_masks(masks, expression_ids(sample), sample.size_hw)


def expression_ids(sample: Sample) -> list[str]:
    """The ids of a sample's expressions."""
    return [sample.expression_id(i) for i in range(len(sample.expressions))]


def read_masks(masks: StoredMasks, ids: Sequence[str], size_hw: tuple[int, int]) -> list[Mask]:
    """The masks (H, W) of expressions about an image of this size.

    Raises:
        InvalidInput: if one is not of the image's size.
    """
    found = []
    for id in ids:
        mask = masks.mask(id)
        if mask.shape != size_hw:
            (height, width), (wanted_height, wanted_width) = mask.shape[:2], size_hw
            raise InvalidInput(
                f"the mask of expression {id} in {masks.place} is {width} x {height} pixels, its image "
                f"{wanted_width} x {wanted_height}; write masks at the image's own size"
            )
        found.append(mask)
    return found


def _some(ids: Sequence[Any]) -> str:
    return ", ".join(map(str, ids[:NAMED])) + (f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else "")
