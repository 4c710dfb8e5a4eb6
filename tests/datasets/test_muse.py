import numpy as np
import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile


def annotation(segmentation, box=(2, 3, 4, 4), name: str = "cup") -> dict:
    return {"segmentation": segmentation, "bbox": list(box), "category_id": 1, "category_name": name}


@pytest.fixture
def muse(files):
    square = files.square
    cup, spoon = annotation([square(2, 3)]), annotation([square(12, 3, 5)], (12, 3, 5, 5), "spoon")
    lengths = annotation({"counts": [0, 20, 580], "size": [20, 30]}, (0, 0, 1, 20))
    asked = {"height": 20, "width": 30, "ann_list": [cup, spoon], "text_answers": ["{seg}", "{seg} and {seg}"]}
    of_2014 = asked | {
        "file_name": "COCO_train2014_000000000025.jpg",
        "questions": ["What holds tea?", "What does one need for tea?"],
        "answers": [[cup], [cup, spoon]],
    }
    of_2017 = asked | {"coco_url": "http://x/val2017/000000000026.jpg", "questions": ["Why?"], "answers": [[lengths]]}
    files.photograph("train2014/COCO_train2014_000000000025.jpg")
    files.photograph("val2017/000000000026.jpg")

    def build(split: str, content: object = None):
        files.json("muse_val.json", [of_2014] if content is None else content)
        files.json("muse_test_less.json", [of_2014])
        files.json("muse_test_many.json", [of_2017])
        return datasets.build("muse", split=split, root=files.root)

    build.asked = of_2014
    return build


def test_a_question_names_all_objects_of_its_answer(muse):
    (sample,) = muse("val")
    assert [expression.text for expression in sample.expressions] == ["What holds tea?", "What does one need for tea?"]
    assert [int(sample.mask(i).sum()) for i in range(2)] == [16, 16 + 25]
    assert sample.referents(1).shape == (2, 20, 30) and sample.box(1) == (2, 3, 17, 8)
    assert sample.expressions[1].id == "val-0-1" and sample.coco_id == 25
    assert sample.image.shape == (20, 30, 3)


def test_the_two_tests_are_one_and_photographs_of_2017_are_found(muse):
    both = muse("test")
    assert [sample.image_id for sample in both] == ["COCO_train2014_000000000025.jpg", "000000000026.jpg"]
    assert len(muse("test_many")) == 1 and both.splits == ["val", "test_less", "test_many"]
    assert both[1].image.shape == (20, 30, 3)
    assert np.flatnonzero(both[1].mask(0).any(0)).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [[]]}, "is not as the format says"),
        ({"questions": [1, 2]}, "question 0 is a int, not a text"),
        ({"answers": [[], [annotation("x")]]}, "a segmentation is a list"),
        ({"file_name": "..", "height": 10**6, "width": 10**6}, "a size of .* is not allowed"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(muse, change, message):
    with pytest.raises(InvalidInput, match=rf"muse_val\.json.*{message}"):
        muse("val", [muse.asked | change])


def test_without_files_their_place_is_said(files):
    with pytest.raises(MissingFile, match=r"muse_train\.json is missing; docs/datasets\.md#muse"):
        datasets.build("muse", split="val", root=files.root)
