import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from refseg import protocols
from refseg.errors import InvalidInput
from refseg.metrics import Counts
from refseg.protocols.standard import Standard

ASSETS = Path(__file__).parent.parent / "assets" / "protocols"
EXPECTED = json.loads((ASSETS / "standard.json").read_text())


@pytest.fixture(scope="module")
def cases():
    with np.load(ASSETS / "standard.npz") as stored:
        return dict(stored)


def unpacked(packed, size_hw):
    return torch.from_numpy(np.unpackbits(packed, count=int(size_hw.prod())).reshape(size_hw).astype(bool))


def joined(counts):
    return Counts(*(torch.cat(column) for column in zip(*counts, strict=True)))


def map_counts(cases):
    protocol, counts = Standard(), []
    for i, size_hw in enumerate(cases["size_hw"]):
        logits = (torch.from_numpy(cases["logits_squashed_120"][i]).float() + float(cases["offset"][i])) * 0.125
        logits = F.interpolate(logits[None, None], tuple(size_hw.tolist()), mode="bilinear", align_corners=False)[0]
        predicted = protocol.predict(logits, torch.tensor([bool(cases["answers_none"][i])]))
        counts.append(protocol.count(predicted, unpacked(cases[f"truth_{i}"], size_hw)[None]))
    return joined(counts)


def pair_counts(cases):
    protocol, counts = Standard(), []
    for i, size_hw in enumerate(cases["pair_size_hw"]):
        predicted = unpacked(cases[f"pair_prediction_{i}"], size_hw)[None] & ~bool(cases["pair_answers_none"][i])
        counts.append(protocol.count(predicted, unpacked(cases[f"pair_truth_{i}"], size_hw)[None]))
    return joined(counts)


@pytest.mark.parametrize(("golden", "count"), [("maps", map_counts), ("pairs", pair_counts)])
class TestGolden:
    def test_counts_are_those_of_the_golden(self, golden, count, cases):
        counts = count(cases)
        if "intersection" in EXPECTED[golden]["all"]:
            assert counts.intersection.tolist() == EXPECTED[golden]["all"]["intersection"]
            assert counts.union.tolist() == EXPECTED[golden]["all"]["union"]

    @pytest.mark.parametrize("part", ["all", "with_target"])
    def test_metrics_are_those_of_the_golden(self, golden, count, part, cases):
        counts = count(cases)
        summary = Standard().summarize(counts if part == "all" else counts.where(counts.has_target))
        assert summary == pytest.approx(EXPECTED[golden][part]["metrics"], abs=1e-6)


def test_intervals_are_those_of_the_golden(cases):
    intervals = Standard().intervals(map_counts(cases), cases["image_id"].tolist())
    for name, (low, high) in EXPECTED["maps"]["bootstrap_95"].items():
        assert intervals[name] == pytest.approx((low, high), abs=1e-6), name


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InvalidInput, match="4x6"):
        Standard().count(torch.ones(1, 4, 6) > 0, torch.ones(1, 5, 6) > 0)


def test_an_unknown_protocol_lists_the_known_ones():
    with pytest.raises(InvalidInput, match="choose one of: standard"):
        protocols.build("standart")
