import json

import pytest
import yaml
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import InvalidInput
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import Recipe


def recipes(*arguments: str) -> str:
    asked = ["recipes", *arguments]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False).output


def test_every_recipe_is_listed_with_what_the_paper_reports_and_by_which_protocol():
    lines = recipes().splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(RECIPES)]] == list(RECIPES)
    (line,) = [line for line in lines if line.startswith("lavt_refcocog_umd ")]
    for said in ("lavt_swin_base", "refcocog umd", "lavt", "oIoU val 61.24, test 62.09; mIoU val 63.34, test 63.62"):
        assert said in line
    assert max(map(len, lines)) < 190


def test_what_stands_below_a_list_is_about_its_recipes():
    for pattern, name in (("*small*", "small_image_encoder"), ("cris*", "cris_small")):
        lines = recipes(pattern).splitlines()
        assert lines[-1].startswith(f"One in full: refseg recipes {name}. To train it: refseg train {name}.")
        assert ("Figures are" in lines[-1]) is (pattern == "cris*")
    assert "JHMDB Sentences" in recipes("*a2d*").splitlines()[-1]


def test_programs_get_the_same():
    rows = {row["name"]: row for row in json.loads(recipes("--json"))}
    assert rows.keys() == RECIPES.keys()
    assert (
        rows["dmmi_refzom"]["reports"] == {"oIoU": 68.77, "mIoU": 68.21, "Acc": 87.02}
        and rows["eavl_refcoco"]["protocol"] == "not stated"
    )
    one = json.loads(recipes("dmmi_refzom", "--json"))
    assert one["reports"] == rows["dmmi_refzom"]["reports"] and Recipe.model_validate(one["recipe"]) == find_recipe(
        "dmmi_refzom"
    )


def test_one_recipe_is_shown_in_full_as_yaml_beneath_what_paper_and_release_say():
    out = recipes("cmirnet_refcoco_pretrained_both")
    assert "# paper says: Learning rate 5e-5" in out and "# release does: Learning rate 2e-5" in out
    assert Recipe.model_validate(yaml.safe_load(out)) == find_recipe("cmirnet_refcoco_pretrained_both")


def test_an_unknown_recipe_is_refused_with_those_that_are_called_alike():
    with pytest.raises(InvalidInput, match=r"choose one of: dmmi_refcoco\+?, "):
        recipes("dmmi_refcocos")


def test_a_part_of_another_paper_is_scored_as_its_host_and_an_unstated_protocol_has_a_way_out():
    rows = {row["name"]: row["protocol"] for row in json.loads(recipes("--json"))}
    assert (rows["lavt_refcoco_aligner"], rows["cris_refcocog_umd_aligner"]) == ("lavt", "cris")
    assert "unknown" not in rows.values()
    assert "# protocol: not stated; score yours under standard" in recipes("eavl_refcoco")
