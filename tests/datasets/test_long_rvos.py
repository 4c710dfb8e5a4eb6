import shutil

import numpy as np
import pytest
from PIL import Image

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.evaluate import score_masks

FRAMES = ["00000", "00001", "00002", "00003"]


def square(left: int) -> np.ndarray:
    mask = np.zeros((20, 30), np.uint8)
    mask[3:7, left : left + 4] = 255
    return mask


@pytest.fixture
def long_rvos(files):
    """A bird, number 0, that is seen in frames 1 and 2, and a rock in all."""
    bird = {"exp": "the bird that flies off", "obj_id": 0, "type": "dynamic"}
    rock = {"exp": "the grey rock", "obj_id": "1", "type": "static"}
    videos = {"ab": {"expressions": {"0": bird, "1": rock}, "frames": FRAMES}}
    for split in ("train", "valid", "test"):
        files.json(f"{split}/meta_expressions.json", {"videos": videos})
        for name in FRAMES:
            files.photograph(f"{split}/JPEGImages/ab/{name}.jpg")
    for number, names in (("0", FRAMES[1:3]), ("1", FRAMES)):
        for name in names:
            path = files.root / f"valid/Annotations/ab/{number}/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(square(4 + 10 * int(number))).save(path)
    return lambda split="valid": datasets.build("long_rvos", split=split, root=files.root)


def test_an_object_without_a_file_is_not_in_sight(long_rvos):
    (clip,) = long_rvos()
    assert [(e.id, e.type, e.targets) for e in clip.expressions] == [
        ("ab/0", "dynamic", (0,)),
        ("ab/1", "static", (1,)),
    ]
    assert clip.annotated_frames(0) == (0, 1, 2, 3)
    assert [int(clip.mask(0, t).sum()) for t in range(4)] == [0, 16, 16, 0]
    assert (clip.mask(1, 0) == (square(14) > 0)).all() and clip.frame(0).shape == (20, 30, 3)


def test_the_truth_of_test_need_not_be_there(long_rvos, files):
    (clip,) = long_rvos("test")
    assert clip.annotated_frames(0) == ()
    with pytest.raises(MissingFile, match=r"train/Annotations is missing; docs/datasets\.md#long_rvos"):
        long_rvos("train")
    (files.root / "train/Annotations").mkdir()
    with pytest.raises(MissingFile, match=r"train/Annotations/ab is missing"):
        long_rvos("train")[0]


def test_what_is_wrong_is_said_with_its_place(long_rvos, files):
    with pytest.raises(InvalidInput, match="long_rvos has no split 'val'; did you mean valid. choose one of: train"):
        long_rvos("val")
    path = files.root / "valid/Annotations/ab/1/00000.png"
    Image.fromarray(np.ones((20, 31), np.uint8)).save(path)
    with pytest.raises(InvalidInput, match=r"00000\.png: 31 x 20 pixels, and the frames of ab are 30 x 20"):
        long_rvos()[0].mask(1, 0)
    path.write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"1/00000\.png"):
        long_rvos()[0].mask(1, 0)
    for number in ("..", -1, None):
        bad = {"exp": "it", "obj_id": number}
        files.json("valid/meta_expressions.json", {"videos": {"ab": {"expressions": {"0": bad}, "frames": FRAMES}}})
        with pytest.raises(InvalidInput, match="expression '0': the number of an object is a whole number"):
            long_rvos()


def test_figures_are_those_of_the_authors_rules(long_rvos, files):
    """The bird is found in frames 2 (half of it) and 3, the rock in all frames."""
    place = files.root / "answers"
    shutil.copytree(files.root / "valid/Annotations/ab/1", place / "ab/1")
    half = square(4)
    half[:, 6:] = 0
    for t, name in enumerate(FRAMES):
        path = place / f"ab/0/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(half if t in (2, 3) else np.zeros_like(half)).save(path)
    report = score_masks(place, "long_rvos", split="valid", root=files.root)
    found = report.metrics["long_rvos"]
    bird = {"J": (1 + 0 + 0.5 + 0) / 4, "tIoU": 1 / 3, "vIoU": 0.5 / 3}  # of frames 1, 2, 3 both show it in 2
    assert {name: found[name] for name in bird} == pytest.approx({name: (v + 1) / 2 for name, v in bird.items()})
    assert found["J&F"] == pytest.approx((found["J"] + found["F"]) / 2)
    by_type = report.by["long_rvos"]["type"]
    assert by_type["dynamic"]["tIoU"] == pytest.approx(1 / 3) and by_type["static"]["vIoU"] == 1
