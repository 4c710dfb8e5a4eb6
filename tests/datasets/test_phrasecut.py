import pytest

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile


def task(files, number: str, image: int, *instances: list, type: str = "attribute") -> dict:
    def pairs(polygon: list[float]) -> list[list[float]]:
        return [polygon[k : k + 2] for k in range(0, len(polygon), 2)]

    return {
        "task_id": number,
        "image_id": image,
        "ann_ids": list(range(len(instances))),
        "instance_boxes": [[1, 2, 3, 4]] * len(instances),
        "Polygons": [[pairs(polygon) for polygon in instance] for instance in instances],
        "phrase": f"phrase {number}",
        "phrase_structure": {"name": "cup", "attributes": [], "relation_ids": [], "type": type},
    }


@pytest.fixture
def phrasecut(files):
    images = [
        {"image_id": id, "coco_id": coco, "width": 30, "height": 20, "split": split}
        for id, coco, split in ((1, 11, "val"), (2, None, "miniv"), (3, None, "test"))
    ]
    files.json("image_data_split3000.json", images)
    square = files.square
    several = [[square(0, 0), [0, 0, 1, 1]], [square(10, 10), square(12, 10), square(-3, 16, 9)]]
    files.json("refer_val.json", [task(files, "1__0", 1, *several)])
    files.json("refer_miniv.json", [task(files, "2__0", 2, [square(0, 0)], type="name")])
    files.photograph("images/1.jpg")
    return lambda split: datasets.build("phrasecut", split=split, root=files.root)


def test_a_mask_is_the_union_of_instances_of_polygons_clipped_to_the_image(phrasecut):
    sample = phrasecut("val")[0]
    assert sample.expressions[0].text == "phrase 1__0"
    assert sample.expressions[0].type == "attribute"
    assert [int(mask.sum()) for mask in sample.referents(0)] == [16, 24 + 6 * 4]
    assert sample.mask(0).sum() == 16 + 24 + 24
    assert sample.box(0) == (1, 2, 4, 6)
    assert (sample.image_id, sample.coco_id, sample.image.shape) == ("1", 11, (20, 30, 3))


def test_val_holds_miniv(phrasecut):
    assert len(phrasecut("val")) == 2
    assert [sample.image_id for sample in phrasecut("miniv")] == ["2"]
    assert phrasecut("miniv")[0].coco_id is None


def test_a_split_without_its_file_is_refused(phrasecut, files):
    with pytest.raises(InvalidInput, match="phrasecut has no split 'test'; .* holds val, miniv"):
        phrasecut("test")
    (files.root / "image_data_split3000.json").unlink()
    with pytest.raises(MissingFile, match=r"image_data_split3000\.json is missing; docs/datasets\.md#phrasecut"):
        phrasecut("val")


def test_a_bad_polygon_is_named_by_its_file(phrasecut, files):
    files.json("refer_miniv.json", [task(files, "2__0", 2, [[0, 0, 1e9, 0, 1, 1]])])
    with pytest.raises(InvalidInput, match=r"refer_miniv\.json: task 2__0: a polygon has a corner"):
        phrasecut("val")
