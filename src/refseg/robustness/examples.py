"""Worst answers to changed questions as pictures: the answer before, the answer after, and the right one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refseg.evaluation.report.worst_examples import ANSWER, TRUTH, tinted_picture
from refseg.robustness.answers import UNKNOWN, Condition, Counted, ImageLine, mask_iou
from refseg.robustness.asked import ORIGINAL, AskedPicture, Plan, ask_picture, ask_sentences
from refseg.robustness.systems import System, answer_once
from refseg.samples import Sample


@dataclass(frozen=True)
class Example:
    """One answer that should have been another.

    Attributes:
        system: name of who answered.
        kind, level, effect: of the change.
        id: of the changed question.
        original, changed: the sentence before and after; the same where the picture is changed alone.
        before, after, truth: data URIs: the original with its answer, the changed question's picture with its answer
            and with the right one.
        iou: of the answer to the changed question.
        agreement: IoU of both answers.
    """

    system: str
    kind: str
    level: str
    effect: str
    id: str
    original: str
    changed: str
    before: str
    after: str
    truth: str
    iou: float
    agreement: float


@dataclass(frozen=True)
class Place:
    """An answer among the lines: the image, the condition, and its place among the answers of that condition."""

    number: int
    condition: Condition
    place: int


def find_worst(lines: Iterable[ImageLine], of_each_kind: int) -> list[Place]:
    """Returns the worst answers of each kind and effect, where the answer to the original is right, one an image.

    Worst is the lowest IoU with the truth, then the largest union: what is most wrong is seen best.
    """
    found: dict[tuple[str, str], list[tuple[tuple[float, int, int], Place]]] = {}
    for line in lines:
        originals = {one.expression: one for one in line.counted.get(Condition(ORIGINAL), ())}
        of_image: dict[tuple[str, str], tuple[tuple[float, int, int], Place]] = {}
        for condition, some in line.counted.items():
            if condition.kind == ORIGINAL or not condition.certain:
                continue
            for place, one in enumerate(some):
                before = originals.get(one.expression)
                if one.target == UNKNOWN or before is None or not before.right or one.right:
                    continue
                rank = (_iou(one), -one.union, line.number)
                key = condition.kind, condition.effect
                if key not in of_image or rank < of_image[key][0]:
                    of_image[key] = rank, Place(line.number, condition, place)
        for key, ranked in of_image.items():
            kept = [*found.get(key, []), ranked]
            found[key] = sorted(kept, key=lambda one: one[0])[:of_each_kind]
    return [place for ranked_places in found.values() for _, place in ranked_places]


def draw_examples(
    name: str, system: System, places: Sequence[Place], dataset: Sequence[Any], plan: Plan
) -> list[Example]:
    """Returns the pictures of these answers, which are asked for once more.

    Args:
        name: of the system.
        system: that answered.
        places: from `find_worst`.
        dataset: the samples.
        plan: that was asked.
    """
    return [_draw(name, system, place, dataset[place.number], plan) for place in places]


def _draw(name: str, system: System, place: Place, sample: Sample, plan: Plan) -> Example:
    condition = place.condition
    if condition.kind in plan.sentences:
        plain = asked = ask_sentences(place.number, sample, replace(plan, sentences=(condition.kind,)))
    else:
        plain = ask_sentences(place.number, sample, replace(plan, sentences=()))
        asked = ask_picture(place.number, sample, condition.kind, int(condition.level))
    chosen = [k for k, one in enumerate(asked.questions) if _condition(asked, k) == condition][place.place]
    question = asked.questions[chosen]
    (before,) = answer_once(system, plain, [question.index])
    (after,) = answer_once(system, asked, [chosen])
    truth = asked.mask(chosen)
    return Example(
        name,
        *condition[:3],
        question.id,
        sample.expressions[question.index].text,
        question.text,
        tinted_picture(sample.image, before, ANSWER),
        tinted_picture(asked.image, after, ANSWER),
        tinted_picture(asked.image, truth, TRUTH),
        mask_iou(after, truth),
        mask_iou(after, asked.carry(before)),
    )


def _condition(asked: AskedPicture, k: int) -> Condition:
    question = asked.questions[k]
    return Condition(question.kind, question.level, question.effect, question.certain)


def _iou(one: Counted) -> float:
    return one.intersection / one.union if one.union else 1.0
