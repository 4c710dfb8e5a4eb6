"""`refseg robustness`: what it prints, exported questions, and mistakes that are told before anything is loaded."""

import json

import numpy as np
import pytest
from PIL import Image

from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.masks.rle import encode_rle


def test_answers_of_other_programs_are_scored_as_ours(tmp_path, run):
    questions = "drawn_scenes --split val --count 2 --severities 3 --kinds case,left_right,absent_noun,crop".split()
    said = run("robustness", *questions, "--export", tmp_path / "asked")
    lines = [json.loads(line) for line in (tmp_path / "asked" / "questions.jsonl").read_text().splitlines()]
    assert f"{len(lines):,} questions" in said
    with (tmp_path / "answers.jsonl").open("w") as file:  # a program that is always right
        for line in lines:
            empty = encode_rle(np.zeros(_size(tmp_path / "asked" / line["image"]), np.bool_))
            file.write(json.dumps({"id": line["id"], **(line["mask"] or empty)}) + "\n")
    scored = run("score", tmp_path / "answers.jsonl", "jsonl", "--root", tmp_path / "asked", "--split", "val")
    assert "mIoU 100.00 %, gIoU 100.00 %" in scored
    shown = run("robustness", *questions, "--masks", tmp_path / "answers.jsonl")
    figures = {line.split("  ")[0]: line.split("  ")[-1].split()[0] for line in shown.splitlines() if "  " in line}
    assert figures["flips"] == figures["right flips"] == figures["consistent, pictures"] == "100.0"
    assert figures["false alarms"] == figures["mIoU drop, pictures"] == "0.0"


def _size(file):
    with Image.open(file) as image:
        return image.size[::-1]


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        ("", InvalidInput, "name weights and a data set, for example: refseg robustness selector drawn_scenes"),
        ("drawn_scenes", InvalidInput, "name weights before the data set"),
        (
            "selector",
            InvalidInput,
            "name a data set after the weights, for example: refseg robustness selector drawn_scenes",
        ),
        ("drawn_scene", InvalidInput, "'drawn_scene' is none; did you mean drawn_scenes"),
        ("selector drawn_scene", InvalidInput, "'drawn_scene' is none; did you mean drawn_scenes"),
        ("nothing drawn_scenes", MissingFile, "no weights 'nothing'"),
        ("selector drawn_clips", InvalidInput, "drawn_clips holds videos, images are wanted"),
        ("selector drawn_scenes --kinds blurr", InvalidInput, "unknown kind of change 'blurr'; did you mean blur"),
        (
            "selector drawn_scenes --severities 1,6",
            InvalidInput,
            "severity 6 is not allowed; severities are 1 .mild. to 5",
        ),
        ("selector drawn_scenes --severities hard", InvalidInput, "write them as --severities 1,3,5"),
        ("selector drawn_scenes --severities ,", InvalidInput, "changed pictures need a severity"),
        ("selector selector drawn_scenes --count 1", InvalidInput, "selector given twice"),
        ("selector drawn_scenes --count 1 --export other", InvalidInput, "--export asks nobody"),
        ("drawn_scenes --masks nothing", MissingFile, "nothing is missing; give a folder of PNG"),
        ("drawn_scenes --count 1 --export .", UnwritableOutput, "is there already and would be replaced"),
        ("selector drawn_scenes --count 1 --out other", UnwritableOutput, "says not of which questions it is"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(run, tmp_path, monkeypatch, words, error, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "robustness.json").write_text("{}")
    with pytest.raises(error, match=told):
        run("robustness", *words.split())
    assert [file.name for file in tmp_path.rglob("*")] == ["other", "robustness.json"]


def test_kinds_are_listed_with_their_effects(run):
    said = run("robustness", "--list").splitlines()
    assert any(line.split()[:2] == ["absent_noun", "vanish"] for line in said)
    assert any(line.split()[:2] == ["jpeg", "stay"] for line in said)
