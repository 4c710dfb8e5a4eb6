"""Counts of the answers to all questions about an image, as one line of JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from refseg.array_types import Mask
from refseg.robustness.asked import ORIGINAL, AskedPicture

UNKNOWN = -1
"""Counts of an answer whose truth is not known."""
SAME = 0.5
"""IoU from which on two answers are the same, and an answer is right."""


@dataclass(frozen=True, eq=False)
class PictureAnswers:
    """The answers to what is asked about one picture.

    Attributes:
        asked: the picture and the questions.
        masks: an answer (H, W) each, empty where it is that nothing matches; None where there is no answer.
        exists: probabilities that there is a referent; None where they are not known.
        unfamiliar: whether the weights do not know such pictures; None if that is not known.
    """

    asked: AskedPicture
    masks: Sequence[Mask | None]
    exists: Sequence[float | None]
    unfamiliar: bool | None = None


class Counted(NamedTuple):
    """One answer, counted.

    Attributes:
        expression: index of the original expression in its sample.
        intersection, union: pixels of answer and truth; UNKNOWN where the truth is not known.
        target: whether there is a referent; UNKNOWN as above.
        answered: whether the answer is a mask, not that nothing matches.
        right: whether its IoU with the truth is at least SAME, or nothing matches and it says so; UNKNOWN as above.
            Where the referent changes, it must be nearer to the new truth than to that of the original, too.
        agreement: IoU of the answer with that to the original, 1 where both say that nothing matches.
        same: whether it is the same answer as that to the original: where the meaning stays, if `agreement` is at least
            SAME; where it changes, if it is at least half-way from the IoU of both truths to 1.
        exists: probability that there is a referent.
    """

    expression: int
    intersection: int
    union: int
    target: int
    answered: int
    right: int
    agreement: float
    same: int
    exists: float | None


class Condition(NamedTuple):
    """A group of questions: those of one kind, level and effect, certain or not."""

    kind: str
    level: str = ""
    effect: str = "stay"
    certain: bool = True


@dataclass
class ImageLine:
    """All answers about one image.

    Attributes:
        number: of the image in the data set.
        expressions: number of its own expressions.
        counted: answers by condition.
        unfamiliar: by kind and level, whether the weights do not know the picture.
    """

    number: int
    expressions: int
    counted: dict[Condition, list[Counted]] = field(default_factory=dict)
    unfamiliar: dict[tuple[str, str], bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain values."""
        return {
            "image": self.number,
            "expressions": self.expressions,
            "answers": [[*condition, [list(one) for one in some]] for condition, some in self.counted.items()],
            "unfamiliar": [[*name, value] for name, value in self.unfamiliar.items()],
        }

    @classmethod
    def of(cls, values: Any) -> "ImageLine":
        """Returns the line that `to_json` gave; LookupError, TypeError or ValueError if it is another thing."""
        line = cls(int(values["image"]), int(values["expressions"]))
        for kind, level, effect, certain, some in values["answers"]:
            condition = Condition(str(kind), str(level), str(effect), bool(certain))
            line.counted[condition] = [Counted(*one) for one in some]
        for kind, level, value in values["unfamiliar"]:
            line.unfamiliar[str(kind), str(level)] = bool(value)
        return line


def count_image(answers: Iterable[PictureAnswers]) -> ImageLine:
    """Counts all answers about one image, of which those about the picture as it is come first."""
    line: ImageLine | None = None
    originals: dict[int, Mask] = {}
    for picture in answers:
        asked = picture.asked
        if line is None:
            line = ImageLine(asked.number, len(asked.original.expressions))
        if picture.unfamiliar is not None and asked.questions:
            name = (ORIGINAL, "") if asked.changed is None else (asked.questions[0].kind, asked.questions[0].level)
            line.unfamiliar[name] = picture.unfamiliar
        for k, (question, mask) in enumerate(zip(asked.questions, picture.masks, strict=True)):
            if mask is None:
                continue
            if question.kind == ORIGINAL:
                originals[question.index] = mask
            if question.index in originals:
                before = asked.carry(originals[question.index])
                counted = _count(asked, k, mask, before, picture.exists[k])
                condition = Condition(question.kind, question.level, question.effect, question.certain)
                line.counted.setdefault(condition, []).append(counted)
    assert line is not None
    return line


def mask_iou(one: Mask, other: Mask) -> float:
    """Computes the IoU of two masks (H, W), 1 where both are empty."""
    both, either = np.count_nonzero(one & other), np.count_nonzero(one | other)
    return both / either if either else 1.0


def _count(asked: AskedPicture, k: int, mask: Mask, before: Mask, exists: float | None) -> Counted:
    question, truth = asked.questions[k], asked.truth(k)
    agreement = mask_iou(mask, before)
    least, right, intersection, union, target = SAME, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    if truth is not None:
        intersection, union = int(np.count_nonzero(mask & truth)), int(np.count_nonzero(mask | truth))
        iou, target = intersection / union if union else 1.0, int(truth.any())
        right = int(iou >= SAME)
        if question.effect != "stay":
            old = asked.carry(asked.original.mask(question.index))
            least = (1 + mask_iou(truth, old)) / 2
            right = int(right and iou > mask_iou(mask, old))
    return Counted(
        question.index,
        intersection,
        union,
        target,
        int(mask.any()),
        right,
        round(agreement, 4),
        int(agreement >= least),
        None if exists is None else round(exists, 5),
    )
