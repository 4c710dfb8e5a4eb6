"""Every figure of the releases' own code: counts exactly, metrics to 1e-6."""

import hashlib
import math

import numpy as np
import pytest
import torch

from refseg import protocols
from refseg.protocols import a2d, davis, mevis

IMAGES = ["cmirnet", "cmpc", "cris", "dmmi", "lavt", "rela", "standard", "vlt"]


def agree(metrics, expected):
    nan = {name: math.nan if value is None else value for name, value in expected.items()}
    assert metrics == pytest.approx(nan, abs=1e-6, nan_ok=True)


def parts(expected, counts):
    for part in ("all", "with_target"):
        if part in expected:
            yield expected[part], counts if part == "all" else counts.where(counts.has_target)


@pytest.mark.parametrize("name", IMAGES)
def test_counts_and_metrics_of_maps_are_the_releases(name, golden):
    for expected, counts in parts(golden.expected["maps"][name], golden.of_maps(name)):
        agree(protocols.build(name).summarize(counts), expected["metrics"])
        if "intersection" in expected:
            counted = counts.where(counts.has_target) if name == "dmmi" else counts
            assert counted.intersection.tolist() == expected["intersection"]
            assert counted.union.tolist() == expected["union"]


@pytest.mark.parametrize("name", [*IMAGES, "cmpc_video"])
def test_metrics_of_pairs_are_the_releases(name, golden):
    for expected, counts in parts(golden.expected["pairs"][name], golden.of_pairs(name)):
        agree(protocols.build(name).summarize(counts), expected["metrics"])


@pytest.mark.parametrize("name", IMAGES)
def test_a_networks_own_threshold_is_undone_where_the_release_has_one(name, golden):
    counts, again = golden.of_maps(name), golden.of_maps(name, threshold=0.35)
    assert name == "standard" or torch.equal(again.union, counts.union)


def test_the_networks_own_resize_of_cris_leads_to_the_same_masks(golden, inputs):
    from refseg.networks.cris import to_image

    protocol, none = protocols.build("cris"), torch.tensor([False])
    for i in (1, 8, 11, 23):
        geometry = inputs["cris"].geometry(golden.photograph(i).size_hw)
        large = to_image(golden.logits("cris", i), geometry.padded_hw)
        assert torch.equal(protocol.predict(large, geometry, none), golden.predicted("cris", i))


def test_intervals_of_standard_are_those_of_the_golden(golden):
    intervals = protocols.build("standard").intervals(golden.of_maps("standard"), golden.image_ids)
    for name, bounds in golden.expected["maps"]["standard"]["bootstrap_95"].items():
        assert intervals[name] == pytest.approx(bounds, abs=1e-6), name


def test_the_best_candidates_of_a2d_score_as_in_the_release(golden):
    for expected, counts in parts(golden.expected["pairs"]["a2d"], golden.of_pairs("lavt")):
        agree(a2d.best_summary(counts.intersection, counts.union), expected["metrics"])


def test_ranked_candidates_of_a2d_score_as_in_the_release(golden):
    judged, size_hw = [], golden.cases["ranked_size_hw"]
    for i, scores in reversed(list(enumerate(golden.cases["ranked_scores"]))):
        candidates = np.stack([golden.mask(f"ranked_prediction_{i}_{q}", size_hw) for q in range(len(scores))])
        truth = golden.mask(f"ranked_truth_{i}", size_hw)
        judged.append(a2d.judge(f"v_{i}", truth, candidates, torch.from_numpy(scores)))
    agree(a2d.ranked(judged), golden.expected["ranked"]["a2d"]["metrics"])


@pytest.mark.parametrize("k", [0, 1])
def test_masks_of_queries_are_the_releases_pixel_by_pixel(k, golden):
    logits = (torch.from_numpy(golden.cases[f"query_logits_{k}"]).float() + 0.37) * 0.125
    masks = a2d.query_masks(logits, *map(tuple, golden.cases[f"query_sizes_{k}"].tolist())).numpy()
    expected = golden.expected["queries"]["a2d"]
    assert masks.sum((1, 2)).tolist() == expected["foreground_pixels"][k]
    assert hashlib.sha256(np.packbits(masks).tobytes()).hexdigest() == expected["sha256"][k]


@pytest.mark.parametrize(("name", "score"), [("davis", davis.unsupervised), ("davis-semi", davis.semi_supervised)])
def test_objects_of_clips_score_as_in_the_release(name, score, golden):
    expected = dict(golden.expected["clips"][name])
    clips = {c: score(golden.cases[f"clip_{c}_prediction"], golden.cases[f"clip_{c}_truth"]) for c in ("one", "two")}
    for letter, measure in (("J", 0), ("F", 1)):
        means = {f"{c}_{i}": v.mean() for c, of in clips.items() for i, v in enumerate(of[measure], start=1)}
        agree(means, expected.pop(f"{letter} per object"))
    agree(davis.summarize_objects(list(clips.values())), {k: expected[k] for k in expected if k[0] in "JF"})


def test_expressions_of_clips_score_as_in_the_release(golden):
    expected, clips = golden.expected["clips"]["mevis"], []
    for c in ("one", "two"):
        clips.append(mevis.expression(golden.cases[f"clip_{c}_prediction"], golden.cases[f"clip_{c}_truth"]))
        for letter, values in zip("JF", clips[-1], strict=True):
            np.testing.assert_allclose(values, expected["per frame"][c][letter], atol=1e-6)
    agree(mevis.summarize(clips), {name: expected[name] for name in ("J", "F", "J&F")})
