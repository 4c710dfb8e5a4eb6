"""Files of official releases are recognised by the names of their tensors, and errors name the command to run."""

import numpy as np
import pytest
import torch

from refseg.checkpoints import official_release
from refseg.checkpoints.catalogue import CATALOGUE
from refseg.checkpoints.io import load_checkpoint
from refseg.checkpoints.official_release import MARKS, Marks, conversion_command, recognise
from refseg.conversion import CONVERSIONS
from refseg.conversion.to_checkpoint import convert
from refseg.errors import InvalidInput


@pytest.fixture
def marked(tiny_release, monkeypatch):
    """The tiny release is known by its marks."""
    monkeypatch.setitem(official_release.MARKS, "tiny", Marks("model", ("gcn.0.weight",)))
    return tiny_release


def write(path, name):
    """A file that has the marks of a layout."""
    entry, names = MARKS[name]
    if entry:
        torch.save({entry: {f"module.{mark}": torch.zeros(1) for mark in names}, "epoch": 1}, path)
    else:
        np.savez(path, **{f"text_objseg/{mark}": np.zeros(1) for mark in names})
    return path


def test_one_table_of_names_holds_for_marks_conversions_and_the_catalogue():
    assert set(MARKS) >= set(CONVERSIONS) - {"tiny"}
    assert {entry.conversion for entry in CATALOGUE} - {None} <= set(CONVERSIONS)


@pytest.mark.parametrize("name", ["dmmi", "cmirnet", "lavt", "cris", "cmpc"])
def test_a_file_is_recognised_by_its_tensors(name, tmp_path):
    path = write(tmp_path / f"official.{'npz' if name == 'cmpc' else 'pth'}", name)
    assert recognise(path) == name
    assert conversion_command(path).startswith(f"refseg convert {name} {path} --out official")


def test_other_files_are_not_recognised(tmp_path):
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    assert recognise(tmp_path / "other.pth") is None
    assert conversion_command(tmp_path / "text.pth") is None


def test_weights_that_are_an_official_file_name_the_command_that_converts_it(marked):
    with pytest.raises(InvalidInput, match=rf"refseg convert tiny {marked.file} --out {marked.file.stem}"):
        load_checkpoint(marked.file)


def test_weights_that_are_a_file_of_a_checkpoint_name_its_folder(checkpoint_folder):
    with pytest.raises(InvalidInput, match=f"give its folder: {checkpoint_folder}"):
        load_checkpoint(checkpoint_folder / "model.safetensors")


def test_the_file_tells_its_layout(marked, tmp_path):
    assert convert("auto", marked.file, tmp_path / "ours").preset == "tiny_narrow"


@pytest.mark.parametrize("wrong", ["lavt", "dmmi", "cris", "cmirnet", "cmpc"])
def test_a_wrong_layout_is_answered_with_the_right_command(marked, tmp_path, wrong):
    with pytest.raises(
        InvalidInput, match=f"a file of tiny, not of {wrong}; .*refseg convert tiny {marked.file} --out"
    ):
        convert(wrong, marked.file, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_file_of_no_release_is_refused(tmp_path):
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(InvalidInput, match="of no official release that refseg converts: dmmi"):
        convert("auto", tmp_path / "other.pth", tmp_path / "ours")
