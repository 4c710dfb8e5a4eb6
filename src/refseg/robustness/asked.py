"""Questions about one image: its own expressions, changed sentences, and its expressions about changed pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.robustness.pictures import PICTURE_KINDS, change_picture
from refseg.robustness.pictures.changed_sample import ChangedSample
from refseg.robustness.sentences import SENTENCE_KINDS, change_sentences
from refseg.robustness.variant import Effect
from refseg.samples import AnnotatedObjects, Expression, Sample

ORIGINAL = ""
"""Kind of an expression as the data set has it."""


@dataclass(frozen=True, eq=False)
class Question:
    """A sentence that is asked about a picture.

    Attributes:
        id: unique within the data set.
        index: of the original expression in its sample.
        text: the sentence.
        kind: of SENTENCE_KINDS or PICTURE_KINDS; ORIGINAL for the expression itself.
        level: severity of a changed picture, form of a changed sentence; "" where there is none.
        effect: of the change on the referent.
        certain: whether that is certain by construction.
        target: true mask (H, W); None where it is that of the picture's own expression, or not known.
    """

    id: str
    index: int
    text: str
    kind: str = ORIGINAL
    level: str = ""
    effect: Effect = "stay"
    certain: bool = True
    target: Mask | None = None


class AskedPicture(Sample):
    """A picture, changed or not, with what is asked about it.

    Attributes:
        number: of the image in the data set.
        original: the sample as the data set has it.
        changed: the changed sample; None where the picture is as it was.
        questions: what is asked.
    """

    def __init__(self, number: int, original: Sample, changed: ChangedSample | None, questions: Sequence[Question]):
        self.number, self.original, self.changed = number, original, changed
        self.questions = tuple(questions)
        self._shown: Sample = original if changed is None else changed
        self.image_id, self.part = self._shown.image_id, original.part
        self.expressions = tuple(Expression(one.text, (), id=one.id) for one in self.questions)

    @property
    @override
    def image(self) -> RgbImage:  # type: ignore[override]
        return self._shown.image

    @property
    @override
    def size_hw(self) -> tuple[int, int]:
        return self._shown.size_hw

    @override
    def mask(self, index: int) -> Mask:
        truth = self.truth(index)
        return np.zeros(self.size_hw, np.bool_) if truth is None else truth

    def truth(self, index: int) -> Mask | None:
        """Returns the true mask (H, W) of question `index`; None where it is not known."""
        question = self.questions[index]
        if question.effect == "vanish":
            return np.zeros(self.size_hw, np.bool_)
        if question.target is not None:
            return question.target
        if question.effect == "change":
            return None
        truth = self.original.mask(question.index)
        return truth if self.changed is None else self.changed.change.warp(truth)

    def carry(self, answer: Mask) -> Mask:
        """Returns an answer (H, W) about the original picture as it lies in this one."""
        return answer if self.changed is None else self.changed.change.warp(answer)

    def only(self, chosen: Sequence[int]) -> "AskedPicture":
        """Returns the same picture with some of the questions."""
        return AskedPicture(self.number, self.original, self.changed, [self.questions[k] for k in chosen])

    @override
    def annotated_objects(self) -> AnnotatedObjects | None:
        return self._shown.annotated_objects()


@dataclass(frozen=True)
class Plan:
    """What is changed in a data set, and how.

    Attributes:
        sentences: kinds of changed sentences.
        pictures: kinds of changed pictures.
        severities: of the changed pictures.
        seed: of the changed sentences.
    """

    sentences: tuple[str, ...] = tuple(SENTENCE_KINDS)
    pictures: tuple[str, ...] = tuple(PICTURE_KINDS)
    severities: tuple[int, ...] = (1, 3, 5)
    seed: int = 0

    def conditions(self) -> Iterator[tuple[str, int]]:
        """Yields kind and severity of each changed picture of an image."""
        for kind in self.pictures:
            for severity in PICTURE_KINDS[kind].severities:
                if severity in self.severities or len(PICTURE_KINDS[kind].severities) == 1:
                    yield kind, severity


def ask_about(number: int, sample: Sample, plan: Plan) -> Iterator[AskedPicture]:
    """Yields what is asked about a sample: first all sentences about the picture as it is, then each changed picture.

    Args:
        number: of the sample in the data set.
        sample: an image with its expressions.
        plan: the kinds of change.
    """
    yield ask_sentences(number, sample, plan)
    for kind, severity in plan.conditions():
        yield ask_picture(number, sample, kind, severity)


def ask_sentences(number: int, sample: Sample, plan: Plan) -> AskedPicture:
    """Returns the expressions of a sample and its changed sentences, about the picture as it is."""
    questions = [
        Question(sample.expression_id(i), i, expression.text) for i, expression in enumerate(sample.expressions)
    ]
    counts: dict[tuple[int, str], int] = {}
    for variant in change_sentences(sample, plan.sentences, plan.seed) if plan.sentences else ():
        place = counts[variant.index, variant.kind] = counts.get((variant.index, variant.kind), 0) + 1
        questions.append(
            Question(
                id=f"{sample.expression_id(variant.index)}/{variant.kind}/{place}",
                index=variant.index,
                text=variant.text,
                kind=variant.kind,
                level=variant.detail,
                effect=variant.effect,
                certain=variant.certain,
                target=variant.target if variant.effect == "change" else None,
            )
        )
    return AskedPicture(number, sample, None, questions)


def ask_picture(number: int, sample: Sample, kind: str, severity: int) -> AskedPicture:
    """Returns the expressions of a sample that still mean the same, about its changed picture."""
    changed = change_picture(sample, kind, severity)
    pairs = zip(changed.kept, changed.expressions, strict=True)
    questions = [Question(one.id, i, one.text, kind, str(severity)) for i, one in pairs]
    return AskedPicture(number, sample, changed, questions)
