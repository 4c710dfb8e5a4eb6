"""An empty file is one line, whatever takes it, and nothing is written."""

import sys
from pathlib import Path

import pytest

from refseg.cli import main

ENDINGS = ".png", ".gif", ".csv", ".jsonl", ".json", ".mp4", ".npz", ".pth", ".yaml", ".weights"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("segment empty.png star", "empty.png is empty; give an image"),
        ("segment empty.gif star", "empty.gif is empty"),
        ("segment empty.mp4 star", "empty.mp4 is empty"),
        ("segment empty star", "empty holds no images"),
        ("segment --table empty.csv", "empty.csv has no column image"),
        ("segment --table empty.jsonl", "empty.jsonl has no row; give one for each"),
        ("explain empty.png star", "empty.png is empty"),
        ("evaluate selector jsonl --root empty.jsonl --split all", "empty.jsonl holds no expression"),
        ("evaluate selector refer --root empty", "has neither refs(...) nor grefs(...)"),
        ("evaluate empty drawn_scenes", "this is no checkpoint folder"),
        ("score empty.jsonl drawn_scenes --split val --count 1", "lacks 21 of 21 masks"),
        ("score empty drawn_scenes --split val --count 1", "empty holds no .png"),
        ("compare empty.jsonl empty.jsonl", "empty.jsonl holds no rows; give those that"),
        ("convert auto empty.pth --out out", "empty.pth is empty; download it again"),
        ("convert cmpc empty.npz --out out", "empty.npz is empty"),
        ("calibrate selector jsonl --root empty.jsonl --out out", "empty.jsonl holds no expression"),
        ("data check jsonl --root empty.jsonl", "empty.jsonl holds no expression"),
        ("data stats jsonl --root empty.jsonl --split all", "empty.jsonl holds no expression"),
        ("data import empty.csv empty.json --out out.jsonl", "empty.csv has no column 'expression'"),
        ("weights get coco80 --file empty.weights", "empty.weights has 0 bytes"),
        ("weights get lavt_swin_base/refcoco --file empty.pth", "empty.pth is empty"),
        ("train --resume --out empty", "empty holds no run to resume"),
        ("train empty.yaml --out out", "empty.yaml is empty; `refseg recipes selector` shows"),
    ],
)
def test_an_empty_file_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    Path("empty").mkdir()
    for ending in ENDINGS:
        Path(f"empty{ending}").touch()
    monkeypatch.setattr(sys, "argv", ["refseg", *words.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    told = capsys.readouterr().err
    assert caught.value.code == 2 and told.startswith("error: ") and said in told
    assert {path.name for path in tmp_path.iterdir()} <= {
        "empty",
        "cache",
        ".refseg",
        *(f"empty{ending}" for ending in ENDINGS),
    }
    assert not list(Path("empty").iterdir())
