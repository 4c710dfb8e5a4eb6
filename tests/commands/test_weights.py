import json

import pytest
from typer.testing import CliRunner

import refseg
from refseg.checkpoints import catalogue
from refseg.checkpoints.catalogue import Published
from refseg.cli import app
from refseg.conversion.fetch import get
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput


def weights(*arguments: object) -> str:
    asked = ["weights", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny_entry(tiny_release, monkeypatch):
    entry = Published(
        preset="tiny_narrow", data="RefCOCO", split="refcoco", where="a share", reported="oIoU 1", conversion="tiny"
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    return entry


def test_the_list_tells_scores_licences_places_and_ways():
    out = weights("list")
    for said in (
        "dmmi_swin_base/refzom",
        "oIoU 68.77, mIoU 68.25",
        "refseg weights get cmirnet_resnet50/refcoco --file model_best.pth",
        "vlt_darknet53: conversion: not in this version",
        "cmpc_release: refseg convert cmpc variables.npz --vocabulary vocabulary.txt --out cmpc_release",
        "Baidu share",
        "GPL-3.0",
        "Licence of the weights: not stated",
        "both masks at 480 x 480",
    ):
        assert said in " ".join(out.split()), said


def test_a_place_is_told_once():
    assert weights("list", "--network", "cmirnet").count("pan.baidu.com") == 1


def test_the_list_for_programs_holds_everything(tiny_release, tiny_entry):
    (row,) = [row for row in json.loads(weights("list", "--json")) if row["kind"] == "network"]
    assert row["name"] == "tiny_narrow/refcoco" and row["weights_licence"] == "not stated" and not row["here"]
    get(tiny_entry, file=tiny_release.file)
    (row,) = [row for row in json.loads(weights("list", "--json")) if row["kind"] == "network"]
    assert row["here"] and "here" in weights("list")


def test_fetched_weights_are_loaded_by_their_name(tiny_release, tiny_entry, cache):
    out = weights("get", "tiny_narrow/refcoco", "--file", tiny_release.file)
    assert "34 tensors taken" in out and "licence of the weights: not stated" in out
    assert f"written: {cache / 'weights' / 'tiny_narrow' / 'refcoco'}" in out
    assert refseg.load("tiny_narrow/refcoco").checkpoint.knows == "photographs of COCO (RefCOCO)"


def test_weights_that_are_here_are_not_fetched_again(tiny_release, tiny_entry, cache):
    folder, _ = get(tiny_entry, file=tiny_release.file)
    assert weights("get", "tiny_narrow/refcoco").startswith(f"already here: {folder}")


def test_weights_that_a_file_replaces_are_named(tiny_release, tiny_entry, cache):
    assert "replaced" not in weights("get", "tiny_narrow/refcoco", "--file", tiny_release.file)
    out = weights("get", "tiny_narrow/refcoco", "--file", tiny_release.file)
    assert f"written: {cache / 'weights' / 'tiny_narrow' / 'refcoco'} (replaced, of an earlier run)" in out


def test_a_folder_of_ones_own_is_taken(tiny_release, tiny_entry, tmp_path, cache):
    out = weights("get", "tiny_narrow/refcoco", "--file", tiny_release.file, "--folder", tmp_path / "mine")
    assert f"--weights {tmp_path / 'mine'}" in out
    assert refseg.load(tmp_path / "mine").checkpoint.name == "tiny"
    assert not cache.exists()
    with pytest.raises(UnwritableOutput, match="mine is there already and would be replaced; choose another --folder"):
        weights("get", "tiny_narrow/refcoco", "--file", tiny_release.file, "--folder", tmp_path / "mine")


def test_weights_that_are_not_here_are_told_how_to_get(tiny_entry):
    with pytest.raises(MissingFile, match="refseg weights get tiny_narrow/refcoco"):
        refseg.load("tiny_narrow/refcoco")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dmmi/refzom"], "unknown weights 'dmmi/refzom'; choose one of"),
        (["vlt_darknet53/share"], "does not read its weights"),
        (["cmirnet_resnet50/refcoco"], "no direct link; download it by hand from Baidu"),
        (["dmmi_swin_base/refzom", "--file", "missing.pth"], "missing.pth is missing"),
    ],
)
def test_what_cannot_be_had_is_one_error_and_nothing_is_written(cache, arguments, message):
    with pytest.raises((InvalidInput, MissingFile), match=message):
        weights("get", *arguments)
    assert not cache.exists()
