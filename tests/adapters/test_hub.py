import time

import numpy as np
import pytest
from fake_hub import COMMIT, PULL_REQUEST
from PIL import Image

import refseg
from refseg.errors import InvalidInput, MissingFile

CLIPSEG = "CIDAS/clipseg-rd64-refined"
SENT = ["config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def clipseg_on_the_hub(hub, folders, tmp_path):
    """CLIPSeg with all that others put beside it."""
    copy = tmp_path / "on_the_hub"
    (copy / "onnx").mkdir(parents=True)
    for file in folders["clipseg"].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "pytorch_model.bin").write_bytes(b"a pickle")
    (copy / "modeling_own.py").write_text("raise SystemExit")
    (copy / "onnx" / "config.json").write_text("{}")
    hub.models[CLIPSEG] = copy
    return hub


def test_a_model_is_got_with_its_size_said_first_and_then_answers(clipseg_on_the_hub, run, tmp_path, photograph):
    hub = clipseg_on_the_hub
    megabytes = max(1, round(sum((hub.models[CLIPSEG] / name).stat().st_size for name in SENT) / 1e6))
    Image.fromarray(photograph).save(tmp_path / "photo.jpg")
    said = run("weights", "get", "clipseg")
    lines = said.splitlines()
    assert lines[0] == f"clipseg: {CLIPSEG}, {megabytes} MB from {hub.endpoint}"
    assert lines[1] == f"written: {tmp_path / 'hub' / 'models--CIDAS--clipseg-rd64-refined' / 'snapshots' / COMMIT}"
    assert lines[2].startswith(f"  {CLIPSEG}, commit {COMMIT}, licence: ")
    assert hub.files() == SENT  # no pickle, no code, no other formats
    hub.asked.clear()
    assert "exists" in run("segment", tmp_path / "photo.jpg", "the dog", "--weights", "clipseg", "--out", tmp_path)
    assert not hub.asked  # what is here is not asked for
    assert refseg.load("clipseg").network.config.revision == COMMIT
    assert run("weights", "get", "clipseg").startswith("already here: ")
    assert hub.files() == []
    assert "named by a phrase, here" in run("weights", "list", "--network", "clipseg")


def test_a_download_that_breaks_off_goes_on(clipseg_on_the_hub, folders):
    from refseg.adapters.catalogue import CATALOGUE

    hub, entry = clipseg_on_the_hub, CATALOGUE["clipseg"]
    hub.breaks_at = 20_000
    with pytest.raises(
        MissingFile, match="MB are here, the same command goes on from there.: refseg weights get clipseg"
    ):
        entry.get(entry.settings())
    with pytest.raises(MissingFile, match="on this machine; get them: refseg weights get clipseg"):
        refseg.load("clipseg")
    hub.breaks_at = None
    hub.asked.clear()
    folder = entry.get(entry.settings())["model"]
    assert [part for _, path, part in hub.asked if "cdn" in path] == ["bytes=80000-"]  # after four tries
    for name in ("model.safetensors", "tokenizer.json"):
        assert (folder / name).read_bytes() == (folders["clipseg"] / name).read_bytes()


def test_damaged_weights_are_told_and_got_again(clipseg_on_the_hub, run):
    run("weights", "get", "clipseg")
    from refseg.adapters.catalogue import CATALOGUE

    entry = CATALOGUE["clipseg"]
    weights = entry.local_models(entry.settings())["model"].folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.resolve().write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="damaged.*get it again: refseg weights get clipseg"):
        refseg.load("clipseg")
    assert run("weights", "get", "clipseg").startswith("clipseg: ")
    assert weights.read_bytes() == whole


def test_another_revision_is_another_model(clipseg_on_the_hub, run):
    assert "written" in run("weights", "get", f"clipseg:revision={COMMIT}")
    assert refseg.load(f"clipseg:revision={COMMIT}").network.config.revision == COMMIT
    with pytest.raises(MissingFile, match="CIDAS/clipseg-rd64-refined, 610 MB. are not on this machine"):
        refseg.load("clipseg")  # nobody asked the hub which commit "main" is
    with pytest.raises(MissingFile, match="has no revision 'v9'"):
        run("weights", "get", "clipseg:revision=v9")


def test_a_revision_may_be_that_of_a_pull_request(clipseg_on_the_hub, run):
    run("weights", "get", f"clipseg:revision={PULL_REQUEST}")
    assert refseg.load(f"clipseg:revision={PULL_REQUEST}").network.config.revision == COMMIT


def test_what_the_hub_refuses_is_one_line(clipseg_on_the_hub, run, tmp_path):
    hub = clipseg_on_the_hub
    hub.models["facebook/sam3"] = hub.models[CLIPSEG]
    hub.gated.add("facebook/sam3")
    accept = "facebook/sam3 wants its licence accepted at https://huggingface.co/facebook/sam3, then: hf auth login"
    with pytest.raises(InvalidInput, match=accept):
        run("weights", "get", "sam3")
    with pytest.raises(MissingFile, match="the hub has no .public. florence-community/Florence-2-base-ft"):
        run("weights", "get", "florence2")
    (hub.models[CLIPSEG] / "model.safetensors").unlink()
    with pytest.raises(MissingFile, match="has no weights in safetensors, and others are not read"):
        run("weights", "get", "clipseg")
    with pytest.raises(InvalidInput, match="leave out --file"):
        run("weights", "get", "clipseg", "--file", tmp_path / "a")


def test_without_a_network_there_is_one_line_at_once(hub, run, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits, and tries again"))
    with pytest.raises(MissingFile, match="'clipseg' .* are not on this machine; get them: refseg weights get clipseg"):
        refseg.load("clipseg")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingFile, match="the hub cannot be reached .http://127.0.0.1:9: .*; where there is internet"):
        run("weights", "get", "clipseg")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingFile, match="HF_HUB_OFFLINE is set.*bundled, without download: selector"):
        run("weights", "get", "clipseg")
    assert not hub.asked


def test_an_own_folder_needs_no_hub(folders, tmp_path, photograph):
    segmenter = refseg.load(f"clipseg={folders['clipseg']}")
    assert np.isfinite(segmenter(photograph, "the dog").exists)
    with pytest.raises(MissingFile, match="nowhere is no folder"):
        refseg.load(f"clipseg={tmp_path / 'nowhere'}")
    with pytest.raises(MissingFile, match="lacks config.json"):
        refseg.load(f"clipseg={tmp_path}")
    with pytest.raises(InvalidInput, match="clipseg.*give the name of its open model"):
        refseg.load(folders["clipseg"])
    with pytest.raises(InvalidInput, match="give its name: clipseg"):
        refseg.load(CLIPSEG)
