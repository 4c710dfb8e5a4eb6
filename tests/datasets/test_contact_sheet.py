import json

import numpy as np
import pytest

from refseg import datasets
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.tools.contact_sheet import CAPTION, GAP, HEIGHT, WIDTH, contact_sheet
from refseg.errors import MissingFile
from refseg.masks.overlay import COLOURS


def test_a_sheet_has_room_for_all_images_and_no_more():
    scenes = DrawnScenes("val", 6)
    step = np.array([WIDTH + GAP, HEIGHT + CAPTION + GAP])
    for count, columns, rows in ((5, 4, 2), (3, 3, 1), (50, 4, 2)):
        assert contact_sheet(scenes, count).size == tuple(GAP + step * (columns, rows))


def test_the_seed_decides_what_is_shown():
    scenes = DrawnScenes("val", 20)
    first, again, other = (contact_sheet(scenes, 2, seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def panel(files, **what) -> np.ndarray:
    files.photograph("a.png")
    (files.root / "my.jsonl").write_text(json.dumps({"image": "a.png", "expression": "the cup", "mask": [], **what}))
    return np.asarray(contact_sheet(datasets.build("jsonl", split="all", root=files.root), 1))


def has_colour(sheet: np.ndarray, k: int) -> bool:
    return bool((sheet == COLOURS[k]).all(-1).any())


def test_every_referent_is_outlined_in_its_own_colour(files):
    files.photograph("a.png")
    annotations = {10: (1, [files.square(2, 3, 8)]), 11: (1, [files.square(14, 8, 8)])}
    files.json("instances.json", files.coco({1: "a.png"}, annotations))
    files.json("grefs(unc).json", [files.ref(1, 1, [10, 11], "both cups")])
    sheet = np.asarray(contact_sheet(datasets.build("refer", split="all", root=files.root), 1))
    assert has_colour(sheet, 0) and has_colour(sheet, 1)


def test_boxes_are_drawn_where_there_are_no_masks(files):
    assert has_colour(panel(files, boxes=[[2, 2, 20, 12]]), 0)


def test_nothing_is_drawn_for_an_expression_without_a_referent(files):
    assert not has_colour(panel(files), 0)


def test_a_missing_image_is_named(files):
    with pytest.raises(MissingFile, match="gone.png is missing"):
        panel(files, image="gone.png")
