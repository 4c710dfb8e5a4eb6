"""Robustness in one call: baselines, the page, runs that go on, answers of other programs."""

import json

import pytest

import refseg
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, UnwritableOutput
from refseg.masks.rle import encode_rle
from refseg.robustness.asked import Plan, ask_about
from refseg.robustness.run import choose_plan, measure_robustness
from refseg.robustness.systems import NetworkSystem

KINDS = ("typing_errors", "left_right", "absent_noun", "crop")
ASKED = {"split": "val", "count": 3, "kinds": KINDS, "severities": (3,), "workers": 0}


@pytest.fixture(scope="module")
def measured(checkpoint_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("robust")
    report = refseg.measure_robustness(checkpoint_folder, "drawn_scenes", out=out, baselines=True, examples=1, **ASKED)
    return report, out


def _is_of(file, name):
    """Whether a file of answers is of a system of this name, as it is."""
    system = json.loads((file.parent / "run.json").read_text())["system"]
    return system.get("name") == name and "without_words" not in system


def test_baselines_are_what_they_must_be(measured, checkpoint_folder):
    report, _ = measured
    name = str(checkpoint_folder)
    assert list(report.systems) == [name, "the right answers", f"{name} without language", "reader of the true objects"]
    own, right, blind, reader = (
        {key: figure.value for key, figure in one.headline.items()} for one in report.systems.values()
    )
    assert (right["sentences consistency"], right["pictures consistency"], right["flips"], right["right flips"]) == (
        1,
    ) * 4
    assert (blind["sentences consistency"], blind["flips"], blind["right flips"]) == (1, 0, 0)
    assert (reader["mIoU"], reader["pictures consistency"], reader["pictures mIoU drop"]) == (1, 1, 0)
    assert own["mIoU"] > 0.6 and own["right flips"] > blind["right flips"] and own["sentences consistency"] < 1
    assert 0 < own["pictures mIoU drop"] < 1 and own["sentences ECE"] > own["ECE"]


def test_the_page_shows_figures_kinds_and_the_worst_examples(measured, checkpoint_folder):
    report, out = measured
    page = (out / "robustness.html").read_text()
    assert f"<title>Robustness of {checkpoint_folder} on drawn_scenes val</title>" in page
    assert page.count("<figure>") == len(report.examples) > 2
    assert {one.system for one in report.examples} == {str(checkpoint_folder)}
    assert all(one.iou < 0.5 or one.effect != "stay" for one in report.examples)
    assert "Typing errors: the worst" in page and "<script" not in page and "http" not in page.split("</style>")[1]


def test_a_stopped_run_goes_on_and_ends_with_the_same_report(measured, checkpoint_folder, tmp_path, monkeypatch):
    _, out = measured
    whole = next(file for file in out.glob("answers/*/answers.jsonl") if _is_of(file, str(checkpoint_folder)))
    answer = NetworkSystem.answer

    def stopping(self, pictures):
        for done in answer(self, pictures):
            if done.asked.number == 2:
                raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(NetworkSystem, "answer", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_robustness(checkpoint_folder, "drawn_scenes", out=tmp_path, examples=1, **ASKED)
    (unfinished,) = tmp_path.glob("answers/*/answers.jsonl")
    assert len(unfinished.read_text().splitlines()) == 1 and not (tmp_path / "robustness.json").exists()
    with unfinished.open("a") as file:
        file.write('{"image": 1, "answ')  # a line that was being written

    monkeypatch.setattr(NetworkSystem, "answer", answer)
    told = []
    report = measure_robustness(
        checkpoint_folder, "drawn_scenes", out=tmp_path, examples=1, on_message=told.append, **ASKED
    )
    assert told == [f"{checkpoint_folder}: 1 of 3 images answered before"]
    assert unfinished.read_text() == whole.read_text()
    assert report.first.to_dict() == measured[0].first.to_dict()
    again = measure_robustness(checkpoint_folder, "drawn_scenes", out=tmp_path, examples=0, **ASKED)
    assert again.first.to_dict() == report.first.to_dict()


def test_masks_that_lack_an_answer_are_refused(tmp_path):
    scene = DrawnScenes("val", count=1)[0]
    (asked,) = ask_about(0, scene, Plan((), ()))
    lines = [{"id": one.id, **encode_rle(scene.mask(one.index))} for one in asked.questions[:-1]]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidInput, match=f"lacks the mask of {asked.questions[-1].id}; write an empty one"):
        measure_robustness((), DrawnScenes("val", count=1), masks=[tmp_path / "answers.jsonl"], kinds=["case"])


def test_a_folder_of_other_questions_is_not_replaced(measured, checkpoint_folder):
    _, out = measured
    before = (out / "robustness.json").read_bytes()
    with pytest.raises(UnwritableOutput, match="holds a report about other severities"):
        measure_robustness(checkpoint_folder, "drawn_scenes", out=out, **{**ASKED, "severities": (1,)})
    assert (out / "robustness.json").read_bytes() == before


def test_kinds_are_chosen_by_name_and_by_group():
    whole = choose_plan()
    assert choose_plan("blur") == Plan((), ("blur",)) and choose_plan(["pictures", "sentences"]) == whole
    assert choose_plan("sentences") == Plan(whole.sentences, ())
    assert [severity for _, severity in choose_plan(["noise", "mirror"], [5, 2]).conditions()] == [2, 5, 1]
