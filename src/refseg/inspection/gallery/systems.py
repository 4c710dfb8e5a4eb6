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
from refseg.checkpoints.config_file import check_weights
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput, MissingFile, for_caller
from refseg.evaluation.earlier_results import REPORT
from refseg.evaluation.rows import MASKS, ROWS
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.stored_masks import StoredMasks, open_masks, read_masks
from refseg.files.resumable import ANSWERS
from refseg.inference.prefetch import count_threads
from refseg.inspection.gallery.segmented_files import SegmentedFiles
from refseg.inspection.gallery.shown_samples import Photograph, get_truth, list_ids
from refseg.masks.rle import encode_rle
from refseg.samples import Clip, Sample

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.inference.crf import DenseCRF

FRAME_MASKS_FOLDER = "masks"  # folder of the masks of videos in that of an evaluation

WAY_OUT = (
    "give a folder of ID.png, JSON Lines of run lengths, or the folder that `refseg evaluate --masks` or "
    "`refseg segment` wrote"
)


@dataclass(frozen=True)
class SystemAnswer:
    """The answer of a system to one expression.

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

    def has_answer(self, id: str) -> bool:
        """Whether it has an answer to the expression of this id."""
        return True

    @abstractmethod
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[SystemAnswer]]:
        """Yields the answers to all expressions of each sample."""


class GroundTruth(System):
    """The data set's own masks, as far as they are known."""

    place = "ground truth"

    @override
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[SystemAnswer]]:
        for sample in samples:
            truths = [get_truth(sample, index) for index in range(len(sample.expressions))]
            yield [SystemAnswer({} if truth is None else encode_rle(truth)) for truth in truths]


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
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[SystemAnswer]]:
        from refseg.checkpoints.io import load_checkpoint
        from refseg.evaluation.answers import scoring_arguments
        from refseg.hardware import choose_device
        from refseg.inference.predict import predict_samples

        checkpoint = (
            load_checkpoint(self.weights, choose_device(self.device))
            if isinstance(self.weights, str | Path)
            else self.weights
        )
        numbered = enumerate(self._checked(sample, checkpoint) for sample in samples)
        for prediction in predict_samples(checkpoint, numbered, crf=self.crf, workers=count_threads(None)):
            for image in range(len(prediction.queries)):
                about = scoring_arguments(checkpoint, prediction, image)
                masks = about["predict"](STANDARD, slice(0, len(about["sample"].expressions)))
                yield [SystemAnswer(encode_rle(mask.numpy()), about["unfamiliar"] is True) for mask in masks]

    def _checked(self, sample: Sample, checkpoint: Checkpoint) -> Sample:
        """Returns a sample that the network can answer about."""
        if (frames := checkpoint.network.frames) > 1 and not isinstance(sample, AnnotatedFrame):
            raise InvalidInput(
                f"{self.place} takes clips of {frames} frames, not single images; leave it out, or show a data set of "
                "videos, such as drawn_clips"
            )
        if checkpoint.network.needs_annotations and sample.annotated_objects() is None:
            raise InvalidInput(
                f"{self.place} chooses among all objects that a data set annotates, and of {sample.image_id} none are; "
                "take another finder, for example reader:finder=coco80"
            )
        if isinstance(sample, Photograph):  # expressions of data sets are truncated to what the network reads
            for expression in sample.expressions:
                try:
                    checkpoint.tokenizer.ids(expression.text)
                except InvalidInput as error:
                    raise InvalidInput(f"{self.place}: {error}") from error
        return sample


class StoredAnswers(System):
    """Masks that `refseg evaluate --masks`, `refseg segment` or any other program wrote.

    Args:
        place: folder of ID.png, JSON Lines of run lengths, or the folder of an evaluation or of answers.
    """

    def __init__(self, place: str | Path):
        self.place, self._path = str(place), Path(place)
        if not self._path.exists():
            raise MissingFile(f"{place} is missing; {WAY_OUT}")
        if self._path.is_dir() and not any(self._path.iterdir()):
            raise InvalidInput(f"{place} is empty; {WAY_OUT}")

    @property
    @override
    def has_all(self) -> bool:
        return False

    @override
    def open(self, clips: Sequence[Clip] | None) -> None:
        self._unfamiliar = frozenset[str]()
        if (self._path / ANSWERS).is_file():
            self._masks: StoredMasks = (files := SegmentedFiles(self._path))
            self._unfamiliar = files.unfamiliar
        else:
            self._masks = _open(self._path, clips)
        if not self._masks.ids:
            raise InvalidInput(f"{self.place} holds no masks; {WAY_OUT}")

    @override
    def has_answer(self, id: str) -> bool:
        return id in self._masks.ids

    def read_data(self) -> dict[str, Any]:
        """Returns name ("dataset") and settings of the data set that an evaluation's report says; {} if none does."""
        folder = self._path if self._path.is_dir() else self._path.parent
        try:
            about = dict(json.loads((folder / REPORT).read_text(encoding="utf-8"))["about"])
            names = datasets.settings_of(datasets.class_of(about["dataset"]))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return {}
        return {name: about[name] for name in ("dataset", *names) if about.get(name) is not None}

    @override
    def answer(self, samples: Iterable[Sample]) -> Iterator[list[SystemAnswer]]:
        for sample in samples:
            ids = list_ids(sample)
            masks = read_masks(self._masks, ids, sample.size_hw)
            yield [SystemAnswer(encode_rle(mask), id in self._unfamiliar) for mask, id in zip(masks, ids, strict=True)]


def _open(place: Path, clips: Sequence[Clip] | None) -> StoredMasks:
    if (place / MASKS).is_file():
        place /= MASKS
    elif (place / ROWS).is_file() and (place / FRAME_MASKS_FOLDER).is_dir():
        place /= FRAME_MASKS_FOLDER
    elif (place / ROWS).is_file():
        again = for_caller("the same `refseg evaluate` with --masks", "evaluate(..., masks=True)")
        raise MissingFile(f"{place} holds scores and no masks; {again} writes them, or give the weights themselves")
    if clips is None:
        return open_masks(place)
    from refseg.evaluation.stored_video_masks import open_folders  # torch, of which images have no need

    return open_folders(place, clips)
