import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.evaluation import clip_answers
from refseg.protocols import davis

FILES = ["expressions.jsonl", "masks", "report.html", "report.json", "report.md"]
EVERY = "davis", "davis-semi", "mevis", "cmpc_video", "a2d"


@pytest.fixture
def of(videos, tmp_path, monkeypatch):
    """The arguments that name a data set of the two videos."""
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))

    def arguments(dataset, split, folder=None):
        return dataset, "--split", split, "--root", videos.root / (folder or dataset)

    return arguments


def named(*protocols):
    return [word for name in protocols for word in ("--protocol", name)]


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def rows_of(folder):
    read = [json.loads(line) for line in (folder / "expressions.jsonl").read_text().splitlines()]
    return [{**row, "seconds": 0} for row in read]


def test_a_report_of_videos_says_what_was_scored_and_how(run, of, colours, tmp_path):
    output = run(
        "evaluate", colours(shift=2), *of("ref_davis", "val"), *named(*EVERY), "--masks", "--out", tmp_path / "out"
    )
    assert "2 videos, 8 frames, 8 expressions, 32 answers, 4 of them without target" in " ".join(output.split())
    assert "it cannot know what moves" in " ".join(output.split())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    report, page = report_of(tmp_path / "out"), (tmp_path / "out" / "report.html").read_text()
    assert list(report["metrics"]) == [*EVERY, "standard"] and report["about"]["videos"] == 2
    assert "Whole videos, by protocol" in page and "By annotator, davis" in page and "<figure>" in page
    assert "J recall" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("dataset", "split", "folder", "protocols"),
    [
        ("ref_davis", "val", None, ["davis", "davis-semi"]),
        ("refer_youtube_vos", "valid", "ref_davis", ["mevis", "cmpc_video", "a2d"]),
        ("mevis", "valid_u", None, ["mevis"]),
    ],
)
def test_masks_score_as_the_network_that_wrote_them(run, dataset, split, folder, protocols, of, colours, tmp_path):
    asked = *of(dataset, split, folder), *named(*protocols)
    run("evaluate", colours(shift=1), *asked, "--masks", "--out", tmp_path / "a")
    masks = tmp_path / "a" / "masks"
    labels = np.asarray(Image.open(masks / "anno_0" / "a" / "00000.png")) if dataset == "ref_davis" else None
    assert labels is None or (set(np.unique(labels)) == {0, 1, 2} and (labels == 2).sum() == 64)
    assert labels is not None or (masks / "b" / "1" / "00003.png").is_file()
    output = run("score", masks, *asked, "--out", tmp_path / "b")
    assert "warning" not in output
    evaluated, scored = report_of(tmp_path / "a"), report_of(tmp_path / "b")
    for name in protocols:
        assert (
            scored["metrics"][name] == evaluated["metrics"][name] and 0 < scored["metrics"][name]["J"] < 1
            if ("J" in scored["metrics"][name])
            else True
        )
        if name != "a2d":  # stored masks have no probability to be ranked by
            assert scored["by"][name] == evaluated["by"][name]


def test_a_mask_too_few_is_named_and_those_of_frames_that_nobody_scores_are_not(run, of, videos, colours, tmp_path):
    run("evaluate", colours(), *of("refer_youtube_vos", "valid", "ref_davis"), "--masks", "--out", tmp_path / "a")
    (tmp_path / "a" / "masks" / "b" / "2" / "00001.png").unlink()
    with pytest.raises(InvalidInput, match="lacks 1 of 32 masks: b/2/00001; write an empty one"):
        run("score", tmp_path / "a" / "masks", *of("refer_youtube_vos", "valid", "ref_davis"), "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    videos.annotate()
    every = tmp_path / "every"
    for video in ("a", "b"):
        for number in (0, 1):
            for t in range(1, 5):
                file = every / video / str(number) / f"{t:05d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (24, 24)).save(file)
    assert "warning" not in run("score", every, *of("a2d_sentences", "test"))
    Image.new("L", (24, 24)).save(every / "other.png")
    assert "1 mask of no expression" in run("score", every, *of("a2d_sentences", "test"))


@pytest.mark.parametrize("name", ["davis", "davis-semi"])
def test_labels_that_are_written_score_in_the_tool_as_in_the_report(run, name, of, videos, colours, tmp_path):
    run("evaluate", colours(shift=1), *of("ref_davis", "val"), *named(name), "--masks", "--out", tmp_path)
    tool = {"davis": davis.unsupervised, "davis-semi": davis.semi_supervised}[name]

    def labels(folder):
        return [np.stack([np.asarray(Image.open(file)) for file in sorted((folder / v).iterdir())]) for v in ("a", "b")]

    truths = labels(videos.root / "ref_davis" / "valid" / "Annotations")
    of_annotators = [
        davis.summarize_objects([tool(*pair) for pair in zip(labels(tmp_path / "masks" / anno), truths, strict=True)])
        for anno in ("anno_0", "anno_1")
    ]
    means = {metric: np.mean([one[metric] for one in of_annotators]) for metric in of_annotators[0]}
    assert report_of(tmp_path)["metrics"][name] == pytest.approx(means)


def test_labels_in_colours_are_refused(run, of, colours, tmp_path):
    run("evaluate", colours(), *of("ref_davis", "val"), "--masks", "--out", tmp_path / "a")
    Image.new("RGB", (24, 24)).save(tmp_path / "a" / "masks" / "anno_1" / "b" / "00002.png")
    with pytest.raises(InvalidInput, match=r"anno_1/b/00002\.png holds colours \(RGB\), not numbers of objects"):
        run("score", tmp_path / "a" / "masks", *of("ref_davis", "val"))


def test_a_stopped_evaluation_goes_on_with_the_next_video(run, of, colours, tmp_path, monkeypatch):
    genuine, asked = clip_answers.answer_clips, []

    def stops(*arguments, **settings):
        answers = genuine(*arguments, **settings)
        yield next(answers)
        next(answers)  # its masks are written
        raise KeyboardInterrupt

    command = colours(shift=1), *of("ref_davis", "val"), *named("davis", "cmpc_video"), "--masks", "--batch-images", 1
    monkeypatch.setattr("refseg.evaluation.clip_answers.answer_clips", stops)
    run("evaluate", *command, "--out", tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".unfinished"]

    def counts(checkpoint, clips, *arguments, **settings):
        clips = list(clips)
        asked.extend(number for number, _ in clips)
        return genuine(checkpoint, clips, *arguments, **settings)

    monkeypatch.setattr("refseg.evaluation.clip_answers.answer_clips", counts)
    assert "1 of 2 videos answered" in run("evaluate", *command, "--out", tmp_path / "a")
    assert asked == [1]
    run("evaluate", *command, "--out", tmp_path / "b")
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert report_of(tmp_path / "a")["metrics"] == report_of(tmp_path / "b")["metrics"]
    files = [sorted((tmp_path / name / "masks").rglob("*.png")) for name in ("a", "b")]
    assert [len(some) for some in files] == [16, 16]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*files, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "lavt"], "protocol 'lavt' does not fit ref_davis; choose one of: a2d, cmpc_video, davis"),
        (["--protocol", "daviss"], "protocol 'daviss' is not known for ref_davis; did you mean davis or davis-semi"),
        (["--shortcuts"], "--shortcuts is for images"),
        (["--submission", "s.zip"], "no server that takes masks of ref_davis"),
        (["--submission", "s.zip", "--masks"], "scores nothing; leave out"),
        (["--masks"], "give --out"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_right_ones(run, arguments, message, of, colours):
    with pytest.raises(InvalidInput, match=message):
        run("evaluate", colours(), *of("ref_davis", "val"), *arguments)


def test_two_systems_are_compared_under_protocols_of_videos(run, of, colours, tmp_path):
    for shift in (0, 2):
        run("evaluate", colours(shift=shift), *of("ref_davis", "val"), *named(*EVERY), "--out", tmp_path / str(shift))
    found = json.loads(run("compare", tmp_path / "2", tmp_path / "0", "--json"))["protocols"]
    assert {one["protocol"] for one in found} == {*EVERY, "standard"}
    for one in found:
        values = one["metrics"][{"a2d": "mAP"}.get(one["protocol"], "J" if "J" in one["metrics"] else "mIoU")]
        assert values["b"] == pytest.approx(1) and values["a"] < values["b"] and one["images"] == 2
        assert one["metrics"].get("J&F", one["metrics"].get("mIoU"))["interval"][0] > 0
    assert "8 expressions, 2 videos" in run("compare", tmp_path / "2", tmp_path / "0", "--protocol", "davis")
    (tmp_path / "third.jsonl").write_bytes((tmp_path / "2" / "expressions.jsonl").read_bytes())
    three = run("compare", tmp_path / "2", tmp_path / "0", tmp_path / "third.jsonl", "--protocol", "davis")
    assert "8 expressions, 2 videos" in three and "Wilcoxon's test on J by video" in three


# Submission -----------------------------------------------------------------------------------------------------------


def test_a_split_without_truth_is_answered_for_its_server(run, of, colours, tmp_path):
    asked = of("refer_youtube_vos", "valid", "untold")
    with pytest.raises(InvalidInput, match="not given out.*--submission"):
        run("evaluate", colours(), *asked)
    run("evaluate", colours(), *asked, "--submission", tmp_path / "out" / "s.zip")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s.zip"]
    with zipfile.ZipFile(tmp_path / "out" / "s.zip") as file:
        assert len(file.namelist()) == 2 * 4 * 4 and "Annotations/b/3/00003.png" in file.namelist()
        with file.open("Annotations/a/2/00001.png") as png:
            mask = np.asarray(Image.open(png))
    assert mask.shape == (24, 24) and (mask[14:22, 13:21] == 255).all() and (mask > 0).sum() == 64
    with pytest.raises(UnwritableOutput, match="s.zip is there already and would be replaced; give another"):
        run("evaluate", colours(), *asked, "--submission", tmp_path / "out" / "s.zip")


def test_a_stopped_submission_goes_on_with_the_next_video(run, of, colours, tmp_path, monkeypatch):
    from refseg.inference.segmenter import Segmenter

    genuine, asked = Segmenter.video, []

    def stops(segmenter, clip, expressions):
        asked.append(clip.clip_id)
        if asked == ["a", "b"]:
            raise KeyboardInterrupt
        return genuine(segmenter, clip, expressions)

    monkeypatch.setattr(Segmenter, "video", stops)
    command = colours(), *of("refer_youtube_vos", "valid", "untold"), "--submission", tmp_path / "s.zip"
    run("evaluate", *command)
    assert not (tmp_path / "s.zip").exists()
    assert "1 of 2 videos answered" in run("evaluate", *command)
    assert asked == ["a", "b", "b"] and len(zipfile.ZipFile(tmp_path / "s.zip").namelist()) == 32
    assert not list(tmp_path.glob(".s.zip*"))


# Files that others made -----------------------------------------------------------------------------------------------


@pytest.fixture
def realset():
    beside = Path(__file__).parents[3] / "shared" / "realset"
    folder = Path(os.environ.get("REFSEG_REALSET", beside))
    if not (folder / "video").is_dir():
        pytest.skip(f"no realset at {folder}; REFSEG_REALSET says where it is")
    return folder / "video"


def test_the_true_labels_of_real_clips_score_everything_and_a_networks_answers_something(
    run, realset, colours, tmp_path
):
    for k in (0, 1):
        (tmp_path / f"anno_{k}").symlink_to(realset / "valid" / "Annotations")
    arguments = "ref_davis", "--split", "val", "--root", realset, *named("davis", "davis-semi"), "--count", 2
    run("score", tmp_path, *arguments, "--out", tmp_path / "a")
    for name in ("davis", "davis-semi"):
        metrics = report_of(tmp_path / "a")["metrics"][name]
        assert [metrics[part] for part in ("J&F", "J recall", "J decay", "F recall")] == [1, 1, 0, 1]
    run("evaluate", colours(frames=3, looks_at=1), *arguments, "--out", tmp_path / "b")
    report = report_of(tmp_path / "b")
    assert (report["about"]["videos"], report["about"]["frames"], report["about"]["frame_answers"]) == (2, 24, 48)
    assert 0 <= report["metrics"]["davis"]["J&F"] < 0.5
