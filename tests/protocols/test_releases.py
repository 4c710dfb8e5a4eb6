"""Where a release does not do what one would expect, by its protocol's name."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from refseg import protocols
from refseg.errors import InvalidInput
from refseg.metrics import Counts
from refseg.preprocessing.transform import Preprocessing, photographs
from refseg.protocols.cmpc import _middle
from refseg.protocols.cris import _warp
from refseg.protocols.squashed import SIDE, squashed_mask

NO, YES = torch.tensor([False]), torch.tensor([True])
EMPTY, FULL = torch.zeros(1, 4, 5) > 0, torch.ones(1, 4, 5) > 0


def counts(*pixels, has_target=True):
    intersection, union = torch.tensor(pixels).unbind(1)
    marks = torch.full((len(pixels),), has_target)
    return Counts(intersection, union, marks, intersection > 0)


def passes(name, threshold, intersection, union):
    return protocols.build(name).summarize(counts((intersection, union)))[f"Prec@{threshold}"] == 1


class TestEmptyUnion:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("cmpc", math.nan), ("lavt", 0), ("dmmi", 0), ("cmirnet", 0), ("cris", 0), ("vlt", 1), ("standard", 1)],
    )
    def test_two_empty_masks_have_the_iou_that_the_release_gives_them(self, name, value):
        assert protocols.build(name).ious(counts((0, 0))).item() == pytest.approx(value, nan_ok=True)

    def test_of_cmpc_makes_miou_nan_fails_every_precision_and_leaves_oiou(self):
        summary = protocols.build("cmpc").summarize(counts((0, 0), (9, 10)))
        assert math.isnan(summary["mIoU"]) and summary["Prec@0.5"] == 0.5 and summary["oIoU"] == 0.9


class TestExactlyAtTheThreshold:
    @pytest.mark.parametrize(("x", "passed"), [(0.5, False), (0.6, False), (0.7, True), (0.8, False), (0.9, True)])
    def test_cris_passes_07_and_09_which_are_less_in_float32(self, x, passed):
        assert passes("cris", x, round(x * 1000), 1000) is passed

    def test_cris_passes_07_only_of_unions_above_58_pixels(self):
        assert not passes("cris", 0.7, 35, 50) and passes("cris", 0.7, 42, 60)

    @pytest.mark.parametrize(("x", "most"), [(0.9, 24_000), (0.8, 63_000), (0.7, 175_000)])
    def test_vlt_passes_what_its_epsilon_lifts(self, x, most):
        assert all(passes("vlt", x, round(x * union), union) for union in (10, 1000, most // 2 // 10 * 10))
        assert not passes("vlt", x, round(x * 10 * most), 10 * most)

    @pytest.mark.parametrize("name", ["cmpc", "lavt", "dmmi", "cmirnet", "rela", "standard"])
    @pytest.mark.parametrize("x", [0.7, 0.8, 0.9])
    def test_the_others_pass_it(self, name, x):
        assert passes(name, x, round(x * 410), 410)


class TestPillowsNearest:
    @staticmethod
    def of_columns(width):
        """The column that each of 480 shows, where only columns change: bit by bit."""
        bits = [np.arange(width)[None].repeat(2, 0) >> bit & 1 > 0 for bit in range(12)]
        return sum(squashed_mask(np.ascontiguousarray(mask))[0].astype(int) << bit for bit, mask in enumerate(bits))

    def test_moves_99_of_480_columns_at_the_usual_width(self):
        formula = ((np.arange(SIDE) + 0.5) * 640 / SIDE).astype(int)
        exact = F.interpolate(torch.arange(640.0)[None, None], SIDE, mode="nearest-exact")[0, 0].long().numpy()
        columns = self.of_columns(640)
        assert (columns != formula).sum() == 99 and (columns != exact).sum() > 0
        assert np.abs(columns - formula).max() == 1

    def test_is_the_formula_at_a_width_without_ties(self):
        assert (self.of_columns(500) == ((np.arange(SIDE) + 0.5) * 500 / SIDE).astype(int)).all()

    def test_is_what_the_truth_and_ready_masks_of_lavt_go_through(self, photograph):
        mask = np.random.default_rng(0).random((427, 640)) < 0.5
        expected = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((480, 480), Image.Resampling.NEAREST)) > 0
        lavt = protocols.build("lavt")
        np.testing.assert_array_equal(lavt.truth(photograph(mask), 0), expected)
        np.testing.assert_array_equal(lavt.from_masks(torch.from_numpy(mask)[None], NO)[0], expected)


class TestLAVT:
    @pytest.mark.parametrize("name", ["lavt", "dmmi", "cmirnet", "rela"])
    def test_a_tie_is_background(self, name):
        logits = torch.tensor([0.0, 1e-3]).view(1, 1, 1, 2)
        predicted = protocols.build(name).predict(logits, photographs(480).geometry((480, 480)), NO)
        assert not predicted[..., 0].any() and predicted[..., -1].all()

    @pytest.mark.parametrize(("name", "align_corners"), [("lavt", True), ("dmmi", True), ("cmirnet", False)])
    def test_corners_are_aligned_but_not_in_cmirnet(self, name, align_corners):
        logits = torch.randn(1, 1, 120, 120, generator=torch.manual_seed(0))
        expected = F.interpolate(logits, (480, 480), mode="bilinear", align_corners=align_corners)[:, 0] > 0
        predicted = protocols.build(name).predict(logits, photographs(480).geometry((333, 500)), NO)
        assert torch.equal(predicted, expected)

    def test_no_target_expressions_of_dmmi_count_in_acc_only(self):
        target = counts((9, 10))
        columns = zip(target, counts((0, 0), (0, 50), has_target=False), strict=True)
        both = Counts(*(torch.cat(column) for column in columns))
        both = both._replace(has_prediction=torch.tensor([True, False, True]))
        dmmi = protocols.build("dmmi")
        assert dmmi.summarize(both) == dmmi.summarize(target) | {"Acc": 0.5} and "Acc" not in dmmi.summarize(target)


class TestCMPC:
    def test_the_resize_inside_is_neither_of_pytorchs(self):
        logits = torch.randn(1, 1, 40, 40, generator=torch.manual_seed(0))
        geometry = Preprocessing(resize="letterbox_rounded", side=320).geometry((320, 320))
        repeated = F.pad(logits, (0, 1, 0, 1), mode="replicate")
        inside = F.interpolate(repeated, (321, 321), mode="bilinear", align_corners=True)[:, 0, :320, :320]
        assert torch.equal(protocols.build("cmpc").predict(logits, geometry, NO), inside >= 1e-9)

    def test_a_logit_of_0_is_background(self):
        geometry = Preprocessing(resize="letterbox_rounded", side=320).geometry((240, 320))
        assert not protocols.build("cmpc").predict(torch.zeros(1, 1, 40, 40), geometry, NO).any()

    def test_a_mask_grows_by_all_that_it_touches(self):
        logits = torch.full((1, 1, 320, 320), -1.0)
        logits[..., 160, 160] = 1  # becomes 2 x 2 pixels, and those that its rim reaches
        geometry = Preprocessing(resize="letterbox_rounded", side=320).geometry((640, 640))
        predicted = protocols.build("cmpc").predict(logits, geometry, NO)
        assert predicted.sum() == 16 and predicted[0, 319:323, 319:323].all()

    @given(st.integers(1, 1400))
    def test_no_weight_comes_from_rounding(self, own):
        """Exactly: a place has a second neighbour only if it is off the first, whatever the odd multiple of 64."""
        taps = _middle(own, 320, max(own, 320) / 320)
        large = max(own, 320)
        for x in range(0, own, 7):
            place = (Fraction(x + (large - own) // 2) + Fraction(1, 2)) * 320 / large - Fraction(1, 2)
            assert int((taps.weight[x] > 0).sum()) == (1 if place.denominator == 1 else 2)

    def test_the_map_of_video_is_the_mean_of_its_ten_precisions(self):
        summary = protocols.build("cmpc_video").summarize(counts((52, 100), (93, 100), (10, 100)))
        precisions = [value for name, value in summary.items() if name.startswith("Prec")]
        assert len(precisions) == 10 and summary["mAP"] == pytest.approx(sum(precisions) / 10)


class TestCRIS:
    def test_the_warp_reads_at_32nds_of_a_pixel_as_opencv_4(self):
        """By hand: x = 7 of 500 columns is at 5.824, y = 3 of 333 rows at 71.968 = 2.496 + 69.472."""
        rows, columns = _warp(Preprocessing(resize="letterbox", side=416, multiple_of=32).geometry((333, 500)))
        for taps, at, place in ((columns, 7, 5.824), (rows, 3, 71.968)):
            rounded = round(place * 32) / 32
            assert taps.pixels[at, 1] == int(rounded)
            d = rounded - int(rounded)
            expected = (-0.75 + 2) * d**3 - (-0.75 + 3) * d**2 + 1
            assert taps.weight[at, 1].item() == pytest.approx(expected, abs=1e-12)

    def test_beyond_the_input_there_is_nothing(self):
        geometry = Preprocessing(resize="letterbox", side=416, multiple_of=32).geometry((416, 416))
        _, columns = _warp(geometry)
        assert columns.weight[0].tolist() == [0, 1, 0, 0] and columns.weight[-1].tolist() == [0, 1, 0, 0]

    @pytest.mark.parametrize(("probability", "is_referent"), [(0.34, False), (0.4, True)])
    @pytest.mark.parametrize("name", ["cris", "vlt"])
    @pytest.mark.parametrize("threshold", [0.35, 0.5])
    def test_a_probability_above_035_is_foreground_whatever_the_networks_own(
        self, probability, is_referent, name, threshold
    ):
        logits = torch.full((1, 1, 416, 416), probability).logit() - math.log(threshold / (1 - threshold))
        geometry = Preprocessing(resize="letterbox", side=416, multiple_of=32).geometry((416, 416))
        predicted = protocols.build(name).predict(logits, geometry, NO, threshold)
        assert predicted[0, 8:-8, 8:-8].all() if is_referent else not predicted.any()

    def test_precisions_are_averaged_in_float32(self):
        value = protocols.build("cris").summarize(counts((99, 100), (1, 100), (1, 100)))["Prec@0.5"]
        assert value == float(np.float32(1 / 3))


class TestVLT:
    @pytest.mark.parametrize("side", [629, 637, 330, 360])
    def test_rounding_noise_cuts_some_sides_to_415(self, side):
        prepare = Preprocessing(resize="letterbox_truncated", side=416, multiple_of=32)
        assert prepare.geometry((side, side)).resized_hw == (415, 415)
        assert prepare.geometry((640, side)).resized_hw[0] == 416

    def test_another_threshold_is_part_of_the_name(self):
        other = protocols.build("vlt@0.5")
        assert other.name == "vlt@0.5" and protocols.build("vlt@0.35").name == protocols.build("vlt").name == "vlt"
        logits, geometry = torch.full((1, 1, 8, 8), -0.2), photographs(32).geometry((9, 9))
        assert not other.predict(logits, geometry, NO).any()
        assert protocols.build("vlt").predict(logits, geometry, NO).all()

    @pytest.mark.parametrize("name", ["vlt@", "vlt@2", "vlt@half"])
    def test_a_threshold_that_is_none_is_refused(self, name):
        with pytest.raises(InvalidInput, match="not a probability"):
            protocols.build(name)

    def test_the_others_have_one_threshold(self):
        with pytest.raises(InvalidInput, match="unknown protocol 'cris@0.5'"):
            protocols.build("cris@0.5")


class TestReLA:
    rela = protocols.build("rela")

    @pytest.mark.parametrize(
        ("mask", "truth", "has_target", "none", "iou", "union"),
        [
            pytest.param(EMPTY, EMPTY, NO, YES, 1, 0, id="no target, none"),
            pytest.param(FULL, EMPTY, NO, YES, 1, 0, id="no target, none, mask not empty"),
            pytest.param(EMPTY, EMPTY, NO, NO, 0, 0, id="no target, not none, mask empty"),
            pytest.param(FULL, EMPTY, NO, NO, 0, 20, id="no target, not none"),
            pytest.param(FULL, FULL, YES, YES, 0, 20, id="target, none: the union stays"),
            pytest.param(FULL, FULL, YES, NO, 1, 20, id="target, found"),
            pytest.param(EMPTY, EMPTY, YES, NO, 0, 0, id="target without a pixel"),
        ],
    )
    def test_the_answer_decides_and_not_the_mask(self, mask, truth, has_target, none, iou, union):
        counted = self.rela.count(mask, truth, has_target, none)
        assert self.rela.ious(counted).item() == iou and counted.union.item() == union
        assert counted.intersection.item() == (20 if iou and has_target.item() else 0)

    def test_accuracies_read_the_answer_and_are_0_where_everything_has_a_target(self):
        has_target, none = torch.tensor([True, True, False]), torch.tensor([False, True, True])
        counted = self.rela.count(FULL.expand(3, 4, 5), FULL.expand(3, 4, 5), has_target, none)
        summary = self.rela.summarize(counted)
        assert summary["T-acc"] == 0.5 and summary["N-acc"] == 1 and summary["Prec@0.7"] == 0.5
        without = self.rela.summarize(counted.where(has_target))
        assert without["T-acc"] == without["N-acc"] == 0

    def test_the_truth_is_drawn_on_the_square_and_not_resized(self, photograph):
        corners = np.array([[3.0, 2.0], [20.5, 4.0], [11.0, 27.0]])
        sample = photograph(np.zeros((30, 40), bool), polygons=[corners])
        drawn = self.rela.truth(sample, 0)
        assert drawn.shape == (480, 480) and drawn[40, 60] and drawn.sum() > 20_000
