import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from refseg.errors import InvalidInput, MissingFile
from refseg.finders import FINDERS, load_finder
from refseg.finders.coco80 import COCO_CLASSES, Coco80
from refseg.finders.finder import Detection
from refseg.finders.published import PUBLISHED_FINDERS
from refseg.finders.yolov4_tiny import YoloV4Tiny

ENTRY = PUBLISHED_FINDERS["coco80"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Told(nn.Module):
    """A network that finds what it is told: boxes in parts of the sides, with (class, score)."""

    def __init__(self, *found: tuple[list[float], dict[int, float]]):
        super().__init__()
        self.boxes = torch.tensor([box for box, _ in found]).view(1, -1, 4)
        self.scores = torch.zeros(1, len(found), 80)
        for k, (_, scores) in enumerate(found):
            for label, score in scores.items():
                self.scores[0, k, label] = score

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        assert image.shape == (1, 3, 416, 416) and 0 <= image.min() and image.max() <= 1
        return self.boxes, self.scores


IMAGE = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)


def find(*found: tuple[list[float], dict[int, float]], **settings: object) -> list[Detection]:
    return Coco80(Told(*found), **settings).find(IMAGE)


def test_boxes_are_in_pixels_and_within_the_image_the_best_first():
    first, second = find(([0.5, 0.5, 1.5, 0.75], {15: 0.5}), ([0.25, 0.0, 0.5, 0.5], {16: 0.9}))
    assert (first.class_name, first.box_xyxy) == ("dog", (20, 0, 40, 20))
    assert (second.class_name, second.box_xyxy) == ("cat", (40, 20, 80, 30))
    assert first.score == pytest.approx(0.9) and first.finder == "coco80"


def test_overlaps_of_a_class_are_one_object_of_two_classes_two():
    near, nearer = [0.1, 0.1, 0.9, 0.9], [0.1, 0.1, 0.9, 0.85]
    assert [one.class_name for one in find((near, {2: 0.9}), (nearer, {2: 0.8, 7: 0.5}))] == ["car", "truck"]


def test_what_scores_less_than_the_threshold_is_left_out():
    found = ([0.1, 0.1, 0.5, 0.5], {0: 0.3}), ([0.6, 0.6, 0.9, 0.9], {0: 0.2})
    assert len(find(*found)) == 1
    assert len(find(*found, threshold=0.1)) == 2
    assert len(Coco80(Told(*found)).find(IMAGE, threshold=0.31)) == 0


def test_what_lies_outside_of_the_image_is_left_out():
    assert (
        find(([-1, 0.1, -0.2, 0.9], {0: 0.9}), ([0.5, 0.5, 0.5, 0.9], {0: 0.9}), ([1e30, 0, 1e38, 1], {0: 0.9})) == []
    )


def test_a_mask_is_drawn_once_and_only_if_it_is_asked_for():
    calls = []

    def masker(image, box):
        calls.append(box)
        return np.ones(image.shape[:2], bool)

    (one,) = find(([0.0, 0.0, 1.0, 1.0], {0: 0.9}), masker=masker)
    assert calls == []
    assert one.mask is one.mask and one.mask.shape == (40, 80)
    assert calls == [(0, 0, 80, 40)]


@pytest.mark.parametrize("masker", ["grabcut", "ellipse", "box"])
def test_maskers_are_chosen_by_name(masker):
    (one,) = find(([0.25, 0.25, 0.75, 0.75], {0: 0.9}), masker=masker)
    assert one.mask.any() and not one.mask[0].any()


def test_random_weights_find_within_the_image():
    torch.manual_seed(0)
    finder = Coco80(YoloV4Tiny(80, width=4), threshold=0.0)
    found = finder.find(np.asfortranarray(IMAGE))  # also an image that is not contiguous
    assert 0 < len(found) <= 100
    boxes = np.array([one.box_xyxy for one in found])
    assert (boxes >= 0).all() and (boxes <= [80, 40, 80, 40]).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert {one.class_name for one in found} <= set(finder.classes)


def test_the_classes_are_cocos():
    assert len(set(COCO_CLASSES)) == 80
    assert [COCO_CLASSES[place] for place in (0, 57, 62, 79)] == ["person", "couch", "tv", "toothbrush"]


def test_missing_weights_name_the_command_that_gets_them():
    with pytest.raises(MissingFile, match=r"not on this machine; get it \(24 MB\): refseg weights get coco80$"):
        load_finder("coco80")


@pytest.mark.parametrize(("content", "message"), [(b"x", "has 1 byte"), (bytes(ENTRY.size), "sha256 begins")])
def test_damaged_weights_in_the_store_are_refused(content, message):
    ENTRY.path.parent.mkdir(parents=True)
    ENTRY.path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{message}.*refseg weights get coco80$"):
        load_finder("coco80")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masker": "sam"}, "unknown masker 'sam'; did you mean sam2. choose one of"),
        ({"threshold": 2}, "threshold 2 is not a score"),
        ({"threshold": float("nan")}, "threshold nan is not a score"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_wrong_settings_are_told_before_weights_are_looked_for(settings, message):
    with pytest.raises(InvalidInput, match=message):
        load_finder("coco80", **settings)


def test_an_unknown_finder_is_refused_with_the_choices():
    with pytest.raises(InvalidInput, match="unknown finder 'yolo'; choose one of: coco80"):
        load_finder("yolo")


def test_look_ups_do_not_import_torch():
    code = "import sys, refseg.finders, refseg.finders.published, refseg.finders.finder; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_every_published_file_belongs_to_a_finder():
    assert set(PUBLISHED_FINDERS) <= set(FINDERS)
    assert all(name == entry.name and json.dumps(entry.model_dump()) for name, entry in PUBLISHED_FINDERS.items())
    assert all(len(entry.sha256) == len(hashlib.sha256().hexdigest()) for entry in PUBLISHED_FINDERS.values())


def test_the_authors_weights_find_nothing_where_nothing_is(monkeypatch):
    monkeypatch.delenv("REFSEG_CACHE")
    if not ENTRY.is_installed():
        pytest.skip("needs the weights: refseg weights get coco80")
    finder = load_finder("coco80")
    assert finder.find(np.full((300, 400, 3), 128, np.uint8)) == []
