"""`refseg data check` of data sets of videos."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from refseg.datasets.tools.check_videos import examine_videos, open_splits
from refseg.errors import InvalidInput, MissingFile

FRAMES = ["00000", "00001", "00002"]


@pytest.fixture
def healthy(files) -> SimpleNamespace:
    """A video with two objects in each of the splits train and valid; change the files or `videos`, then `check`."""
    files.videos = {}
    for seed, split in enumerate(("train", "valid")):
        said = {"0": {"exp": "the dog", "obj_id": "1"}, "1": {"exp": "both", "obj_id": ["1", "2"]}}
        files.videos[split] = {"ab": {"expressions": said, "frames": list(FRAMES)}}
        labels = np.zeros((20, 30), np.uint8)
        labels[2:6, 3:9], labels[10:14, 3:9] = 1, 2
        for name in FRAMES:
            path = files.root / split / "JPEGImages" / "ab" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)).save(path)
            files.labels(f"{split}/Annotations/ab/{name}.png", labels)
    files.frames, files.annotations = files.root / "train/JPEGImages/ab", files.root / "train/Annotations/ab"
    files.said = files.videos["train"]["ab"]["expressions"]

    def check(**options):
        for split, videos in files.videos.items():
            files.json(f"meta_expressions/{split}/meta_expressions.json", {"videos": videos})
        return {one.check: one for one in examine_videos(open_splits("refer_youtube_vos", files.root), **options)}

    files.check = check
    return files


def problems(found) -> set[str]:
    return {check for check, finding in found.items() if finding.verdict == "problem"}


@pytest.mark.parametrize("fast", [False, True])
def test_healthy_videos_have_no_problem(healthy, fast):
    found = healthy.check(fast=fast)
    assert {finding.verdict for finding in found.values()} == ({"ok", "skipped"} if fast else {"ok"})


def test_videos_whose_expressions_all_refer_to_nothing_are_a_problem(healthy):
    for one in healthy.said.values():
        one["obj_id"] = []
    found = healthy.check(fast=True)
    assert problems(found) == {"no-target"}
    assert found["no-target"].examples == ("split train: 2 of 2 (100%)",)


def test_sizes_of_splits_are_told(healthy):
    healthy.check()
    opened = open_splits("refer_youtube_vos", healthy.root)
    assert opened.sizes == dict.fromkeys(("train", "valid"), {"videos": 1, "expressions": 2})


def test_missing_frames_are_counted_by_video(healthy):
    (healthy.frames / "00001.jpg").unlink()
    (healthy.frames / "00002.jpg").unlink()
    found = healthy.check()
    assert problems(found) == {"frames missing"}
    assert found["frames missing"].examples == (f"{healthy.frames / '00001.jpg'} and 1 more of this video",)


def test_a_frame_that_cannot_be_decoded_is_named(healthy):
    path = healthy.frames / "00001.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    found = healthy.check()
    assert problems(found) == {"frames unreadable"} and str(path) in found["frames unreadable"].examples[0]


@pytest.mark.parametrize("fast", [False, True])
def test_a_size_that_changes_within_a_video_is_named(healthy, fast):
    path = healthy.frames / "00001.jpg"
    Image.new("RGB", (40, 20)).save(path)
    found = healthy.check(fast=fast)
    assert problems(found) == {"frame sizes"}
    assert found["frame sizes"].examples[0].startswith(f"{path} is 40 x 20 pixels")


def test_videos_without_labels_are_named(healthy):
    for path in healthy.annotations.iterdir():
        path.unlink()
    found = healthy.check()
    assert problems(found) == {"masks missing"} and found["masks missing"].examples == ("video ab has none",)


def test_frames_without_labels_and_labels_without_frames_are_notes(healthy):
    (healthy.annotations / "00002.png").rename(healthy.annotations / "00007.png")
    found = healthy.check()
    assert not problems(found)
    assert found["frames without labels"].examples == ("video ab: 1 frame, the first 00002",)
    assert "00007.png" in found["labels without frames"].examples[0]


def test_labels_of_another_size_are_named(healthy):
    healthy.labels("train/Annotations/ab/00001.png", np.ones((10, 30)))
    found = healthy.check()
    assert problems(found) == {"masks unreadable"}
    assert "00001.png: 30 x 10 pixels, and the frames of ab are 30 x 20" in found["masks unreadable"].examples[0]


def test_objects_that_no_frame_shows_are_named_once(healthy):
    for name in FRAMES:
        labels = np.zeros((20, 30), np.uint8)
        labels[2:6, 3:9] = 255
        healthy.labels(f"train/Annotations/ab/{name}.png", labels)
    found = healthy.check()
    assert problems(found) == {"objects in no frame"}
    assert found["objects in no frame"].examples == (
        "expression ab/0 names object 1: 'the dog'",
        "expression ab/1 names object 1, 2: 'both'",
    )


def test_an_expression_about_nothing_needs_no_object(healthy):
    healthy.said["1"] = {"exp": "the cat", "obj_id": []}
    assert not problems(healthy.check())


def test_truth_that_is_not_given_out_is_a_note(healthy):
    for expression in healthy.videos["valid"]["ab"]["expressions"].values():
        del expression["obj_id"]
    for path in (healthy.root / "valid/Annotations/ab").iterdir():
        path.unlink()
    found = healthy.check()
    assert not problems(found) and (found["truth"].verdict, found["truth"].count) == ("note", 2)


def test_sentences_of_videos_are_checked(healthy):
    healthy.said |= {
        "2": {"exp": "?!", "obj_id": "1"},
        "3": {"exp": "The dog.", "obj_id": "1"},
        "4": {"exp": "the dog", "obj_id": "2"},
    }
    found = healthy.check()
    assert problems(found) == {"empty expressions"}
    assert found["empty expressions"].examples == ("expression ab/2 of train about video ab of train",)
    assert (found["repeated"].count, found["ambiguous"].count) == (1, 1)


def test_names_that_a_file_has_twice_are_named(healthy):
    healthy.check()
    path = healthy.root / "meta_expressions/train/meta_expressions.json"
    path.write_text(path.read_text().replace('"1": {"exp"', '"0": {"exp"'))
    found = {one.check: one for one in examine_videos(open_splits("refer_youtube_vos", healthy.root))}
    assert problems(found) == {"repeated ids"} and found["repeated ids"].examples == (f"'0' in {path}",)


def test_videos_that_begin_alike_in_two_splits_leak(healthy):
    first = (healthy.frames / "00000.jpg").read_bytes()
    (healthy.root / "valid/JPEGImages/ab/00000.jpg").write_bytes(first)
    found = healthy.check()
    assert problems(found) == {"leaks"} and found["leaks"].examples == ("ab of train = ab of valid",)


def test_a_split_that_cannot_be_read_is_a_problem_beside_those_that_can(healthy):
    healthy.videos["valid"]["ab"]["expressions"]["0"]["obj_id"] = "one"
    found = healthy.check()
    assert problems(found) == {"splits"} and found["splits"].examples[0].startswith("split valid: ")
    healthy.videos["train"]["../ab"] = healthy.videos["train"].pop("ab")
    with pytest.raises(InvalidInput, match="leaves its folder"):
        healthy.check()


def test_a_folder_without_annotations_is_told(files):
    with pytest.raises(MissingFile, match=r"meta_expressions\.json is missing"):
        open_splits("refer_youtube_vos", files.root)


@pytest.mark.parametrize("name", ["ref_davis", "mevis", "a2d_sentences"])
def test_other_data_sets_of_videos_are_checked(name, videos, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    videos.annotate()
    found = {one.check: one for one in examine_videos(open_splits(name, videos.root / name))}
    assert not problems(found)


def test_actors_of_a2d_without_masks_are_named(videos, files):
    import shutil

    videos.annotate()
    shutil.copytree(videos.root / "a2d_sentences", files.root / "a2d")
    table = files.root / "a2d/text_annotations/a2d_annotation.txt"
    table.write_text(table.read_text() + "a,9,blue\n")
    found = {one.check: one for one in examine_videos(open_splits("a2d_sentences", files.root / "a2d"))}
    assert problems(found) == {"objects in no frame"}


def test_the_published_kind_of_videos_is_healthy(realset):
    assert not problems({one.check: one for one in examine_videos(open_splits("refer_youtube_vos", realset / "video"))})
