"""Measures: figures of systems whose answers are known, and their intervals."""

import numpy as np
import pytest

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.robustness.answers import Condition, Counted, ImageLine, PictureAnswers, count_image
from refseg.robustness.asked import ORIGINAL, Plan, ask_about
from refseg.robustness.measures import difference, measure
from refseg.robustness.systems import PerfectSystem

PLAN = Plan(pictures=("blur", "crop", "mirror", "rotation"), severities=(1, 5))


class SameObject:
    """Answers every question with one object of the picture, whatever is asked: no language."""

    def answer(self, asked):
        for picture in asked:
            mask = picture.carry(picture.original.id_map == 1)
            yield PictureAnswers(picture, [mask] * len(picture.questions), [0.75] * len(picture.questions))


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=4))


def figures(system, scenes, plan=PLAN):
    lines = [count_image(system.answer(ask_about(k, scene, plan))) for k, scene in enumerate(scenes)]
    again = [ImageLine.of(line.to_json()) for line in lines]
    assert again == lines
    return measure(lines, plan)


@pytest.fixture(scope="module")
def perfect(scenes):
    return figures(PerfectSystem(), scenes)


@pytest.fixture(scope="module")
def blind(scenes):
    return figures(SameObject(), scenes)


def test_who_errs_nowhere_is_consistent_and_flips_always(perfect):
    values = {name: figure.value for name, figure in perfect.headline.items()}
    ones = ("mIoU", "oIoU", "sentences consistency", "pictures consistency", "flips", "right flips")
    zeros = ("sentences mIoU drop", "pictures mIoU drop", "absent false alarms", "ECE", "sentences ECE", "pictures ECE")
    assert [values[name] for name in ones] == [1] * len(ones)
    assert [values[name] for name in zeros] == [0] * len(zeros)
    assert all(row.figures["right flips"].value == 1 for row in perfect.rows if row.effect == "change" and row.certain)


def test_who_reads_nothing_is_consistent_and_never_flips(blind, scenes):
    values = {name: figure.value for name, figure in blind.headline.items()}
    assert (values["sentences consistency"], values["pictures consistency"]) == (1, 1)
    assert (values["flips"], values["right flips"], values["absent false alarms"]) == (0, 0, 1)
    assert all(row.figures["flips"].value == 0 for row in blind.rows if row.effect != "stay" and row.certain)
    expressions = [one for scene in scenes for one in scene.expressions]
    share = sum(bool(one.targets) for one in expressions) / len(expressions)
    assert values["ECE"] == pytest.approx(abs(0.75 - share))


def test_the_calibration_error_of_a_kind_is_over_all_its_effects(scenes):
    """Answers of 75 % everywhere are off by the share of what refers to something; of two kinds, by the mean."""
    one, other = (figures(SameObject(), scenes, Plan(sentences=(kind,), pictures=())) for kind in ("negation", "rank"))
    both = figures(SameObject(), scenes, Plan(sentences=("negation", "rank"), pictures=()))
    errors = []
    for kind, measured in (("negation", one), ("rank", other)):
        change, vanish = measured.row(kind, "change"), measured.row(kind, "vanish")
        counts = [0 if row is None else row.answers for row in (change, vanish)]
        errors.append(abs(0.75 - counts[0] / sum(counts)))
        assert measured.headline["sentences ECE"].value == pytest.approx(errors[-1])
    assert both.headline["sentences ECE"].value == pytest.approx(sum(errors) / 2)


def test_expressions_without_a_change_are_counted(perfect, scenes):
    expressions = sum(len(scene.expressions) for scene in scenes)
    assert perfect.expressions == expressions
    for kind in ("case", "left_right"):
        asked = {(row.kind, row.effect): row.answers for row in perfect.rows if row.kind == kind and not row.level}
        assert perfect.left_out[kind] == expressions - sum(asked.values())
    assert perfect.left_out["blur"] == perfect.left_out["mirror"] == 0
    assert perfect.left_out["crop"] == 2 * expressions - perfect.row("crop").answers > 0


def line(number, originals, changed, condition):
    """An image with answers of (intersection, union); both of an expression are about the same referent."""

    def counted(k, pair, same):
        iou = pair[0] / pair[1]
        return Counted(k, *pair, 1, int(pair[0] > 0), int(iou >= 0.5), 1.0, same, None)

    return ImageLine(
        number,
        len(originals),
        {
            Condition(ORIGINAL): [counted(k, pair, 1) for k, pair in enumerate(originals)],
            condition: [counted(k, pair, int(pair[0] > 0)) for k, pair in changed.items()],
        },
    )


def test_drops_are_relative_to_the_same_expressions():
    lines = [
        line(0, [(8, 10), (0, 10)], {0: (4, 10)}, Condition("blur", "3")),
        line(1, [(4, 10), (9, 10)], {0: (2, 10)}, Condition("blur", "3")),
    ]
    row = measure(lines, Plan((), ("blur",), (3,))).row("blur")
    assert row.figures["mIoU drop"].value == pytest.approx(0.5)
    assert row.figures["mIoU drop"].interval == pytest.approx((0.5, 0.5))  # paired: each image drops by half
    assert row.figures["oIoU drop"].value == pytest.approx(1 - (6 / 20) / (12 / 20))
    assert (row.answers, row.images) == (2, 2)


def test_kinds_count_the_same_whatever_their_number_of_questions():
    one = line(0, [(8, 10)] * 4, {0: (0, 10)}, Condition("case"))
    other = line(1, [(8, 10)] * 4, dict.fromkeys(range(4), (8, 10)), Condition("filler"))
    headline = measure([one, other], Plan(("case", "filler"), ())).headline
    assert headline["sentences consistency"].value == pytest.approx(0.5)
    assert headline["sentences mIoU drop"].value == pytest.approx(0.5)


def test_sentences_with_words_never_seen_are_told_apart():
    wrong, right = (0, 10), (8, 10)
    levels = {"prefix": right, "prefix, new words": wrong, "new words": wrong, "clause": right}
    conditions = [(Condition("synonyms", level), pair) for level, pair in levels.items()]
    lines = [line(k, [right], {0: pair}, condition) for k, (condition, pair) in enumerate(conditions)]
    measured = measure(lines, Plan(("synonyms",), ()))
    forms = [level for level in levels if level != "new words"]
    assert [row.level for row in measured.rows] == ["", "known words", "new words", *forms]
    shares = {row.level: (row.answers, row.figures["consistency"].value) for row in measured.rows}
    assert (shares["known words"], shares["new words"], shares[""]) == ((2, 1), (2, 0), (4, 0.5))


def test_what_is_not_certain_is_no_part_of_the_headline():
    lines = [line(k, [(8, 10)], {0: (0, 10)}, Condition("case", certain=False)) for k in range(3)]
    measured = measure(lines, Plan(("case",), ()))
    assert measured.row("case", certain=False).figures["consistency"].value == 0
    assert not any(name.startswith("sentences") for name in measured.headline)


def test_systems_are_compared_on_the_same_resamples():
    rng = np.random.default_rng(0)
    pairs = [(int(a), 100) for a in rng.integers(50, 100, 40)]
    lines = [line(k, [pair], {0: pair}, Condition("case")) for k, pair in enumerate(pairs)]
    worse = [line(k, [(a - 10, b)], {0: (a, b)}, Condition("case")) for k, (a, b) in enumerate(pairs)]
    plan = Plan(("case",), ())
    first, second = (measure(some, plan).headline["mIoU"] for some in (lines, worse))
    low, high = first.interval
    assert high - low > 0.05
    assert difference(first, second).interval == pytest.approx((0.1, 0.1))


def test_an_answer_must_leave_what_was_meant_even_where_both_truths_overlap(scenes):
    """Of "the largest" made "all" the one truth lies in the other: an IoU of 0.5 would call the answers the same."""
    plan = Plan(("plural",), ())
    lines = [count_image(PerfectSystem().answer(ask_about(k, scene, plan))) for k, scene in enumerate(scenes)]
    conditions = [(condition, some) for image in lines for condition, some in image.counted.items()]
    assert max(one.agreement for condition, some in conditions if condition.kind == "plural" for one in some) > 0.5
    assert measure(lines, plan).headline["right flips"].value == 1
