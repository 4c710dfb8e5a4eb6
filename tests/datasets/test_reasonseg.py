import json

import numpy as np
import pytest

from refseg import datasets
from refseg.datasets.reasonseg import draw_shapes
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.evaluate import score_masks
from refseg.masks.rle import encode_rle


def shape(label: str, left: int, top: int, right: int, bottom: int) -> dict:
    """A rectangle with its edges, as the pencil of the authors' script draws it."""
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "points": corners, "shape_type": "polygon", "group_id": None}


@pytest.fixture
def reasonseg(files):
    def write(place: str, drawn: object, *texts: str, long: bool = True, **more: object) -> None:
        files.json(f"{place}.json", {"text": list(texts), "is_sentence": long, "shapes": drawn} | more)
        files.photograph(f"{place}.jpg")

    write("train/1", [shape("target", 2, 2, 5, 5)], "What holds tea?", "Where is tea kept?")
    shapes = [shape("ignore", 4, 2, 9, 9), shape("target", 2, 2, 5, 5), shape("flag", 0, 0, 29, 19)]
    write("val/1", shapes, "the thing that holds tea", "not asked", long=False)
    return write


def build(files, split: str):
    return datasets.build("reasonseg", split=split, root=files.root)


def test_shapes_are_drawn_over_each_other_large_ones_first(reasonseg, files):
    (sample,) = build(files, "val")
    assert sample.mask(0).sum() == 16  # whole, since it is smaller
    ignored = sample.ignored(0)
    assert ignored.sum() == 6 * 8 - 2 * 4 and not (ignored & sample.mask(0)).any()
    target, ignored = draw_shapes([shape("Ignored", 3, 3, 4, 4), shape("target", 2, 2, 5, 5)], (20, 30))
    assert target.sum() == 16 - 4 and ignored.sum() == 4


def test_all_instructions_train_and_the_first_one_is_asked(reasonseg, files):
    (trained,), (asked,) = build(files, "train"), build(files, "val")
    assert [(e.text, e.type, e.id) for e in trained.expressions] == [
        ("What holds tea?", "long query", "train/1-0"),
        ("Where is tea kept?", "long query", "train/1-1"),
    ]
    assert [(e.text, e.type) for e in asked.expressions] == [("the thing that holds tea", "short query")]
    assert trained.ignored(0) is None and list(asked.others(0)) == []
    assert trained.image.shape == (20, 30, 3)


def test_ignored_pixels_are_in_neither_intersection_nor_union(reasonseg, files):
    """The answer is the target's left half, 6 ignored pixels, and 4 wrong ones."""
    (sample,) = build(files, "val")
    mask = np.zeros((20, 30), bool)
    mask[2:6, 2:4] = mask[2:4, 6:9] = mask[12:14, 12:14] = True
    place = files.bytes("masks.jsonl", (json.dumps({"id": "val/1-0", **encode_rle(mask)}) + "\n").encode())
    report = score_masks(place, "reasonseg", split="val", root=files.root, protocols=["standard", "vlt"])
    assert report.metrics["standard"]["gIoU"] == report.metrics["standard"]["cIoU"] == 8 / (16 + 4)
    assert report.metrics["vlt"]["mIoU"] == pytest.approx(8 / (16 + 4 + 6))  # which knows no such pixels


def test_other_encodings_are_read(reasonseg, files):
    content = json.dumps({"text": ["the café’s cup"], "is_sentence": False, "shapes": []}, ensure_ascii=False)
    files.bytes("val/2.json", content.encode("cp1252"))
    files.photograph("val/2.jpg")
    assert build(files, "val")[1].expressions[0].text == "the café’s cup"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"text": "one"}, r"val/2\.json: text is a list of texts"),
        ({"text": []}, "text is a list of texts"),
        ({"shapes": {}}, "shapes is a list, not a dict"),
        ({"shapes": [{"label": "target", "points": [[1, 2, 3]]}]}, "shape 0: points are"),
        ({"shapes": [{"label": "target", "points": [[1, 1e9]]}]}, "shape 0: a point is not a number or lies beyond"),
        ({"shapes": [{"points": [[1, 2]]}]}, "shape 0 has no 'label'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(reasonseg, files, content, message):
    reasonseg("val/2", [], "the cup", **content)
    with pytest.raises(InvalidInput, match=message):
        build(files, "val")


def test_files_that_are_missing_or_damaged_are_named(reasonseg, files):
    files.bytes("val/2.json", b"{")
    with pytest.raises(InvalidInput, match=r"val/2\.json: damaged or not JSON"):
        build(files, "val")
    reasonseg("val/2", [], "the cup")
    (files.root / "val/2.jpg").unlink()
    with pytest.raises(MissingFile, match=r"val/2\.jpg is missing"):
        build(files, "val")
    with pytest.raises(MissingFile, match=r"has no \.json in train, val, test; docs/datasets\.md#reasonseg"):
        datasets.build("reasonseg", split="val", root=files.root / "val")
    files.move_out("train/1.json")
    with pytest.raises(InvalidInput, match="leads out"):
        build(files, "val")
