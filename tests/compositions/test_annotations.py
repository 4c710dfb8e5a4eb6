"""The reader on the objects that a data set annotates: figures of the choice alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import refseg
from refseg.errors import InvalidInput
from refseg.evaluation.evaluate import evaluate

WEIGHTS = "reader:finder=annotations"
SQUARES = {1: (10, 40), 2: (40, 40), 3: (70, 40), 4: (70, 10)}  # three dogs and a cat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the refer layout; only one of its four objects is named."""
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / "it.png")

    def corners(x: int, y: int) -> list[int]:
        return [x, y, x + 20, y, x + 20, y + 20, x, y + 20]

    instances = {
        "images": [{"id": 7, "file_name": "it.png", "height": 100, "width": 100}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "horse"}],
        "annotations": [
            {
                "id": number,
                "image_id": 7,
                "category_id": 2 if number == 4 else 1,
                "segmentation": [corners(*at)],
                "bbox": [*at, 20, 20],
            }
            for number, at in SQUARES.items()
        ],
    }
    sentences = ["the second dog from the left", "the dog in the middle", "the left dog", "the horse"]
    refs = [
        {
            "ref_id": k,
            "ann_id": [2] if k < 3 else [-1],
            "image_id": 7,
            "split": "val",
            "sentences": [{"sent_id": k, "raw": text, "sent": text}],
        }
        for k, text in enumerate(sentences)
    ]
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "grefs(mine).json").write_text(json.dumps(refs))
    return tmp_path


def test_the_objects_of_the_data_set_are_chosen_among_whether_named_or_not(folder):
    report = evaluate(WEIGHTS, "refer", split="val", root=folder, images=folder)
    scores = report.metrics["standard"]
    assert (scores["Prec@0.9"], scores["N-acc"]) == (2 / 3, 1.0)  # the left dog is another one
    assert report.about["answers"] == WEIGHTS


def test_drawn_scenes_have_objects_too():
    scores = evaluate(WEIGHTS, "drawn_scenes", split="val", count=5).metrics["standard"]
    assert scores["mIoU"] == scores["N-acc"] == 1.0


def test_data_without_objects_are_refused_before_anything_is_written(folder):
    (folder / "it.jsonl").write_text(json.dumps({"image": "it.png", "expression": "the dog", "mask": []}) + "\n")
    with pytest.raises(InvalidInput, match="jsonl has none with their classes; .* refer layout") as caught:
        evaluate(WEIGHTS, "jsonl", split="all", root=folder, out=folder / "results")
    assert "\n" not in str(caught.value) and not (folder / "results").exists()


def test_an_image_alone_has_no_objects_to_choose_among():
    segmenter = refseg.load("reader", finder="annotations")
    with pytest.raises(InvalidInput, match="so it answers in an evaluation only"):
        segmenter(np.zeros((20, 20, 3), np.uint8), "the dog")
    with pytest.raises(InvalidInput, match="has no threshold; leave it out"):
        refseg.load("reader", finder="annotations", threshold=0.3)
