"""Weights are put on a hub, and loaded from there by their id and revision."""

import json

import numpy as np
import pytest
import yaml
from fake_hub import COMMIT, PULL_REQUEST

import refseg
from refseg.checkpoints.bundled import FOLDER
from refseg.checkpoints.hub import push
from refseg.checkpoints.locate import find
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.evaluation.report.provenance import weights_facts

SELECTOR = FOLDER / "selector"


@pytest.fixture
def logged_in(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return hub


def metadata(hub) -> tuple[dict, str]:
    _, head, text = (hub.store / "shapes" / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_what_is_sent_is_loaded_again(logged_in, tmp_path):
    (tmp_path / "report.json").write_text(
        json.dumps(
            {
                "about": {"dataset": "drawn_scenes", "split": "test", "weights": weights_facts(SELECTOR)},
                "metrics": {"lavt": {"mIoU": 0.95123, "N-acc": None}},
            }
        )
    )
    page = push(SELECTOR, "me/shapes", results=tmp_path)
    assert page.endswith(COMMIT)
    about, text = metadata(logged_in)
    assert about["pipeline_tag"] == "image-segmentation" and about["library_name"] == "refseg"
    assert about["license"] == "apache-2.0" and "selector" in about["tags"]
    [result] = about["model-index"][0]["results"]
    assert result["dataset"] == {"name": "drawn_scenes", "type": "drawn_scenes", "split": "test"}
    assert result["metrics"] == [{"type": "mIoU", "value": 95.12, "name": "mIoU, protocol lavt"}]
    assert "--weights me/shapes" in text and "Drawn scenes only" in text
    assert {path.suffix for path in (logged_in.store / "shapes").iterdir()} == {".md", ".json", ".yaml", ".safetensors"}
    scene = refseg.load_dataset("drawn_scenes", split="test", count=1)[0]
    for name in ("me/shapes", f"me/shapes:revision={COMMIT}", f"me/shapes:revision={PULL_REQUEST}"):
        there = refseg.load(name)(scene.image, "the red square")
        np.testing.assert_array_equal(there.mask, refseg.load()(scene.image, "the red square").mask)


@pytest.mark.parametrize("revision", ["v9", "refs/pr/9"])
def test_a_revision_that_is_not_there(logged_in, revision):
    push(SELECTOR, "me/shapes")
    with pytest.raises(MissingFile, match=f"has no revision '{revision}'"):
        refseg.load(f"me/shapes:revision={revision}")


@pytest.mark.parametrize("name", ["me/a--b", "me/a..b", "me/a.git", "me/a-", "me/" + 97 * "a"])
def test_ids_that_the_hub_does_not_know_are_none(name):
    with pytest.raises(MissingFile, match="there are no weights"):
        find(name)


def test_a_revision_is_that_of_weights_on_the_hub():
    with pytest.raises(InvalidInput, match="is not from the hub"):
        find(f"{SELECTOR}:revision=v1")


@pytest.mark.parametrize("revision", ["..", "../main", "refs//1", "/main"])
def test_a_revision_is_no_other_place_in_the_cache(revision):
    with pytest.raises(InvalidInput, match="is no revision"):
        find(f"me/shapes:revision={revision}")


def test_figures_of_other_weights_are_not_sent(logged_in, tmp_path):
    about = {"dataset": "drawn_scenes", "split": "test", "weights": {"name": "other", "sha256": "0" * 64}}
    (tmp_path / "report.json").write_text(json.dumps({"about": about, "metrics": {"lavt": {"mIoU": 0.9}}}))
    with pytest.raises(InvalidInput, match="results of other weights"):
        push(SELECTOR, "me/shapes", results=tmp_path)


def test_a_card_that_the_hub_refuses_leaves_no_empty_repository(logged_in):
    logged_in.refuses_cards = True
    with pytest.raises(InvalidInput, match="the hub refused me/shapes .*license is none"):
        push(SELECTOR, "me/shapes")
    assert not logged_in.models


def test_who_may_not_write_is_told_how_to(logged_in):
    logged_in.read_only = True
    with pytest.raises(UnwritableOutput, match="hf auth login"):
        push(SELECTOR, "me/shapes")


@pytest.mark.parametrize(
    ("folder", "hub_id", "settings", "error", "says"),
    [
        (SELECTOR, "shapes", {}, InvalidInput, "give owner/name"),
        (SELECTOR, "me/shapes", {"licence": "My own!"}, InvalidInput, "none of the hub's licences"),
        (SELECTOR, "me/shapes", {"results": "nowhere"}, InvalidInput, "holds no results"),
        (SELECTOR / "nowhere", "me/shapes", {}, MissingFile, "is no folder"),
        (FOLDER / "reader", "me/reader", {}, InvalidInput, "elsewhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(logged_in, folder, hub_id, settings, error, says):
    with pytest.raises(error, match=says):
        push(folder, hub_id, **settings)
    assert not [asked for asked in logged_in.asked if asked[0] == "POST"]
