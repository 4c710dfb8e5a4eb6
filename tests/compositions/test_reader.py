"""The reader as a network: images and expressions to masks, with a finder that finds the same things in every image."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import refseg
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.config_file import check_weights
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.compositions.found import FoundImage
from refseg.errors import InvalidInput, MissingFile, RefsegError
from refseg.evaluation.evaluate import evaluate
from refseg.finders.finder import Detection
from refseg.inference.predict import predict_samples

SECOND_DOG, CAT = (40, 50, 60, 70), (40, 10, 60, 30)


@pytest.fixture
def segmenter(fixed):
    return refseg.load("reader", finder="fixed")


def test_one_several_none_and_unknown_things_are_told_apart(segmenter, photograph):
    one, many, none, unknown = segmenter(
        photograph, ["the second dog from the left", "dogs", "the horse", "the window"]
    )
    assert one.boxes == [SECOND_DOG] and one.mask.sum() == 400 and one.decided_by == "mask"
    assert [box[0] for box in many.boxes] == [10, 40, 70] and len(many.instances) == 3
    assert not none.found and none.decided_by == "existence threshold" and none.verdict.startswith("nothing matches")
    assert not unknown.found and unknown.decided_by == "unknown thing"
    assert unknown.verdict == "'window' is not a thing that this finder knows, so nothing was looked for"
    assert unknown.warnings == () and unknown.exists < 1e-6


def test_a_box_that_was_found_as_several_classes_is_one_object(segmenter, photograph):
    cat, bear = segmenter(photograph, ["the cat", "the bear"])
    assert cat.boxes == [CAT] and len(cat.reading.found.objects) == 4
    assert cat.exists > 0.9 > bear.exists  # it is a bear in a third of the cases


def test_a_union_with_an_unknown_thing_finds_the_other_and_says_so(segmenter, photograph):
    result = segmenter(photograph, "the cat and the window")
    assert result.boxes == [CAT] and result.warnings == ("'window' is not a thing that this finder knows",)


@pytest.mark.parametrize("expression", ["the", "of", "and", "42"])
def test_an_expression_that_names_no_thing_finds_none_and_says_so(segmenter, photograph, expression):
    result = segmenter(photograph, expression)
    assert not result.found and result.decided_by == "unknown thing" and result.exists < 1e-6
    assert result.verdict == "the expression names no thing, so nothing was looked for"
    assert result.to_dict()["reading"]["reason"] == "the expression names no thing"


def test_boxes_of_two_classes_that_are_nearly_the_same_are_one_object(fixed, photograph, monkeypatch):
    boxes = [((10, 10, 50, 50), "cat", 0.9), ((11, 10, 50, 50), "dog", 0.6), ((10, 10, 50, 49), "cat", 0.5)]
    found = [Detection(*one, "fixed", lambda: np.zeros((100, 100), np.bool_)) for one in boxes]
    monkeypatch.setattr(fixed, "find", lambda self, image: found)
    objects = FoundImage(fixed(), photograph).objects.objects
    assert [dict(thing.classes) for thing in objects] == [{"cat": 1.0, "dog": 0.6 / 0.9}, {"cat": 1.0}]


def test_a_result_says_how_the_expression_was_read(segmenter, photograph):
    result = segmenter(photograph, "the left dog that is frobnicating")
    assert str(result.reading).startswith("dog, ") and "place: left" in str(result.reading)
    assert any("frobnicating" in warning for warning in result.warnings)
    written = json.loads(json.dumps(result.to_dict()))["reading"]
    assert written["program"] == str(result.reading) and written["outcome"] == "found" and written["finder"] == "fixed"
    assert [thing["chosen"] for thing in written["objects"]] == [True, False, False]
    assert [thing["box"][0] for thing in written["objects"]][0] == 10
    assert "reading" not in refseg.load()(photograph, "the star").to_dict()


def test_what_is_found_in_an_image_is_kept_for_all_of_its_expressions(segmenter, photograph, fixed):
    expressions = ["the left dog", "the dog on the left", "dogs", "the second dog from the left"] * 5
    results = segmenter(photograph, expressions)
    assert len(fixed.found) == 1 and len(results) == 20
    assert len(fixed.drawn) == 3  # each dog once; the cat, which nobody asked for, never


def test_images_of_several_sizes_together_have_the_answers_of_each_alone(segmenter, photograph):
    images = [photograph, photograph[:80, :60], photograph[::-1]]
    asked = [["the left dog", "cats and dogs"], ["the horse"], ["the dog below the cat", "the window", "the right dog"]]
    for image, some, together in zip(images, asked, segmenter.batch(images, asked), strict=True):
        for result, alone in zip(together, segmenter(image, some), strict=True):
            np.testing.assert_array_equal(result.mask, alone.mask)
            assert result.to_dict() == alone.to_dict()


def test_threads_share_one_segmenter(segmenter, photograph):
    asked = ["the left dog", "the cat", "dogs", "the right dog"]
    alone = [result.to_dict() for result in segmenter(photograph, asked)]
    found: dict[int, list] = {}

    def ask(number):
        found[number] = [result.to_dict() for result in segmenter(photograph, asked)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(found[number] == alone for number in range(4))


def test_the_threshold_decides_whether_there_is_a_mask(segmenter, photograph):
    assert not segmenter(photograph, "the cat", threshold=0.99).found
    doubted = segmenter(photograph, "the bear", threshold=0.9)
    assert not doubted.found and doubted.decided_by == "existence threshold"
    assert segmenter(photograph, "the bear", threshold=0.05).boxes == [CAT]
    assert segmenter(photograph, "the cat").probability.max() > 0.9


def test_masks_of_samples_are_those_that_hold_if_something_exists(segmenter, photograph, tmp_path):
    Image.fromarray(photograph).save(tmp_path / "it.png")
    (tmp_path / "it.jsonl").write_text(
        json.dumps({"image": "it.png", "expression": "the blue bear", "mask": []}) + "\n"
    )
    (prediction,) = predict_samples(
        segmenter.checkpoint, enumerate(refseg.load_dataset("jsonl", root=tmp_path, split="all"))
    )
    assert prediction.predicts_none.tolist() == [True] and (prediction.output.logits > 0).sum() == 400


def test_it_is_evaluated_as_any_network(fixed, photograph, tmp_path):
    Image.fromarray(photograph).save(tmp_path / "it.png")
    dog = {"mask": [[40, 50, 60, 50, 60, 70, 40, 70]]}
    rows = [("the second dog from the left", dog), ("the right dog", dog), ("the horse", {"mask": []})]
    lines = [json.dumps({"image": "it.png", "expression": text, **mask}) for text, mask in rows]
    (tmp_path / "it.jsonl").write_text("\n".join(lines) + "\n")
    found = evaluate("reader:finder=fixed", "jsonl", split="all", root=tmp_path)
    scores = found.metrics["standard"]
    assert (scores["mIoU"], scores["N-acc"]) == (0.5, 1.0)  # the right dog is another one
    assert found.about["answers"] == "reader:finder=fixed"


def test_masks_of_large_images_are_coarser_but_right(segmenter):
    image = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)
    network, result = segmenter.network, segmenter(image, "the second dog from the left")
    (found,) = network.encode_image(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    assert network.draw(found, [0]).numel() < 2**20 + 4000 and result.mask.shape == (2000, 3000)
    assert abs(result.area / (600 * 400) - 1) < 0.01 and abs(result.boxes[0][0] - 1200) < 4


def test_videos_are_read_frame_by_frame(segmenter, photograph):
    results = list(segmenter.video([photograph] * 3, "the left dog"))
    assert [result.boxes for result in results] == [[(10, 50, 30, 70)]] * 3


def test_a_calibrated_reader_is_its_config_alone(segmenter, photograph, tmp_path):
    segmenter.checkpoint.calibration = Calibration(exists_threshold=0.99, fitted_on="a test")
    save_checkpoint(segmenter.checkpoint, tmp_path / "mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["card.md", "config.json"]
    again = refseg.load(tmp_path / "mine")
    assert again.network.config.finder == "fixed" and not again(photograph, "the cat").found


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("reader:finder=nothing", "unknown finder 'nothing'; choose one of: coco80"),
        ("reader:colour=red", "config of reader: colour: unknown field"),
        ("selector:finder=coco80", "finder cannot be set, since selector was trained as it is"),
        ("reader:finder=coco80,threshold=7", "between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_told_in_one_line(where, told, fixed, tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    with pytest.raises(RefsegError) as caught:
        load_checkpoint(where)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_without_its_finder_the_command_that_gets_it_is_told_before_torch_is_imported(tmp_path):
    code = """
import sys
from refseg.checkpoints.config_file import check_weights
try:
    check_weights("reader")
except Exception as error:
    print(error)
assert "torch" not in sys.modules
"""
    environment = {"REFSEG_CACHE": str(tmp_path), "PATH": "/usr/bin"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    out = told.stdout
    assert out == "the finder 'coco80' is not on this machine; get it (24 MB): refseg weights get coco80\n"


def test_missing_weights_are_no_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    with pytest.raises(MissingFile, match="refseg weights get coco80"):
        refseg.load("reader")
    with pytest.raises(MissingFile, match="refseg weights get coco80"):
        check_weights("reader:finder=coco80")


def test_there_is_nothing_to_train(segmenter):
    with pytest.raises(InvalidInput, match="nothing to train"):
        segmenter.network.loss(None)


def test_long_expressions_are_cut_with_a_warning(segmenter, photograph):
    result = segmenter(photograph, "the left dog" + " in the picture" * 100)
    assert result.boxes == [(10, 50, 30, 70)] and "of which the first 1,000 are read" in result.warnings[0]
