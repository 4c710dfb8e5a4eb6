"""Systems of a gallery: what answers, networks or masks that are stored."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from refseg import datasets
from refseg.array_types import Mask
from refseg.checkpoints.config_file import check_weights
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput, MissingFile, for_caller
from refseg.evaluation.earlier_results import REPORT
from refseg.evaluation.rows import MASKS, ROWS
from refseg.evaluation.scoring import STANDARD
from refseg.files.resumable import ANSWERS
from refseg.inference.prefetch import count_threads
from refseg.inspection.gallery.asked import photograph_id, truth_of
from refseg.masks.rle import decode_rle, encode_rle, parse_rle
from refseg.samples import Clip, Sample

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.evaluation.stored_masks import StoredMasks
    from refseg.inference.crf import DenseCRF

FRAMES = "masks"  # folder of the masks of videos in that of an evaluation


@dataclass(frozen=True)
class Answer:
    """The answer to one expression.

    Attributes:
        rle: run-length code of its mask at the image's own size; {} for a ground truth that is not known.
        unfamiliar: Whether the weights do not know such images.
    """

    rle: Mapping[str, Any]
    unfamiliar: bool = False


class System(ABC):
    """A network or stored masks.

    Attributes:
        place: where it is, for labels and messages.
    """

    place: str

    def open(self, clips: Sequence[Clip] | None) -> None:  # noqa: B027
        """Opens what is stored; `clips` are those that frames are of, None for images.

        Raises:
            MissingFile, InvalidInput: if it cannot be read.
        """

    @property
    def has_all(self) -> bool:
        """Whether it answers any expression."""
        return True

    def answers(self, id: str) -> bool:
        """Whether it has an answer to the expression of this id."""
        return True

    @abstractmethod
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[Answer]]:
        """Yields the answers to all expressions of each sample."""


class GroundTruth(System):
    """The data set's own masks, as far as they are known."""

    place = "ground truth"

    @override
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[Answer]]:
        for sample in samples:
            truths = [truth_of(sample, index) for index in range(len(sample.expressions))]
            yield [Answer({} if truth is None else encode_rle(truth)) for truth in truths]


class Weights(System):
    """Weights, which answer as they are evaluated: under protocol `standard`.

    Args:
        weights: what `evaluate` takes.
        device: of the network.
        crf: refines the masks.
    """

    def __init__(self, weights: str | Path | Checkpoint, device: str = "auto", crf: DenseCRF | None = None):
        self.weights, self.device, self.crf = weights, device, crf
        self.place = str(weights) if isinstance(weights, str | Path) else weights.name
        if isinstance(weights, str | Path):
            check_weights(weights)

    @override
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[Answer]]:
        from refseg.checkpoints.io import load_checkpoint
        from refseg.evaluation.answers import scoring_arguments
        from refseg.hardware import choose_device
        from refseg.inference.predict import predict_samples

        checkpoint = (
            load_checkpoint(self.weights, choose_device(self.device))
            if isinstance(self.weights, str | Path)
            else self.weights
        )
        samples = map(_check_annotated, samples) if checkpoint.network.needs_annotations else samples
        numbered = enumerate(samples)
        for prediction in predict_samples(checkpoint, numbered, crf=self.crf, workers=count_threads(None)):
            for image in range(len(prediction.queries)):
                about = scoring_arguments(checkpoint, prediction, image)
                masks = about["predict"](STANDARD, slice(0, len(about["sample"].expressions)))
                yield [Answer(encode_rle(mask.numpy()), about["unfamiliar"] is True) for mask in masks]


class Stored(System):
    """Masks that `refseg evaluate --masks`, `refseg segment` or any other program wrote.

    Args:
        place: folder of ID.png, JSON Lines of run lengths, or the folder of an evaluation or of answers.
    """

    def __init__(self, place: str | Path):
        self.place, self._path = str(place), Path(place)
        if not self._path.exists():
            raise MissingFile(
                f"{place} is missing; give a folder of ID.png, JSON Lines of run lengths, or the folder that "
                "`refseg evaluate --masks` or `refseg segment` wrote"
            )

    @property
    @override
    def has_all(self) -> bool:
        return False

    @override
    def open(self, clips: Sequence[Clip] | None) -> None:
        self._masks = _open(self._path, clips)

    @override
    def answers(self, id: str) -> bool:
        return id in self._masks.ids

    def data(self) -> dict[str, Any]:
        """Returns name ("dataset") and settings of the data set that an evaluation's report says; {} if none does."""
        folder = self._path if self._path.is_dir() else self._path.parent
        try:
            about = dict(json.loads((folder / REPORT).read_text(encoding="utf-8"))["about"])
            names = datasets.settings_of(datasets.class_of(about["dataset"]))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return {}
        return {name: about[name] for name in ("dataset", *names) if about.get(name) is not None}

    @override
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[Answer]]:
        from refseg.evaluation.stored_masks import read_sample_masks
        from refseg.evaluation.stored_video_masks import read_frame_masks

        for sample in samples:
            masks = (
                read_frame_masks(self._masks, sample)
                if isinstance(sample, AnnotatedFrame)
                else read_sample_masks(self._masks, sample)
            )
            yield [Answer(encode_rle(mask)) for mask in masks]


def _open(place: Path, clips: Sequence[Clip] | None) -> StoredMasks:
    from refseg.evaluation import stored_masks, stored_video_masks

    if (place / ANSWERS).is_file():
        return segmented_files(place)
    if (place / MASKS).is_file():
        place /= MASKS
    elif (place / ROWS).is_file() and (place / FRAMES).is_dir():
        place /= FRAMES
    elif (place / ROWS).is_file():
        again = for_caller("the same `refseg evaluate` with --masks", "evaluate(..., masks=True)")
        raise MissingFile(f"{place} holds scores and no masks; {again} writes them, or give the weights themselves")
    return stored_masks.open_masks(place) if clips is None else stored_video_masks.open_folders(place, clips)


def segmented_files(folder: Path) -> StoredMasks:
    """Returns the answers in the folder of a run of `refseg segment`, by `photograph_id`.

    Raises:
        InvalidInput: if a line is no answer.
    """
    from refseg.evaluation.stored_masks import StoredMasks

    class SegmentedFiles(StoredMasks):
        def __init__(self) -> None:
            super().__init__()
            self.place = folder / ANSWERS
            self._starts: dict[str, int] = {}
            start = 0
            with self.place.open("rb") as lines:
                for number, text in enumerate(lines, start=1):
                    line = self._parsed(text, number)
                    if "rle" in line:  # otherwise it is an error
                        self._starts[photograph_id(folder / line["source"], line["expression"])] = start
                    start += len(text)
            self.ids = frozenset(self._starts)

        def _parsed(self, text: bytes, number: int) -> dict[str, Any]:
            try:
                line: dict[str, Any] = json.loads(text)
                if not (isinstance(line["expression"], str) and ("error" in line or isinstance(line["source"], str))):
                    raise ValueError
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                told = f"{self.place}, line {number}, is no answer of `refseg segment`"
                raise InvalidInput(f"{told}; repeat that command") from error
            return line

        def mask(self, id: str) -> Mask:
            with self.place.open("rb") as lines:
                lines.seek(self._starts[id])
                return decode_rle(parse_rle(json.loads(lines.readline())["rle"]))

    return SegmentedFiles()


def _check_annotated(sample: Sample) -> Sample:
    if sample.annotated_objects() is None:
        raise InvalidInput(
            f"these weights choose among all objects that a data set annotates, and of {sample.image_id} none are; "
            "take another finder, for example reader:finder=coco80"
        )
    return sample
