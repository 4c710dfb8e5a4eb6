import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile

FRAMES = ["00000", "00005", "00010"]


def video(*expressions: tuple[str, object], frames=FRAMES) -> dict:
    """An entry of meta_expressions.json; obj_id None leaves it out, as valid and test do."""
    items = {
        str(n): {"exp": text} | ({} if obj_id is None else {"obj_id": obj_id})
        for n, (text, obj_id) in enumerate(expressions)
    }
    return {"expressions": items, "frames": frames}


def meta(files, split: str, videos: dict) -> None:
    files.json(f"meta_expressions/{split}/meta_expressions.json", {"videos": videos})


@pytest.fixture
def ytvos(files):
    """A train video with two objects, one of which leaves; valid, whose truth is not given out."""
    meta(files, "train", {"0ab": video(("a dog", "1"), ("the cat", "2")), "empty": video()})
    meta(files, "valid", {"1cd": video(("a bird", None)), "2ef": video(("a fish", None))})
    labels = np.zeros((20, 30), np.uint8)
    labels[2:6, 3:9] = 2
    for n, name in enumerate(FRAMES):
        files.photograph(f"train/JPEGImages/0ab/{name}.jpg")
        labels[10:14, 3:9] = n < 2
        files.labels(f"train/Annotations/0ab/{name}.png", labels)
        for valid in ("1cd", "2ef"):
            files.photograph(f"valid/JPEGImages/{valid}/{name}.jpg")
    return lambda split, **settings: datasets.build("refer_youtube_vos", split=split, root=files.root, **settings)


def test_a_clip_has_its_frames_expressions_and_masks(ytvos):
    train = ytvos("train")
    (clip,) = train
    assert (clip.clip_id, len(clip), clip.size_hw, clip.frame_rate) == ("0ab", 3, (20, 30), None)
    assert clip.frame(1).shape == (20, 30, 3) and clip.frame_name(1) == "00005"
    assert [(e.text, e.targets, e.id) for e in clip.expressions] == [
        ("a dog", (1,), "0ab/0"),
        ("the cat", (2,), "0ab/1"),
    ]
    assert clip.annotated_frames(1) == (0, 1, 2)
    assert [clip.mask(0, t).sum() for t in range(3)] == [24, 24, 0]
    assert clip.mask(1, 2)[2:6, 3:9].all() and clip.mask(1, 2).sum() == 24
    assert train.expression_count == 2


def test_masks_are_the_indices_of_the_palette_not_its_colours(ytvos, files):
    clip = ytvos("train")[0]
    assert set(np.unique(clip.labels(0))) == {0, 1, 2}
    Image.new("RGB", (30, 20)).save(files.root / "train/Annotations/0ab/00000.png")
    with pytest.raises(InvalidInput, match=r"00000\.png holds colours \(RGB\)"):
        clip.mask(0, 0)


def test_only_frames_with_labels_are_annotated(ytvos, files):
    (files.root / "train/Annotations/0ab/00005.png").unlink()
    clip = ytvos("train")[0]
    assert clip.annotated_frames(0) == (0, 2)
    with pytest.raises(MissingFile, match=r"00005\.png is missing"):
        clip.mask(0, 1)


def test_truth_that_is_not_given_out_is_told_from_no_referent(ytvos, files):
    hidden = ytvos("valid")[0]
    assert hidden.annotated_frames(0) == ()
    with pytest.raises(InvalidInput, match="'a bird' refers to in 1cd is not given out"):
        hidden.mask(0, 0)
    meta(files, "own", {"a": video(("both dogs", ["1", "2"]), ("no dog", []), frames=["00000"])})
    files.photograph("own/JPEGImages/a/00000.png")
    files.labels("own/Annotations/a/00000.png", np.arange(600).reshape(20, 30) % 3)
    own = ytvos("own")[0]
    assert [own.mask(i, 0).sum() for i in (0, 1)] == [400, 0] and own.annotated_frames(1) == (0,)


def test_valid_is_what_test_leaves_of_its_file(ytvos, files):
    assert [clip.clip_id for clip in ytvos("valid")] == ["1cd", "2ef"]
    meta(files, "test", {"2ef": video(("a fish", None))})
    assert [clip.clip_id for clip in ytvos("valid")] == ["1cd"]


def test_of_the_507_videos_of_the_release_202_are_valid(ytvos, files):
    videos = {f"{n:03d}": video(("it", None)) for n in range(507)}
    meta(files, "valid", videos)
    with pytest.raises(InvalidInput, match="holds valid and test together"):
        ytvos("valid")
    meta(files, "test", {name: videos[name] for name in list(videos)[:305]})
    assert len(ytvos("valid")) == 202
    meta(files, "test", {name: videos[name] for name in list(videos)[:300]})
    with pytest.raises(InvalidInput, match="leaves 207, not 202"):
        ytvos("valid")


def test_what_is_wrong_is_said_with_its_place(ytvos, files):
    with pytest.raises(InvalidInput, match="no split 'val'; did you mean valid. choose one of: train, valid"):
        ytvos("val")
    with pytest.raises(InvalidInput, match="count is the number of videos"):
        ytvos("train", count=0)
    with pytest.raises(MissingFile, match=r"nowhere is missing; docs/datasets\.md#refer_youtube_vos"):
        datasets.build("refer_youtube_vos", split="train", root=files.root / "nowhere")
    (files.root / "train/JPEGImages/0ab/00000.jpg").write_bytes(b"JPEG")
    with pytest.raises(InvalidInput, match=r"00000\.jpg cannot be decoded"):
        ytvos("train")[0].frame(0)
    (files.root / "train/JPEGImages/0ab/00000.jpg").unlink()
    with pytest.raises(MissingFile, match=r"00000\.jpg is missing"):
        ytvos("train")[0].frame(0)
    files.labels("train/Annotations/0ab/00005.png", np.zeros((3, 4)))
    files.photograph("train/JPEGImages/0ab/00000.jpg")
    with pytest.raises(InvalidInput, match=r"00005\.png: 4 x 3 pixels, and the frames of 0ab are 30 x 20"):
        ytvos("train")[0].mask(0, 1)
    meta(files, "train", {"0ab": video()})
    with pytest.raises(InvalidInput, match="holds no video with expressions of split 'train'"):
        ytvos("train")
    meta(files, "train", {"../0ab": video(("a dog", "1"))})
    with pytest.raises(InvalidInput, match="video '../0ab' leaves its folder"):
        ytvos("train")
    meta(files, "train", {"0ab": {"expressions": {"0": {"obj_id": "1"}}, "frames": FRAMES}})
    with pytest.raises(InvalidInput, match=r"video '0ab', expression '0' has no 'exp'"):
        ytvos("train")


@pytest.mark.parametrize("bad", ["../up", "/tmp/x", "a/b", "..", "", "con", "half \ud800", "line\nbreak", "x" * 250])
def test_names_that_cannot_be_those_of_a_file_are_refused(ytvos, files, bad):
    one = {"exp": "a dog", "obj_id": "1"}
    for videos in (
        {bad: video(("a dog", "1"))},
        {"0ab": {"expressions": {bad: one}, "frames": FRAMES}},
        {"0ab": {"expressions": {"0": one}, "frames": [bad]}},
    ):
        meta(files, "train", videos)
        with pytest.raises(InvalidInput, match="it names one file or folder"):
            ytvos("train")


@pytest.mark.parametrize("bad", ["0", 256, 1.5, True, None, "one", "1" * 5000, float("inf"), [["1"]]])
def test_numbers_that_no_image_of_labels_can_have_are_refused(ytvos, files, bad):
    meta(files, "train", {"0ab": video(("a dog", "1"))})
    path = files.root / "meta_expressions/train/meta_expressions.json"
    path.write_text(path.read_text().replace('"obj_id": "1"', f'"obj_id": {json.dumps(bad)}'))
    with pytest.raises(InvalidInput, match="video '0ab', expression '0'"):
        ytvos("train")


def test_half_a_character_in_a_sentence_becomes_a_question_mark(ytvos, files):
    meta(files, "train", {"0ab": video(("a dog \ud83d", "1"))})
    assert ytvos("train")[0].expressions[0].text == "a dog ?"


def test_frames_and_labels_may_have_other_endings(ytvos, files):
    frames, labels = files.root / "train/JPEGImages/0ab", files.root / "train/Annotations/0ab"
    (frames / "00000.jpg").rename(frames / "00000.JPG")
    (frames / "00005.jpg").rename(frames / "00005.jpeg")
    (labels / "00005.png").rename(labels / "00005.PNG")
    clip = ytvos("train")[0]
    assert [clip.frame(t).shape for t in range(3)] == [(20, 30, 3)] * 3
    assert clip.annotated_frames(0) == (0, 1, 2) and clip.mask(0, 1).any()


# Submission -----------------------------------------------------------------------------------------------------------


def test_a_submission_has_a_png_of_0_and_255_for_every_frame(ytvos, tmp_path):
    valid = ytvos("valid")
    masks = {clip.clip_id: np.random.default_rng(0).random((3, 20, 30)) > 0.5 for clip in valid}
    valid.write_submission(tmp_path / "out" / "s.zip", ((clip, 0, iter(masks[clip.clip_id])) for clip in valid))
    with zipfile.ZipFile(tmp_path / "out" / "s.zip") as file:
        assert sorted(file.namelist()) == [f"Annotations/{v}/0/{name}.png" for v in ("1cd", "2ef") for name in FRAMES]
        with file.open("Annotations/2ef/0/00010.png") as png:
            image = Image.open(png)
            assert image.mode == "L"
            np.testing.assert_array_equal(np.array(image), masks["2ef"][2] * 255)


def test_a_submission_that_is_not_complete_is_not_written(ytvos, tmp_path):
    valid, out = ytvos("valid"), tmp_path / "s.zip"
    masks = np.zeros((3, 20, 30), bool)
    answers = [(clip, 0, masks) for clip in valid]
    for given, message in (
        (answers[:1], "there is no answer for 1 expression, for example 2ef/0"),
        ([*answers, answers[0]], "1cd/0 is answered twice"),
        ([(answers[0][0], 0, masks[:2])], "has 2 masks; 1cd has 3 frames"),
        ([(answers[0][0], 0, masks[:, :5])], r"mask 0 of expression 1cd/0 is \(5, 30\)"),
    ):
        with pytest.raises(InvalidInput, match=message):
            valid.write_submission(out, given)
    with pytest.raises(InvalidInput, match=r"let its name end in \.zip"):
        valid.write_submission(tmp_path / "s.tar", answers)
    assert not list(tmp_path.glob("*.*"))


# Files that others made -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "videos", "expressions"), [("train", 9, 18), ("valid", 4, 8)])
def test_real_clips_have_frames_and_masks(realset, split, videos, expressions):
    clips = datasets.build("refer_youtube_vos", split=split, root=realset / "video")
    assert (len(clips), clips.expression_count) == (videos, expressions)
    for clip in clips:
        assert (len(clip), clip.size_hw, clip.frame(11).shape) == (12, (240, 428), (240, 428, 3))
        assert clip.annotated_frames(1) == tuple(range(12))
        assert all(0 < clip.mask(1, t).mean() < 0.6 for t in (0, 11))


def test_the_published_file_of_valid_is_read(realset, tmp_path):
    import gzip

    path = tmp_path / "meta_expressions" / "all" / "meta_expressions.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.decompress((realset / "text/refer_youtube_vos_valid_meta_expressions.json.gz").read_bytes()))
    clips = datasets.build("refer_youtube_vos", split="all", root=tmp_path)
    assert (len(clips), clips.expression_count) == (507, 2096)
    assert json.loads(path.read_text())["videos"][clips[0].clip_id]["frames"][0] == clips[0].frame_name(0)


@pytest.mark.parametrize("name", ["JPEGImages/0ab/00005.jpg", "Annotations/0ab/00005.png"])
def test_a_frame_or_labels_that_are_a_link_out_of_the_videos_folder_are_refused(ytvos, files, name):
    files.move_out(f"train/{name}")
    with pytest.raises(InvalidInput, match="is a link that leads out"):
        _ = ytvos("train")[0]


@pytest.mark.parametrize("name", ["train", "train/JPEGImages/0ab", "train/Annotations/0ab"])
def test_the_folder_of_a_split_or_a_video_may_be_a_link(ytvos, files, name):
    files.move_out(name)
    assert ytvos("train")[0].mask(0, 1).sum() == 24
