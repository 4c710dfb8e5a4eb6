"""RefCOCO without the expressions that the authors of Ref-L4 call wrong."""

import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile

NAME = "COCO_train2014_000000000025.jpg"


@pytest.fixture
def refcoco(files):
    """Two refs of val; of the same sentence about one of them the first is wrong."""
    files.json("instances.json", files.coco({25: NAME}, {7: (25, [files.square(2, 3)]), 8: (25, [files.square(9, 3)])}))
    refs = [
        files.ref(1, 25, 7, "the cup", "the cup", "small", split="val"),
        files.ref(2, 25, 8, "the cup", split="val"),
        files.ref(3, 25, 8, "other cup", split="testA"),
    ]
    files.pickle("refs(unc).p", refs)

    def review(*qualities: object, name: str = "refcoco_val") -> None:
        about = [(7, "the cup"), (7, "the cup"), (7, "small"), (8, "the cup")]
        images = [
            {"id": row, "original_id": 25, "file_name": NAME, "caption": text, "tokens_negative": [[0, 3]]}
            for row, (_, text) in enumerate(about[: len(qualities)])
        ]
        annotations = [
            {"id": row, "image_id": row, "original_id": about[row][0], "bbox": [1, 2, 3, 4], "caption_quality": quality}
            for row, quality in enumerate(qualities)
        ]
        files.json(f"reviewed/{name}_reviewed.json", {"images": images, "annotations": annotations, "categories": []})

    def build(split: str, reviewed: object = files.root / "reviewed"):
        return datasets.build("refcoco", split=split, root=files.root, reviewed=reviewed)

    build.review = review
    return build


def test_wrong_expressions_are_left_out_and_ids_stay(refcoco):
    refcoco.review(0, 1, 1, 0)
    (sample,) = refcoco("val")
    assert [expression.id for expression in sample.expressions] == ["1-11", "1-12"]
    assert [int(sample.mask(i).sum()) for i in range(2)] == [16, 16]
    assert refcoco("val").selection.startswith("left out: 2 expressions that ")
    whole = refcoco("val", None)
    assert whole.expression_count == 4 and whole.selection == ""


def test_what_is_not_reviewed_is_said(refcoco, files):
    refcoco.review(0, 1, 1)
    with pytest.raises(InvalidInput, match=r"no review of 1 of 4 expressions of refcoco, for example 2-20"):
        refcoco("val")
    with pytest.raises(MissingFile, match=r"refcoco_testA_reviewed\.json is missing; .* docs/datasets\.md#ref_l4"):
        refcoco("testA")
    for bad, message in ((None, "is not as the format says"), ("x", "is not as the format says")):
        refcoco.review(1, 1, 1, bad)
        with pytest.raises(InvalidInput, match=rf"refcoco_val_reviewed\.json {message}"):
            refcoco("val")
    files.json("reviewed/refcoco_val_reviewed.json", {"annotation": []})
    with pytest.raises(InvalidInput, match="has no 'images'"):
        refcoco("val")
