import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from refseg.cli import app
from refseg.datasets.drawn_scenes import DrawnScenes
from refseg.errors import RefsegError


def draw(*arguments: object) -> None:
    CliRunner().invoke(app, ["data", "draw", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "scenes"
    draw("--split", "val", "--count", 3, "--out", out)
    return out


def test_images_masks_and_refs_are_those_of_the_data_set(drawn):
    refs = json.loads((drawn / "grefs(drawn).json").read_text())
    scenes = DrawnScenes("val", 3)
    expressions = [(scene, i) for scene in scenes for i in range(len(scene.expressions))]
    assert len(refs) == len(expressions)
    for ref, (scene, i) in zip(refs, expressions, strict=True):
        assert ref["sentences"][0]["sent"] == scene.expressions[i].text
        assert ref["no_target"] == (ref["ann_id"] == [-1]) == (not scene.expressions[i].targets)
        mask = np.array(Image.open(drawn / "masks" / f"{scene.image_id}_{ref['sent_ids'][0]}.png"))
        np.testing.assert_array_equal(mask, scene.mask(i))
    np.testing.assert_array_equal(np.array(Image.open(drawn / "images" / "val-base-2.png")), scenes[2].image)


def test_annotations_in_coco_format_give_the_masks_again(drawn):
    instances = json.loads((drawn / "instances.json").read_text())
    by_id = {annotation["id"]: annotation for annotation in instances["annotations"]}
    ref = next(ref for ref in json.loads((drawn / "grefs(drawn).json").read_text()) if len(ref["ann_id"]) > 1)
    union = coco.decode(coco.merge([by_id[i]["segmentation"] for i in ref["ann_id"]])).astype(bool)
    name = f"{ref['file_name'].removesuffix('.png')}_{ref['sent_ids'][0]}.png"
    np.testing.assert_array_equal(union, np.array(Image.open(drawn / "masks" / name)))
    categories = {category["id"] for category in instances["categories"]}
    assert {annotation["category_id"] for annotation in instances["annotations"]} <= categories


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RefsegError, match="not an empty folder"):
        draw("--count", 1, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_wrong_split_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(RefsegError, match="choose one of: train"):
        draw("--split", "valid", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
