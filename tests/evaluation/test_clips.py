import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg import datasets, protocols
from refseg.checkpoints.io import load_checkpoint
from refseg.errors import InvalidInput
from refseg.evaluation.clip_answers import answer_clips
from refseg.evaluation.clip_scoring import check_clips, first_mask_wins, highest_logit_wins
from refseg.evaluation.report.report import build_report
from refseg.evaluation.rows import ImageAnswers, rows_of
from refseg.evaluation.scoring import with_standard

SPLITS = {"ref_davis": "val", "refer_youtube_vos": "valid", "mevis": "valid_u", "a2d_sentences": "test"}
FOLDERS = {"refer_youtube_vos": "ref_davis"}
ABOUT = {"dataset": "", "split": "", "answers": ""}


@pytest.fixture
def clips_of(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))

    def build(name):
        if name == "a2d_sentences":
            videos.annotate()
        return datasets.build(name, split=SPLITS[name], root=videos.root / FOLDERS.get(name, name))

    return build


def answered(weights, clips, names, **settings):
    """Rows and metrics of these protocols."""
    scoring = with_standard(protocols.build(name) for name in names)
    numbered = enumerate(clips)
    answers = list(answer_clips(load_checkpoint(weights), numbered, scoring, **settings))
    again = [ImageAnswers.of(__import__("json").loads(one.json())) for one in answers]
    assert again == [replace(one, masks=[]) for one in answers]
    report = build_report(answers, scoring, ABOUT)
    return rows_of(answers), report


EVERY = [
    ("ref_davis", ["davis", "davis-semi", "mevis", "cmpc_video", "a2d"]),
    ("refer_youtube_vos", ["mevis", "davis"]),
    ("mevis", ["mevis", "cmpc_video", "a2d"]),
    ("a2d_sentences", ["a2d", "cmpc_video"]),
]


@pytest.mark.parametrize(("dataset", "names"), EVERY)
def test_right_answers_score_everything(dataset, names, clips_of, colours):
    _, report = answered(colours(), clips_of(dataset), names, batch_images=3, workers=2)
    assert list(report.metrics) == [*names, "standard"]
    for name, headline in report.printed_by_releases().items():
        for metric in report.about["protocols"][name]["headline"]:
            assert report.metrics[name][metric] == pytest.approx(1), (name, headline)


@pytest.mark.parametrize(("dataset", "names"), EVERY)
def test_answers_two_pixels_to_the_right_score_what_can_be_counted(dataset, names, clips_of, colours):
    """Squares of 8 x 8 pixels: 6 x 8 are common, 10 x 8 in either; nothing of what has left is answered."""
    rows, report = answered(colours(shift=2), clips_of(dataset), names)
    known = {(row.scores["standard"].intersection, row.scores["standard"].union) for row in rows}
    assert known <= {(48, 80), (96, 160), (0, 0)} and (48, 80) in known
    for name in ("a2d", "cmpc_video", "standard"):
        if name in report.metrics:
            assert report.metrics[name]["oIoU"] == report.metrics[name]["Prec@0.5"] - 0.4 == pytest.approx(0.6)
    if "a2d" in names:
        assert report.metrics["a2d"]["mAP"] == pytest.approx(0.3, abs=0.005)  # thresholds .5, .55, .6 of ten
    if "mevis" in names:
        gone = {"mevis": 0, "ref_davis": 2 / 8, "refer_youtube_vos": 2 / 8}[dataset]  # of the answers, in video b
        assert report.metrics["mevis"]["J"] == pytest.approx(0.6 + 0.4 * gone / 2)
    if "davis" in names:
        assert report.metrics["davis"]["J"] == pytest.approx((3 * 0.6 + (0.6 + 1) / 2) / 4)


def test_frames_that_no_protocol_needs_are_not_answered(clips_of, colours):
    rows, report = answered(colours(), clips_of("a2d_sentences"), ["a2d"])
    assert [(row.image_id, row.expression, row.frame) for row in rows] == [
        ("a", "red", "00001"),
        ("a", "green", "00001"),
        ("a", "red", "00004"),
        ("a", "green", "00004"),
        ("b", "red", "00001"),
        ("b", "green", "00001"),
        ("b", "red", "00004"),
    ]
    assert {row.key for row in rows} >= {"a/0/00001", "b/0/00004"} and len({row.key for row in rows}) == 7
    assert report.counts() == "2 videos, 4 frames, 4 expressions, 7 answers, 0 of them without target"


def test_frames_in_which_nothing_is_meant_are_samples_of_some_protocols_only(clips_of, colours):
    rows, _ = answered(colours(), clips_of("ref_davis"), ["cmpc_video", "a2d", "davis"])
    gone = [row for row in rows if not row.has_target]
    assert len(gone) == 2 * 2 and {row.frame for row in gone} == {"00002", "00003"}
    assert all(set(row.scores) == {"davis", "standard"} for row in gone)


def test_davis_semi_leaves_out_the_first_and_the_last_frame(clips_of, colours):
    rows, _ = answered(colours(), clips_of("ref_davis"), ["davis-semi"])
    assert {row.frame for row in rows if "davis-semi" in row.scores} == {"00001", "00002"}


def test_the_figures_of_annotators_are_averaged(clips_of, colours):
    clips = list(clips_of("ref_davis"))
    for clip in clips:  # the second annotator says what the network does not know
        texts = ["red", "blue", "green", "yellow"]
        expressions = zip(clip.expressions, texts, strict=True)
        clip.expressions = tuple(type(one)(text, one.targets, id=one.id) for one, text in expressions)
    rows, report = answered(colours(), clips, ["davis"])
    by = report.by["davis"]["annotator"]
    assert by["1"]["J"] == 1 and by["2"]["J"] == by["2"]["F"] == pytest.approx((0 + 0 + 0 + 0.5) / 4)
    assert report.metrics["davis"]["J"] == pytest.approx((1 + 0.125) / 2) and {row.annotator for row in rows} == {
        "1",
        "2",
    }


def test_swapped_identities_cost_nothing_in_davis_alone(clips_of, colours):
    clips = list(clips_of("ref_davis"))[:1]
    for clip in clips:
        texts = ["green", "green", "red", "red"]
        expressions = zip(clip.expressions, texts, strict=True)
        clip.expressions = tuple(type(one)(text, one.targets, id=one.id) for one, text in expressions)
    _, report = answered(colours(), clips, ["davis", "davis-semi", "mevis"])
    assert [report.metrics[name]["J&F"] for name in ("davis", "davis-semi", "mevis")] == [1, 0, 0]


def test_where_answers_overlap_one_object_has_the_pixel():
    left, both = np.array([[True, True, False]]), np.array([[True, True, True]])
    assert first_mask_wins([both, left])([1, 0]).tolist() == [[1, 1, 2]]
    logits = torch.tensor([[[3.0, 1.0, -1.0]], [[2.0, 2.0, -2.0]]])
    assert highest_logit_wins(logits)([0, 1]).tolist() == [[1, 2, 0]] and highest_logit_wins(logits)([1]).tolist() == [
        [1, 1, 0]
    ]


def test_a_network_of_clips_sees_the_frames_around_and_each_is_read_once(clips_of, colours):
    (clip, _), read = clips_of("ref_davis"), []
    frame = clip.frame
    clip.frame = lambda t: read.append(t) or frame(t)
    rows, _ = answered(colours(frames=3, looks_at=2), [clip], ["davis"])
    assert read == [0, 1, 2, 3]
    ious = [row.scores["standard"].iou for row in rows if row.expression == "red"]
    assert ious == pytest.approx(
        [56 / 72] * 3 + [1]
    )  # the next frame's square, one pixel farther; the last has no next


def test_masks_of_a_few_frames_are_in_memory_however_long_the_video_is(clips_of, colours):
    """Truths and frames are watched from outside; the video is made 40 times as long."""
    (clip, _), alive, most = clips_of("ref_davis"), [], [0]
    length, frame, mask, labels = 40 * len(clip), clip.frame, clip.mask, clip.labels

    class Long(type(clip)):
        def __len__(self):
            return length

        def annotated_frames(self, index):
            return tuple(range(length))

        def frame_name(self, t):
            return f"{t:05d}"

        def labels(self, t):
            return labels(t % 4)

        def frame(self, t):
            return self.watched(frame(t % 4))

        def mask(self, index, t):
            return self.watched(mask(index, t % 4))

        def watched(self, pixels):
            alive.append(weakref.ref(pixels))
            most[0] = max(most[0], sum(one() is not None for one in alive))
            return pixels

    clip.__class__ = Long
    rows, _ = answered(colours(), [clip], ["davis", "mevis"], batch_images=2)
    assert len(rows) == 4 * length and len(alive) == 5 * length and most[0] <= 5 * 8  # of 160 frames


def test_objects_that_no_frame_shows_are_told_before_the_figures(clips_of, colours):
    clips = clips_of("refer_youtube_vos")
    videos = [replace(one, annotations=(("7",), *one.annotations[1:])) for one in clips._videos]  # no label is 7
    _, report = answered(colours(), [clips.clip(video) for video in videos], ["mevis"])
    assert any("no annotated frame shows what they name: 2 expressions" in line for line in report.cautions)
    _, report = answered(colours(), clips, ["mevis"])
    assert not any("no annotated frame" in line for line in report.cautions)


def test_what_cannot_be_scored_is_said_at_once(clips_of, videos):
    davis, mevis = protocols.build("davis"), protocols.build("mevis")
    drawn = datasets.build("drawn_clips", split="val", count=2)
    with pytest.raises(InvalidInput, match=r"'mevis' scores whole videos, and of .* in val-0 1 of \d+ frames are"):
        check_clips(drawn, [mevis])
    check_clips(datasets.build("drawn_clips", split="val", count=2, annotated="all"), [mevis])
    clip = clips_of("ref_davis")[0]
    clip.expressions = (type(clip.expressions[0])("both", (1, 2)),)
    with pytest.raises(InvalidInput, match="'davis' scores single objects .*'both' in a names 2: choose mevis"):
        check_clips([clip], [davis])
    untold = datasets.build("refer_youtube_vos", split="valid", root=videos.root / "untold")
    with pytest.raises(InvalidInput, match="not given out.*write_submission"):
        check_clips(untold, [mevis])


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("drawn_scenes", "davis"),
        ("drawn_scenes", "a2d"),
        ("a2d_sentences", "davis"),
        ("mevis", "davis"),
        ("ref_davis", "lavt"),
        ("drawn_clips", "davis-semi"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_with_those_that_do(dataset, name):
    with pytest.raises(InvalidInput, match=f"protocol '{name}' does not fit {dataset}; choose one of: .*standard"):
        protocols.build_for(dataset, [name])


def test_every_data_set_has_a_protocol_of_its_own():
    for name in datasets.DATASETS:
        chosen = [one.name for one in protocols.build_for(name, [])]
        assert chosen and set(chosen) <= set(protocols.fitting(name))


def test_drawn_clips_are_scored_by_what_objects_do(checkpoint_folder):
    clips = datasets.build("drawn_clips", split="val", count=4)
    rows, report = answered(checkpoint_folder, clips, ["standard"])
    asked = [expression for clip in clips for expression in clip.expressions]
    assert [row.expression for row in rows] == [expression.text for expression in asked]
    assert set(report.by["standard"]["kind"]) == {expression.kind for expression in asked}
    assert [row.has_target for row in rows] == [bool(expression.targets) for expression in asked]
