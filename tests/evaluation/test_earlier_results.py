"""Results that lie in the folder of an evaluation already."""

import json

import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.evaluation.earlier_results import find_earlier
from refseg.evaluation.evaluate import evaluate, score_masks

DATA = {"dataset": "drawn_scenes", "split": "val", "count": 2}


def written(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture(scope="module")
def evaluated(checkpoint_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("earlier")
    evaluate(checkpoint_folder, **DATA, protocols=["lavt"], out=out, masks=True, shortcuts=True)
    return out


def test_other_protocols_are_added_and_nothing_is_lost(evaluated, checkpoint_folder):
    before, said = json.loads((evaluated / "report.json").read_text()), []
    report = evaluate(checkpoint_folder, **DATA, protocols=["cris"], out=evaluated, on_message=said.append)
    after = json.loads((evaluated / "report.json").read_text())
    assert said == [f"{evaluated} holds this evaluation under lavt too; the new report has both"]
    assert list(report.metrics) == list(after["metrics"]) == ["cris", "standard", "lavt"]
    assert after["metrics"]["lavt"] == before["metrics"]["lavt"]
    assert after["shortcuts"] == before["shortcuts"] != {}
    assert "masks.jsonl" in written(evaluated)


def test_the_same_again_says_that_it_replaces(evaluated, checkpoint_folder):
    said = []
    evaluate(checkpoint_folder, **DATA, protocols=["lavt", "cris"], out=evaluated, on_message=said.append)
    assert len(said) == 1 and "holds the same evaluation of 20" in said[0] and said[0].endswith("it is replaced")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 3}, "holds an evaluation with another count .2, now 3.; give another place"),
        ({"split": "test"}, "holds an evaluation with another split .val, now test."),
        ({"seed": 1}, "holds an evaluation with another seed .0, now 1."),
        ({"precision": "bf16"}, "holds an evaluation with another precision .float32, now bfloat16.; give another"),
    ],
)
def test_other_data_are_refused_and_the_results_stay(evaluated, checkpoint_folder, change, message):
    before = written(evaluated)
    with pytest.raises(UnwritableOutput, match=message):
        evaluate(checkpoint_folder, **DATA | change, out=evaluated)
    assert written(evaluated) == before


def test_other_weights_and_masks_of_other_programs_are_refused(evaluated, tmp_path):
    with pytest.raises(UnwritableOutput, match="other weights .*, now selector "):
        evaluate("selector", **DATA, out=evaluated)
    masks = evaluated / "masks.jsonl"
    with pytest.raises(UnwritableOutput, match="holds an evaluation with (an)?other "):
        score_masks(masks, **DATA, out=evaluated)
    said = []
    for _ in range(2):
        score_masks(masks, **DATA, out=tmp_path / "scored", on_message=said.append)
    assert len(said) == 1 and "it is replaced" in said[0]


def test_protocols_that_are_not_known_any_more_are_not_dropped(evaluated, checkpoint_folder, tmp_path):
    report = json.loads((evaluated / "report.json").read_text())
    report["metrics"]["own"] = {}
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(InvalidInput, match="the earlier results cannot be kept: protocol 'own' .*give another place"):
        evaluate(checkpoint_folder, **DATA, out=tmp_path)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"about": 3, "metrics": {}}', "[" * 100_000])
def test_files_of_the_same_names_that_say_nothing_are_refused(tmp_path, content):
    (tmp_path / "expressions.jsonl").write_text("mine")
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(UnwritableOutput, match=r"no report.json that says of which evaluation it is"):
        find_earlier(tmp_path, {"dataset": "drawn_scenes"})


def test_a_folder_of_anything_else_is_none_of_its_business(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert find_earlier(tmp_path, {}) is None
    assert find_earlier(tmp_path / "new", {}) is None
