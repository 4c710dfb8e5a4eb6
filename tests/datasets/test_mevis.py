import pickle
import zipfile

import numpy as np
import pytest
from pycocotools import mask as coco

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile

FRAMES = ["00000", "00001"]


def rle(left: int) -> dict:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:6, left : left + 4] = 1
    encoded = coco.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


@pytest.fixture
def mevis(files):
    """One video with two birds; the first has left in frame 1. And a video of a single frame."""
    both = {"exp": "the birds", "obj_id": [0, 1], "anno_id": [70, 71]}
    one = {"exp": "the bird flying away", "obj_id": [1], "anno_id": [71]}
    single = {"expressions": {"0": one}, "frames": ["00000"]}
    videos = {"ab": {"expressions": {"0": both, "1": one}, "frames": FRAMES}, "cd": single}
    for split in ("train", "valid_u"):
        files.json(f"{split}/meta_expressions.json", {"videos": videos})
        files.json(f"{split}/mask_dict.json", {"70": [rle(3), None], "71": [rle(5), rle(20)], "72": [rle(0)]})
    untold = {"expressions": {"0": {"exp": "the birds"}}, "frames": FRAMES}
    files.json("valid/meta_expressions.json", {"videos": {"ef": untold}})
    for split, video in (("train", "ab"), ("valid_u", "ab"), ("valid", "ef")):
        for name in FRAMES:
            files.photograph(f"{split}/JPEGImages/{video}/{name}.jpg")
    return lambda split, **settings: datasets.build("mevis", split=split, root=files.root, **settings)


def test_a_mask_is_the_union_of_the_referents_that_are_there(mevis):
    (clip,) = mevis("train")
    assert [(e.targets, e.id) for e in clip.expressions] == [((0, 1), "ab/0"), ((1,), "ab/1")]
    assert clip.annotated_frames(0) == (0, 1)
    assert np.flatnonzero(clip.mask(0, 0).any(0)).tolist() == [3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(clip.mask(0, 1).any(0)).tolist() == [20, 21, 22, 23]
    assert (clip.mask(1, 1) == clip.mask(0, 1)).all()


def test_videos_of_a_single_frame_are_not_trained_on(mevis):
    assert [clip.clip_id for clip in mevis("train")] == ["ab"]
    assert [clip.clip_id for clip in mevis("valid_u")] == ["ab", "cd"]


def test_masks_are_read_through_an_index_that_workers_open_again(mevis, files):
    clips = mevis("valid_u")
    expected = clips[0].mask(0, 0)
    assert (files.root / "valid_u/.refseg/mevis-masks.safetensors").is_file()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clips))[0].mask(0, 0), expected)


def test_valid_has_no_masks_and_is_submitted_without_a_folder(mevis, tmp_path):
    valid = mevis("valid")
    assert valid[0].annotated_frames(0) == ()
    with pytest.raises(InvalidInput, match="not given out"):
        valid[0].mask(0, 0)
    valid.write_submission(tmp_path / "s.zip", [(valid[0], 0, np.ones((2, 20, 30), bool))])
    assert zipfile.ZipFile(tmp_path / "s.zip").namelist() == ["ef/0/00000.png", "ef/0/00001.png"]


def test_frames_may_have_other_endings(mevis, files):
    frames = files.root / "train/JPEGImages/ab"
    (frames / "00001.jpg").rename(frames / "00001.JPEG")
    assert mevis("train")[0].frame(1).shape == (20, 30, 3)


def test_what_is_wrong_is_said_with_its_place(mevis, files):
    with pytest.raises(InvalidInput, match="mevis has no split 'val'; did you mean valid. choose one of: train"):
        mevis("val")
    files.json("train/mask_dict.json", {"71": [rle(5) | {"size": [20, 31]}, None]})
    with pytest.raises(InvalidInput, match="run lengths do not add up"):
        mevis("train")[0]
    files.json("train/mask_dict.json", {"71": [rle(5)]})
    clip = mevis("train")[0]
    with pytest.raises(InvalidInput, match=r"mask 70 of ab, frame 0: .*mask_dict\.json has no such mask"):
        clip.mask(0, 0)
    with pytest.raises(InvalidInput, match=r"mask 71 of ab, frame 1: .* has 1 frame of it"):
        clip.mask(1, 1)
    (files.root / "train/mask_dict.json").unlink()
    with pytest.raises(MissingFile, match=r"mask_dict\.json is missing; docs/datasets\.md#mevis"):
        mevis("train")[0]


@pytest.mark.parametrize("content", [[], "text", 5, None])
def test_a_file_of_masks_that_is_no_object_is_refused(mevis, files, content):
    files.json("train/mask_dict.json", content)
    with pytest.raises(InvalidInput, match=r"mask_dict\.json holds a \w+, not"):
        mevis("train")
