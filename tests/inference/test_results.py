import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click import unstyle
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from refseg.commands.segment import describe
from refseg.errors import InvalidInput
from refseg.inference.results import FrameResult, Result


def result(instance_map: np.ndarray, **changes: object) -> Result:
    mask = instance_map > 0
    image = np.full((*mask.shape, 3), 100, np.uint8)
    logits = torch.from_numpy(np.where(mask, 3.0, -3.0).astype(np.float32))
    return Result("the stars", image, mask, 0.9, logits, instance_map=instance_map, **changes)


def frame(result: Result) -> FrameResult:
    return FrameResult("the stars", result.image, result.mask, 0.9, result.logits, result.instance_map, index=3)


@pytest.fixture
def two() -> Result:
    instance_map = np.zeros((20, 30), np.uint8)
    instance_map[2:8, 3:9] = 1
    instance_map[10:20, 9:30] = 2
    return result(instance_map)


@pytest.fixture
def none() -> Result:
    return result(np.zeros((20, 30), np.uint8))


def test_boxes_hold_the_instances_with_right_and_bottom_just_outside(two):
    assert two.boxes == [(3, 2, 9, 8), (9, 10, 30, 20)] and two.box == (3, 2, 30, 20)
    assert two.area == 36 + 210 and two.share == 246 / 600 and two.found


def test_instances_part_the_mask(two):
    assert (sum(instance.astype(int) for instance in two.instances) == two.mask).all()


def test_without_a_match_everything_is_empty(none):
    assert not none.found and none.box is None and none.boxes == none.instances == none.polygons() == []
    assert none.area == 0 and coco.area(none.rle()) == 0
    np.testing.assert_array_equal(np.asarray(none.overlay()), none.image)


def test_a_network_without_objects_has_the_box_of_the_mask_and_no_instances(two):
    alone = Result("it", two.image, two.mask, 0.9, two.logits)
    assert alone.instances == [] and alone.boxes == [alone.box]
    assert (np.asarray(alone.overlay()) != alone.image).any(-1).sum() == alone.area


def test_probability_is_above_a_half_in_the_mask(two):
    assert two.probability.dtype == np.float32
    np.testing.assert_array_equal(two.probability > 0.5, two.mask)


def test_the_overlay_colours_the_mask_alone_and_each_instance_differently(two):
    pixels = np.asarray(two.overlay())
    np.testing.assert_array_equal((pixels != two.image).any(-1), two.mask)
    assert (pixels[5, 6] != pixels[15, 15]).any()
    assert (pixels[2, 3] != pixels[5, 6]).any()  # the contour


def test_the_run_length_code_is_that_of_coco(two):
    np.testing.assert_array_equal(coco.decode(two.rle()).astype(bool), two.mask)


def test_the_dictionary_survives_json(two, none):
    for some in (two, none):
        assert json.loads(json.dumps(some.to_dict())) == some.to_dict()
    content = two.to_dict()
    assert [instance["area"] for instance in content["instances"]] == [36, 210]
    assert content["box"] == [3, 2, 30, 20] and content["size"] == [20, 30]


def test_the_representation_says_what_was_found_and_tells_the_warnings(two, none):
    assert repr(two) == "Result('the stars': 2 objects, exists 90.0%, 246 px (41.0%))"
    assert repr(replace(two, warnings=("a", "b"))).endswith("(41.0%); warning: a; warning: b)")
    long = "the image is unlike what these weights know (drawn scenes), so the answer may mean nothing; take others"
    assert repr(replace(two, warnings=(long,))).endswith("; warning: the image is unlike what these weights know)")
    assert repr(frame(two)).startswith("FrameResult('the stars', frame 3: 2 objects")


@pytest.mark.parametrize(
    "exists, threshold, decided, verdict",
    [
        (0.772, 0.9, "existence threshold", "nothing matches: exists 77.2% is below the threshold 90.0%"),
        (0.772, 0.5, "empty mask", "nothing matches: no object was chosen, although exists 77.2%"),
        (0.001, 0.5, "existence threshold", "nothing matches: exists 0.1% is below the threshold 50.0%"),
    ],
)
def test_where_nothing_is_found_one_decision_is_told_with_its_reason(none, exists, threshold, decided, verdict):
    empty = replace(none, exists=exists, exists_threshold=threshold)
    assert empty.decided_by == empty.to_dict()["decided_by"] == decided
    assert empty.verdict == verdict and verdict in repr(empty) and verdict in empty._repr_html_()
    assert unstyle(describe(empty)).splitlines()[1].strip() == verdict


def test_a_mask_decides_where_there_is_one(two):
    assert two.decided_by == two.to_dict()["decided_by"] == "mask"
    assert two.verdict == "2 objects, exists 90.0%"
    doubted = replace(two, exists_threshold=0.95)
    assert doubted.decided_by == "mask" and "although exists 90.0% is below the threshold 95.0%" in doubted.verdict


def test_objects_come_from_left_to_right_in_everything_that_lists_them():
    instance_map = np.zeros((20, 30), np.uint8)
    instance_map[0:4, 20:30], instance_map[5:9, 0:10], instance_map[10:14, 8:12] = 1, 4, 2  # and no 3
    some = result(instance_map)
    assert len(some) == 3 and [one.box for one in some] == some.boxes
    assert some.boxes == [(0, 5, 10, 9), (8, 10, 12, 14), (20, 0, 30, 4)]
    for k, (one, mask) in enumerate(zip(some, some.instances, strict=True)):
        np.testing.assert_array_equal(one.mask, mask)
        np.testing.assert_array_equal(one.mask, some.instance_map == k + 1)
        np.testing.assert_array_equal(some[k].mask, mask)
    assert [one["box"] for one in some.to_dict()["instances"]] == [list(box) for box in some.boxes]
    assert [one.area for one in some[1:]] == [16, 40] and some[-1].box == some.boxes[2]
    with pytest.raises(IndexError, match="3 objects"):
        some[3]


def test_a_result_without_objects_is_false_and_one_of_a_network_without_objects_has_one(two, none):
    assert two and not none and len(none) == 0 and list(none) == []
    (one,) = Result("it", two.image, two.mask, 0.9, two.logits)
    assert one.box == two.box and one.area == two.area


def test_the_picture_is_enlarged_by_a_whole_factor_and_has_text_below(two):
    picture = two.picture()
    assert picture.width == 30 * 21 and picture.height > 20 * 21 + 3 * 14  # the expression, the verdict, a legend
    assert two.overlay(side=640).size == (30 * 21, 20 * 21) and two.overlay().size == (30, 20)
    longer = replace(two, warnings=("the image is unlike what these weights know",)).picture()
    assert longer.height > picture.height


def test_each_of_several_objects_is_in_the_legend_in_its_colour(two):
    text = np.asarray(two.picture())[20 * 21 :].reshape(-1, 3)
    for colour in two.colours():
        assert (text == colour).all(-1).sum() > 50
    alone = np.asarray(Result("it", two.image, two.mask, 0.9, two.logits).picture())[20 * 21 :].reshape(-1, 3)
    assert (np.ptp(alone.astype(int), axis=1) < 8).all()  # grey letters


def test_a_picture_of_an_unfamiliar_image_has_no_colours_but_a_band_that_says_so(two):
    unfamiliar = replace(two, familiar=False, image=two.image * np.array([1, 2, 0], np.uint8))
    for picture in (unfamiliar.overlay(), unfamiliar.picture()):
        first = np.asarray(picture)[0].astype(int)
        assert (first[:, 0] > first[:, 1] + 100).all()  # red from side to side
    assert np.ptp(np.asarray(unfamiliar.picture()).astype(int)[100:420], axis=-1).max() < 8
    assert "no answer" in unfamiliar._repr_html_() and "2 objects" not in unfamiliar._repr_html_()
    assert unfamiliar.to_dict()["familiar"] is False


@pytest.mark.parametrize("expression", ["星 " * 300, "x" * 3000, "a\nb\x00\x1b[31m", "", " "])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_pictures_of_any_size_and_sentence_are_drawn(expression, size):
    one = replace(result(np.ones(size, np.uint8)), expression=expression, familiar=size == (1, 1))
    assert one.picture().height > size[0] and one._repr_png_() and one._repr_html_()


def test_a_notebook_shows_markup_of_the_expression_and_of_warnings_as_text(two):
    evil = replace(two, expression="<script>x</script>\" onerror='y'", warnings=("<b>w</b>",))
    html = evil._repr_html_()
    assert "<script" not in html and "<b>w" not in html and "onerror='y'" not in html
    assert "&lt;script&gt;" in html and "&lt;b&gt;w" in html and "box (3, 2, 9, 8)" in html
    assert Image.open(io.BytesIO(evil._repr_png_())).format == "PNG"


def test_what_a_notebook_keeps_is_bounded(two):
    big = np.random.default_rng(0).integers(0, 255, (2500, 3000, 3), np.uint8)
    large = Result("x" * 10**6, big, np.ones((2500, 3000), bool), 0.9, two.logits)
    assert max(Image.open(io.BytesIO(large._repr_png_())).size) <= 1024
    assert len(large._repr_html_()) < 2 * 10**6


def test_files_are_written_by_their_endings(two, tmp_path):
    for name in ("a.png", "a.jpg", "new/a.JPEG", "a.json", "a.npy"):
        two.save(tmp_path / name)
    assert Image.open(tmp_path / "a.png").size == two.picture().size
    assert Image.open(tmp_path / "a.jpg").format == Image.open(tmp_path / "new" / "a.JPEG").format == "JPEG"
    assert json.loads((tmp_path / "a.json").read_text()) == two.to_dict()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), two.mask)
    with pytest.raises(InvalidInput, match=r"a.gif ends in none of .png, .jpg"):
        two.save(tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


def test_without_a_viewer_there_is_one_line_that_says_what_to_do(two, monkeypatch):
    monkeypatch.setattr("PIL.ImageShow._viewers", [])
    with pytest.raises(InvalidInput, match=r"result.save\("):
        two.show()


def test_in_a_notebook_show_displays_the_result_itself(two, monkeypatch):
    shown = []
    shell = SimpleNamespace(kernel=None)
    stand_in = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "IPython", stand_in)
    two.show()
    assert len(shown) == 1 and shown[0] is two


def test_entries_of_a_coco_results_file_are_what_pycocotools_loads(two):
    entries = json.loads(json.dumps(two.to_coco(image_id=7)))
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 7, "height": 20, "width": 30}],
        "annotations": [],
        "categories": [{"id": 1}],
        "info": {},
    }
    truth.createIndex()
    loaded = truth.loadRes(entries)
    for annotation, mask in zip(loaded.anns.values(), two.instances, strict=True):
        np.testing.assert_array_equal(loaded.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
    assert [list(annotation["bbox"]) for annotation in loaded.anns.values()] == [[3, 2, 6, 6], [9, 10, 21, 10]]


def test_supervision_gets_boxes_masks_and_confidence(two, none, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    found = two.to_supervision()
    np.testing.assert_array_equal(found.xyxy, np.array(two.boxes, np.float32))
    np.testing.assert_array_equal(found.mask, np.stack(two.instances))
    assert found.confidence == pytest.approx([0.9, 0.9]) and found.data["expression"].tolist() == ["the stars"] * 2
    empty = none.to_supervision()
    assert empty.xyxy.shape == (0, 4) and empty.mask.shape == (0, 20, 30) and len(empty.class_id) == 0


def test_without_supervision_there_is_one_line_that_says_how_to_install_it(two, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InvalidInput, match="pip install supervision"):
        two.to_supervision()
