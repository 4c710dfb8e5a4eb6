"""RefCOCO-M and Ref-L4, which come as Parquet."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from refseg import datasets
from refseg.datasets.shards import write_shards
from refseg.datasets.storage import parquet_files
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.evaluate import score_masks
from refseg.masks.rle import encode_rle

pyarrow = pytest.importorskip("pyarrow")
HW = (20, 30)


def write(path, rows: list[dict], **settings) -> None:
    import pyarrow.parquet as parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, **settings)


def square(left: int) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[3:7, left : left + 4] = True
    return mask


def png(value: int) -> dict:
    content = io.BytesIO()
    Image.fromarray(np.full((*HW, 3), value, np.uint8)).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


def image(number: int, *lefts: int) -> dict:
    samples = [
        {
            "id": 10 * number + k,
            "image_id": number,
            "category": "cup",
            "supercategory": "kitchen",
            "label": "the cup",
            "sentences": ["the cup", f"cup {k}"],
            "bbox": [float(left), 3.0, 4.0, 4.0],
            "mask": encode_rle(square(left)),
        }
        for k, left in enumerate(lefts)
    ]
    name = f"COCO_train2014_{number:012d}.jpg"
    return {"image": png(number), "image_id": number, "file_name": name, "samples": samples}


@pytest.fixture
def refcoco_m(files):
    """Three images in two files, of which the first has two groups of rows."""
    write(files.root / "data/validation-00000-of-00002.parquet", [image(1, 2, 9), image(2, 4)], row_group_size=1)
    write(files.root / "data/validation-00001-of-00002.parquet", [image(3, 5)])
    return lambda: datasets.build("refcoco_m", split="val", root=files.root)


def test_masks_sentences_and_photographs_are_read_from_the_table(refcoco_m):
    data = refcoco_m()
    assert (len(data), data.ref_count, data.expression_count) == (3, 4, 8)
    assert [sample.image[0, 0, 0] for sample in (data[2], data[0], data[1])] == [3, 1, 2]
    assert [expression.id for expression in data[0].expressions] == ["10-0", "10-1", "11-0", "11-1"]
    assert (data[0].mask(2) == square(9)).all() and data[0].box(2) == (9, 3, 13, 7)
    assert data[1].coco_id == 2 and data[1].size_hw == HW


def test_each_row_is_decoded_where_it_is_asked_for(refcoco_m, files):
    data = refcoco_m()
    table = files.root / "data/validation-00001-of-00002.parquet"
    table.write_bytes(b"PAR1" + bytes(100))
    parquet_files._group.cache_clear()
    assert data[0].image.shape == (*HW, 3)
    with pytest.raises(InvalidInput, match=r"validation-00001.*damaged or not Parquet"):
        _ = data[2].image
    with pytest.raises(InvalidInput, match=r"validation-00001.*damaged or not Parquet"):
        refcoco_m()


def test_shards_take_photographs_out_of_the_table(refcoco_m, tmp_path):
    data = refcoco_m()
    assert write_shards(data, "m", tmp_path, 10**6) == 1
    again = datasets.build("shards", split="val", root=tmp_path)
    assert [sample.image[0, 0, 0] for sample in again] == [1, 2, 3] and (again[0].mask(2) == square(9)).all()


def test_a_table_of_another_kind_and_a_missing_one_are_refused(files):
    with pytest.raises(MissingFile, match=r"has no validation-\*\.parquet.*docs/datasets\.md#refcoco_m"):
        datasets.build("refcoco_m", split="val", root=files.root)
    write(files.root / "validation-0.parquet", [{"image": 1, "image_id": 3}])
    with pytest.raises(InvalidInput, match="has no column file_name, samples; it has image, image_id"):
        datasets.build("refcoco_m", split="val", root=files.root)


def test_pyarrow_is_asked_for_by_its_extra(refcoco_m, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidInput, match=r"pip install 'refseg\[parquet\]'"):
        refcoco_m()


def annotation(number: int, caption: str, box: list[float], file: str, split: str = "val") -> dict:
    return {
        "id": number,
        "caption": caption,
        "bbox": box,
        "bbox_area": box[2] * box[3],
        "bbox_id": f"o365_{number}",
        "ori_category_id": "o365_64",
        "image_id": f"o365_{file}",
        "height": 300,
        "width": 400,
        "file_name": file,
        "is_rewrite": True,
        "split": split,
    }


@pytest.fixture
def ref_l4(files):
    rows = [
        annotation(0, "the camera", [10.0, 20.0, 100.0, 50.0], "a.jpg"),
        annotation(1, "the wall", [0.5, 0.5, 300.0, 250.0], "a.jpg"),
    ]
    write(files.root / "ref-l4-val.parquet", rows)
    (files.root / "images").mkdir()
    Image.new("RGB", (400, 300)).save(files.root / "images/a.jpg")
    return lambda split="val": datasets.build("ref_l4", split=split, root=files.root)


def test_a_box_is_served_as_it_is_and_filled_where_a_mask_is_asked_for(ref_l4):
    (sample,) = ref_l4()
    assert sample.box(0) == (10, 20, 110, 70) and sample.box(1) == (0.5, 0.5, 300.5, 250.5)
    assert sample.mask(0).sum() == 5000 and sample.mask(0)[20:70, 10:110].all()
    assert [(e.id, e.type) for e in sample.expressions] == [("0", "small"), ("1", "large")]
    assert sample.mask_at(0, (150, 200)).sum() == 1250


def test_boxes_of_masks_are_compared_with_true_boxes(ref_l4, files):
    """The first answer's box is the true one though its mask is not; the second has an IoU of just 0.8."""
    (sample,) = ref_l4()
    diagonal, part = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    diagonal[20, 10] = diagonal[69, 109] = True
    part[1:250, 1:242] = True
    lines = [json.dumps({"id": str(k), **encode_rle(mask)}) + "\n" for k, mask in enumerate((diagonal, part))]
    place = files.bytes("masks.jsonl", "".join(lines).encode())
    report = score_masks(place, "ref_l4", split="val", root=files.root)
    assert 241 * 249 / (300 * 250) == pytest.approx(0.8, abs=2e-4)
    expected = {"Acc@0.5": 1, "Acc@0.75": 1, "Acc@0.9": 0.5}
    assert report.metrics["ref_l4"] == expected | {"mAcc": pytest.approx((7 * 1 + 3 * 0.5) / 10)}
    with pytest.raises(InvalidInput, match=r"protocol 'lavt' does not fit ref_l4; choose one of: ref_l4, standard"):
        score_masks(place, "ref_l4", split="val", root=files.root, protocols=["lavt"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1.0, 2.0, 0.0, 3.0]}, "bbox is"),
        ({"bbox": [1.0, 2.0]}, "is not as the format says"),
        ({"bbox": [1.0, 2.0, float("nan"), 3.0]}, "bbox is"),
        ({"height": 10**6, "width": 10**6}, "a size of .* is not allowed"),
    ],
)
def test_a_bad_row_is_named(files, change, message):
    write(files.root / "ref-l4-test.parquet", [annotation(0, "it", [1.0, 2.0, 3.0, 4.0], "a.jpg", "test") | change])
    with pytest.raises(InvalidInput, match=rf"ref-l4-test\.parquet: row at .*{message}"):
        datasets.build("ref_l4", split="test", root=files.root)


def test_a_name_that_climbs_is_refused(files):
    write(files.root / "ref-l4-test.parquet", [annotation(0, "it", [1.0, 2.0, 3.0, 4.0], "../a.jpg", "test")])
    (sample,) = datasets.build("ref_l4", split="test", root=files.root)
    with pytest.raises(InvalidInput, match=r"'\.\./a\.jpg' leaves its folder"):
        _ = sample.image
