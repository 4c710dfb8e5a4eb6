import json

import pytest

from refseg import datasets
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.tools.stats import describe


@pytest.fixture
def small(files):
    """Two images without photographs: one object, two at once, none; areas 16 and 32 of 600 pixels."""
    annotations = {10: (1, [files.square(2, 3)]), 11: (1, [files.square(10, 10)]), 20: (2, [files.square(0, 0)])}
    files.json("instances.json", files.coco({1: "a.jpg", 2: "b.jpg"}, annotations))
    refs = [
        files.ref(1, 1, [10], "the left cup", "cup"),
        files.ref(2, 1, [10, 11], "both cups"),
        files.ref(3, 2, [-1], "the tallest of the red dogs on the mat"),
    ]
    files.json("grefs(unc).json", refs)
    return describe(datasets.build("refer", split="all", root=files.root))


def test_everything_is_counted(small):
    assert (small.images, small.expressions, small.no_target, small.different_words) == (2, 4, 1, 11)
    assert small.expressions_per_image == {"1": 1, "2": 0, "3": 1}
    assert small.words == {"1": 1, "2": 1, "3": 1, "9": 1}
    assert small.referents == {"0": 1, "1": 2, "2": 1}
    assert small.lengths == {"1 word": 1, "2-3 words": 2, "8 words or more": 1}
    assert small.frequent["cup"] == 2 and "the" not in small.frequent


def test_areas_are_shares_of_the_image_over_expressions_with_a_referent(small):
    assert {name: count for name, count in small.areas.items() if count} == {"2% to 5%": 2, "5% to 10%": 1}
    assert small.area_percentiles["50"] == pytest.approx(16 / 600, abs=1e-5)


def test_rules_say_the_types_where_the_data_set_does_not(small):
    assert small.types_by == "rules"
    assert small.main_types == {"ordinal": 1, "plural": 1, "location": 1, "name only": 1}
    assert sum(small.main_types.values()) == small.expressions < sum(small.all_types.values()) + 1


def test_a_data_set_that_says_its_types_is_believed():
    scenes = DrawnScenes("val", 2)
    found = describe(scenes)
    assert found.types_by == "data set" and not found.all_types
    assert set(found.main_types) == {text.type for scene in scenes for text in scene.expressions}


def test_boxes_give_the_area_where_there_are_no_masks(files):
    files.photograph("a.jpg")
    line = {"image": "a.jpg", "expression": "the cup", "boxes": [[0, 0, 15, 20]]}
    (files.root / "my.jsonl").write_text(json.dumps(line))
    found = describe(datasets.build("jsonl", split="all", root=files.root))
    assert found.area_percentiles["50"] == 0.5


def test_tables_and_plots_hold_every_histogram(small):
    text = small.markdown("Title")
    assert text.startswith("# Title\n\n2 images, 4 expressions (2.0 an image), 1 of them without a referent (25.0%)")
    assert "| 2% to 5% | 2 | 66.7% |" in text and "cup 2" in text
    titles = {axes.get_title() for axes in small.figure().axes}
    assert {"Words per expression", "Area of referents", "Main type, by rules", "Most frequent words"} <= titles
