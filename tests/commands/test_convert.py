import json

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from refseg.cli import app
from refseg.conversion.to_checkpoint import convert as convert_file
from refseg.errors import InvalidInput, RefsegError, UnwritableOutput


def convert(*arguments: object) -> str:
    asked = ["convert", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_a_file_becomes_a_folder_and_the_report_says_what_was_left_out(tiny_release, tmp_path):
    out = convert("tiny", tiny_release.file, "--out", tmp_path / "ours", "--report", tmp_path / "report.json")
    assert out.splitlines() == [
        "tiny_narrow: 34 tensors taken",
        "dropped, the second name of a tensor: 1",
        "      1  model.layer1.*",
        "dropped, never used: 4",
        "      2  model.copy.*",
        "      1  bert_model.embeddings.position_ids",
        "      1  bert_model.pooler.*",
        "not read: optimizer, lr_scheduler, epoch",
        f"written: {tmp_path / 'ours'}",
        f"report: {tmp_path / 'report.json'}",
    ]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["preset"] == "tiny_narrow" and report["fits"]
    assert report["taken"]["heads.weight"] == ["model.gcn.0.weight", "model.gcn.1.weight"]


def test_the_folder_becomes_the_file_again(tiny_release, tmp_path):
    convert("tiny", tiny_release.file, "--out", tmp_path / "ours")
    out = convert("tiny", tmp_path / "ours", "--to-official", "--out", tmp_path / "new" / "back.pth")
    assert "never used, filled: 2\n      2  model.copy.*\n" in out
    model = torch.load(tmp_path / "new" / "back.pth", weights_only=True)["model"]
    assert torch.equal(model["layer1.0.weight"], model["backbone.conv.weight"])
    convert("tiny", tmp_path / "new" / "back.pth", "--out", tmp_path / "again")
    ours, again = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "again"))
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_a_checkpoint_of_another_network_has_no_way_back(tiny_release, checkpoint_folder, tmp_path):
    with pytest.raises(InvalidInput, match="holds a selector; --to-official writes tiny"):
        convert("tiny", checkpoint_folder, "--to-official", "--out", tmp_path / "back.pth")
    assert not (tmp_path / "back.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eavl", "a.pth", "--out", "new"], "nothing converts 'eavl'; choose one of: dmmi, cmirnet, lavt"),
        (["tiny", "missing.pth", "--out", "new"], "missing.pth is missing"),
        (["tiny", "release.pth", "--out", "release.pth"], "is not a folder"),
        (["tiny", "release.pth", "--out", "release.pth/new"], "is not a folder"),
        (["tiny", "missing", "--to-official", "--out", "back.pth"], "missing"),
        (["tiny", "release.pth", "--to-official", "--out", "."], "give the file to write"),
        (["tiny", "release.pth", "--image-size", "448", "--to-official", "--out", "a.pth"], "--image-size"),
    ],
)
def test_a_mistake_is_one_error_and_nothing_is_written(tiny_release, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefsegError, match=message):
        convert(*arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["release.pth"]


def test_what_does_not_fit_is_listed_in_the_report_and_nothing_else_is_written(tiny_release, tmp_path):
    tiny_release.content["model"]["module.new"] = torch.zeros(2)
    torch.save(tiny_release.content, tiny_release.file)
    with pytest.raises(InvalidInput, match=r"1 unexpected \(model.new\); .*report.json lists all"):
        convert("tiny", tiny_release.file, "--out", tmp_path / "ours", "--report", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["unexpected"] == ["model.new"]
    assert not (tmp_path / "ours").exists()


def test_a_full_disk_on_the_way_back_leaves_nothing(tiny_release, tmp_path, monkeypatch):
    convert("tiny", tiny_release.file, "--out", tmp_path / "ours")

    def full(_: object, path: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("refseg.conversion.mapping.torch.save", full)
    with pytest.raises(UnwritableOutput, match="No space left"):
        convert("tiny", tmp_path / "ours", "--to-official", "--out", tmp_path / "back.pth")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ours", "release.pth"]


def test_what_is_there_is_replaced_only_if_asked(tiny_release, tmp_path):
    out, back = tmp_path / "ours", tmp_path / "back.pth"
    convert("tiny", tiny_release.file, "--out", out, "--knows", "cats")
    with pytest.raises(
        UnwritableOutput, match="ours is there already and would be replaced; add --overwrite, or choose"
    ):
        convert("tiny", tiny_release.file, "--out", out)
    assert "cats" in (out / "config.json").read_text()
    convert("tiny", tiny_release.file, "--out", out, "--overwrite")
    assert "cats" not in (out / "config.json").read_text()
    back.write_text("mine")
    with pytest.raises(UnwritableOutput, match="back.pth is there already"):
        convert("tiny", out, "--to-official", "--out", back)
    assert back.read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    convert("tiny", tiny_release.file, "--out", empty)
    assert (empty / "config.json").is_file()


def test_a_report_replaces_a_report_and_nothing_else(tiny_release, tmp_path):
    report = tmp_path / "report.json"
    convert("tiny", tiny_release.file, "--out", tmp_path / "ours", "--report", report)
    out = convert("tiny", tiny_release.file, "--out", tmp_path / "again", "--report", report)
    assert f"report: {report} (replaced, of an earlier run)" in out
    report.write_text('{"mine": 1}')
    with pytest.raises(UnwritableOutput, match="report.json is there already and is something else"):
        convert("tiny", tiny_release.file, "--out", tmp_path / "third", "--report", report)
    assert report.read_text() == '{"mine": 1}' and not (tmp_path / "third").exists()


def test_python_replaces_a_checkpoint_only_if_asked(tiny_release, tmp_path):
    ours, report = tmp_path / "ours", tmp_path / "report.json"
    convert_file("tiny", tiny_release.file, ours, knows="cats")
    with pytest.raises(UnwritableOutput, match="would be replaced; add overwrite=True, or choose another place"):
        convert_file("tiny", tiny_release.file, ours)
    report.write_text("mine")
    with pytest.raises(UnwritableOutput, match="is something else; choose another place"):
        convert_file("tiny", tiny_release.file, ours, report_file=report, overwrite=True)
    assert "cats" in (ours / "config.json").read_text() and report.read_text() == "mine"
    convert_file("tiny", tiny_release.file, ours, overwrite=True)
    assert "cats" not in (ours / "config.json").read_text()
