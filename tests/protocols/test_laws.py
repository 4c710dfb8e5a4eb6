"""What holds for every image protocol, whatever the network's input looks like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from refseg import protocols
from refseg.metrics import Counts
from refseg.preprocessing.resampling import cubic, linear, resample
from refseg.preprocessing.transform import Preprocessing, photographs

NAMES = sorted(protocols.PROTOCOLS)
PREPARED = {
    resize: Preprocessing(resize=resize, side=416, longest_side=512, multiple_of=32)
    for resize in ("keep", "letterbox", "letterbox_rounded", "letterbox_truncated")
} | {"square": photographs(480), "another square": photographs(448)}
OWN_HW = (427, 640)


def several(predicted, truths, has_target, none):
    return torch.from_numpy(predicted), torch.from_numpy(truths), torch.tensor(has_target), torch.tensor(none)


masks = arrays(bool, (4, 5, 6))
answers = st.builds(several, masks, masks, *[st.lists(st.booleans(), min_size=4, max_size=4)] * 2)


def disk():
    y, x = np.ogrid[: OWN_HW[0], : OWN_HW[1]]
    return (x - 260) ** 2 + (y - 230) ** 2 < 110**2


def seen(mask, geometry, side_of_cell):
    """Logits of a network that sees the mask exactly, on a grid of its input."""
    (row, top), (column, left) = geometry.placed()
    rows, columns = (
        ((torch.arange(0, size, side_of_cell) + (side_of_cell - 1) / 2 - start) / slope).round().long()
        for size, slope, start in zip(geometry.padded_hw, (row, column), (top, left), strict=True)
    )
    known = [(at >= 0) & (at < own) for at, own in zip((rows, columns), OWN_HW, strict=True)]
    inside = torch.from_numpy(mask)[rows.clamp(0, OWN_HW[0] - 1)][:, columns.clamp(0, OWN_HW[1] - 1)]
    return torch.where(inside & known[0][:, None] & known[1], 6.0, -6.0)[None, None]


@pytest.mark.parametrize("resize", PREPARED)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_sees_right_scores_high_whatever_its_input(name, resize, photograph):
    protocol, sample = protocols.build(name), photograph(disk())
    geometry = PREPARED[resize].geometry(OWN_HW)
    yes, no = torch.tensor([True]), torch.tensor([False])
    predicted = protocol.predict(seen(disk(), geometry, 1), geometry, no)
    counts = protocol.count(predicted, torch.from_numpy(protocol.truth(sample, 0))[None], yes, no)
    assert protocol.ious(counts).item() > (0.96 if name.startswith("cmpc") else 0.98)


@pytest.mark.parametrize("resize", PREPARED)
@pytest.mark.parametrize("name", NAMES)
def test_an_image_gives_the_same_masks_alone_and_in_a_batch(name, resize):
    protocol, geometry = protocols.build(name), PREPARED[resize].geometry((61, 97))
    height, width = geometry.padded_hw
    logits = 3 * torch.randn(3, 1, height // 8, width // 8, generator=torch.manual_seed(0))
    none = torch.tensor([False, True, False])
    together = protocol.predict(logits, geometry, none)
    alone = [protocol.predict(logits[i : i + 1], geometry, none[i : i + 1]) for i in range(3)]
    assert torch.equal(torch.cat(alone), together)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(answers, st.permutations(range(4)), st.integers(0, 4))
def test_neither_order_nor_batches_change_a_metric(name, given_answers, order, cut):
    protocol = protocols.build(name)
    whole = protocol.count(*given_answers)
    shuffled = [column[list(order)] for column in given_answers]
    halves = [protocol.count(*(c[part] for c in shuffled)) for part in (slice(cut), slice(cut, None))]
    again = Counts(*(torch.cat(columns) for columns in zip(*halves, strict=True)))
    assert protocol.summarize(again) == pytest.approx(protocol.summarize(whole), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_answer_has_perfect_figures(name):
    truths = torch.arange(3 * 40 * 50).view(3, 40, 50) % 7 < 3
    protocol, every, none = protocols.build(name), torch.tensor([True] * 3), torch.tensor([False] * 3)
    summary = protocol.summarize(protocol.count(truths, truths, every, none))
    reported_as_0 = {"N-acc": 0.0, "T-acc": 0.0} if name == "rela" else {}
    assert summary == pytest.approx(dict.fromkeys(summary, 1.0) | reported_as_0, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_the_headline_is_of_metrics_that_there_are(name):
    protocol, truths = protocols.build(name), torch.ones(2, 3, 3) > 0
    has_target, none = torch.tensor([True, False]), torch.tensor([False, True])
    summary = protocol.summarize(protocol.count(truths, truths, has_target, none))
    ranked = {"mAP"} if name == "a2d" else set()  # takes candidates, not counts
    assert set(protocol.headline) - ranked <= set(summary) and set(protocol.fractions) <= set(summary)


@pytest.mark.parametrize("name", NAMES)
def test_no_expressions_have_no_metrics(name):
    empty, no = torch.zeros(0, 3, 3) > 0, torch.zeros(0) > 0
    assert protocols.build(name).summarize(protocols.build(name).count(empty, empty, no, no)) == {}


@pytest.mark.parametrize("name", NAMES)
def test_ready_masks_are_of_the_size_of_the_truth(name, photograph):
    protocol, sample = protocols.build(name), photograph(disk())
    ready = protocol.from_masks(torch.from_numpy(disk())[None], torch.tensor([False]))
    truth = torch.from_numpy(protocol.truth(sample, 0))[None]
    assert torch.equal(ready, truth)


def test_resizes_by_hand_are_those_of_pytorch():
    maps = torch.randn(2, 3, 7, 9, generator=torch.manual_seed(0))
    rows, columns = ((torch.arange(m) + 0.5) * n / m - 0.5 for n, m in ((7, 20), (9, 13)))
    for taps, mode in ((linear, "bilinear"), (cubic, "bicubic")):
        expected = F.interpolate(maps, (20, 13), mode=mode, align_corners=False)
        assert torch.allclose(resample(maps, taps(rows, 7), taps(columns, 9)), expected, atol=1e-5)
