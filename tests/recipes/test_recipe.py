import re

import pytest
import yaml

from refseg.errors import InvalidInput, MissingFile
from refseg.networks import build, configured, preset
from refseg.networks.cmirnet.config import CrossAttentionConfig
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import Recipe
from refseg.training.pretraining_table import pretraining_heads


@pytest.mark.parametrize("name", [name for name in RECIPES if find_recipe(name).data.dataset.startswith("drawn_")])
def test_every_recipe_of_drawn_data_builds_its_network_and_trains_parts_and_objectives_that_exist(name):
    recipe = find_recipe(name)
    network = build(recipe.network, recipe.config, vocabulary_size=10)
    for stage in recipe.stages:
        assert set(stage.groups) <= set(network.parts())
        assert pretraining_heads(stage.objective) or hasattr(network, stage.objective)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_own_yaml(name, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(find_recipe(name).to_yaml())
    assert find_recipe(str(path)) == find_recipe(name)


def test_a_recipe_that_no_paper_reports_says_nothing_about_it():
    assert "\nabout:" not in find_recipe("lavt_small").to_yaml()
    assert "\nabout:\n" in find_recipe("lavt_refcoco").to_yaml()


def test_settings_reach_stages_by_name_and_by_number():
    recipe = find_recipe("selector").with_settings(
        ["stages.find.steps=7", "stages.1.groups.chooser.lr=1e-2", "data.scenes=64", "config.blocks=2"]
    )
    assert recipe.stages[0].steps == 7 and recipe.stages[1].groups["chooser"].lr == 0.01
    assert recipe.data.scenes == 64 and recipe.config == {"blocks": 2}


@pytest.mark.parametrize("setting", ["data.validation=all", "data.validation=testA", "data.settings.split=testA"])
def test_no_test_split_chooses_a_checkpoint(setting):
    with pytest.raises(InvalidInput, match=r"test split|data\.validation"):
        find_recipe("lavt_refcoco").with_settings([setting])


def test_initial_weights_may_be_left_out():
    assert "glove" not in find_recipe("cmpc_refcoco").with_settings(["initial.glove=null"]).initial
    assert find_recipe("selector").with_settings(["initial.finder.stages=null"]).initial == {}
    assert find_recipe("selector").with_settings(["initial.finder.stages=x"]).initial == {"finder.stages": "x"}


def test_settings_of_data_and_initial_weights_may_be_new():
    recipe = find_recipe("lavt_refcoco").with_settings(["data.settings.root=/data", "initial.clip=RN50.pt"])
    assert recipe.data.settings["root"] == "/data" and recipe.initial["clip"] == "RN50.pt"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stages.find.steps", "has no '='"),
        ("stages.found.steps=3", "stages has no 'found'; it has: find, choose, together"),
        ("data.scene=3", "data has no 'scene'; did you mean scenes. it has: dataset, scenes"),
        (
            "stages.find.steps=0",
            r"^the settings: stages\.find\.steps: input should be greater than or equal to 1 \(got 0\)$",
        ),
        ("stages.1.steps=many", r"stages\.choose\.steps: input should be a valid integer \(got 'many'\)$"),
        ("stages.find.epochs=3", r"stages\.find: set either steps or epochs, and the other one to null$"),
        ("stages.find.schedule.warm_up=3", r"stages\.find\.schedule\.warm_up: input should be less than 1"),
        ("stages.find.data.scenes=3", r"stages\.find\.data is not set in this recipe; give its value$"),
        ("stages.find.schedule.kind=cos", r"stages\.find\.schedule: unknown 'kind' 'cos'; choose one of: 'constant', "),
        ("stages.find.schedule={warm_up: 0.1}", r"stages\.find\.schedule: say which 'kind'"),
        ("data.dataset=refcoco", r"drawn_scenes has other settings than 'refcoco'; .* data=\{dataset: refcoco\}, or"),
        ("stages.find.groups=3", r"stages\.find\.groups: give fields with their values \(got 3\)$"),
        ("stages.find.betas=3", r"stages\.find\.betas: give a list \(got 3\)$"),
        ("data.side=100", r"the settings: data\.side: input should be 128 or 256 \(got 100\)$"),
        ("precision=8", "precision"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(InvalidInput, match=message):
        find_recipe("selector").with_settings([setting])


def test_data_of_another_kind_are_set_as_the_refusal_says():
    recipe = find_recipe("lavt_refcoco")
    with pytest.raises(InvalidInput) as refused:
        recipe.with_settings(["data.dataset=drawn_scenes"])
    (way_out,) = re.findall(r"set all of them, (data=.*?\}), or", str(refused.value))
    assert recipe.with_settings([way_out]).data.dataset == "drawn_scenes"
    assert recipe.with_settings(["data.dataset=refcoco+"]).data.dataset == "refcoco+"


def test_all_faults_of_a_recipe_are_named_at_once():
    with pytest.raises(InvalidInput, match=r"(?=.*data\.side)(?=.*stages\.find\.steps)"):
        find_recipe("selector").with_settings(["data.side=100", "stages.find.steps=-1"])


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    with pytest.raises(MissingFile, match="no recipe"):
        find_recipe(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(InvalidInput, match="not YAML"):
        find_recipe(str(tmp_path / "bad.yaml"))
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"name": "x", "colour": "red"}))
    with pytest.raises(InvalidInput, match="colour"):
        find_recipe(str(tmp_path / "other.yaml"))
    with pytest.raises(InvalidInput, match="such as selector, .*or give a .yaml file"):
        find_recipe("selectr")


def test_two_stages_cannot_share_a_name():
    recipe = find_recipe("selector")
    with pytest.raises(ValueError, match="same name"):
        Recipe.model_validate({**recipe.model_dump(), "stages": [recipe.stages[0].model_dump()] * 2})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=2001-99-99", r"the settings: seed: .*valid integer"),
        ("seed=" + "9" * 5000, r"setting 'seed=9+\.\.\.: '9+\.\.\. is not a value"),
        ("seed=-1", "seed: .*greater than or equal to 0"),
        ("data.scenes=1" + "0" * 30, "scenes: .*less than or equal to"),
        ("stages.find.epochs=.inf", "epochs"),
        ("data=" + "[" * 5000, "is not a value"),
        ("data={a: &x [*x]}", "is not a value"),
        (
            "data=[" + ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" if n else "&a0 []" for n in range(60)) + "]",
            "not a value",
        ),
        (
            "data={a0: &a0 {k0: 0, l0: 0}, "
            + ", ".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 0}}" for n in range(1, 60))
            + "}",
            "not a value",
        ),
        ("data.tier=[]", r"tier: choose one or several of: easy, base, hard \(got \[\]\)$"),
        ("data.tier=[base, odd]", r"tier: choose one or several of: easy, base, hard \(got \['base', 'odd'\]\)$"),
        ("stages=[]", r"stages: give at least 1 \(got \[\]\)$"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_short_line(setting, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        find_recipe("selector").with_settings([setting])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(find_recipe("selector").to_yaml(), encoding="utf-8-sig")
    assert find_recipe(str(path)) == find_recipe("selector")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: caf\xe9".encode("latin1"), "is not UTF-8 .*; save it as UTF-8"),
        (b"[" * 10_000, "is not YAML"),
        (b"#" * (2**20 + 1), "has more than 1 MiB"),
        (b"seed: !!timestamp 2001-99-99", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_a_recipe_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        find_recipe(str(tmp_path / "recipe.yaml"))


def test_a_recipe_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InvalidInput, match="folder.yaml cannot be read"):
        find_recipe(str(tmp_path / "folder.yaml"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        find_recipe(f"{'x' * 300}.yaml")


@pytest.mark.parametrize("setting", ["config.aligner.queries=4", "config.aligner={queries: 4}"])
def test_a_part_of_a_network_keeps_the_other_fields_of_its_preset(setting):
    recipe = find_recipe("eavl_small").with_settings([setting])
    ours = configured(recipe.network, recipe.config)
    assert ours == preset("eavl_small").replace(aligner=preset("eavl_small").aligner.replace(queries=4))


@pytest.mark.parametrize("name", ["cris_small", "lavt_small"])
def test_a_part_that_was_off_is_that_of_the_preset_that_has_it(name):
    recipe = find_recipe(name).with_settings(["config.aligner={queries: 4}"])
    theirs = preset(f"{name}_aligner")
    assert configured(recipe.network, recipe.config) == theirs.replace(aligner=theirs.aligner.replace(queries=4))


def test_one_field_of_a_released_network_changes_no_other():
    recipe = find_recipe("cmirnet_refcoco_resnet101").with_settings(
        ["config.tgmm={kind: tgmm, visual_words: new}", "config.cgip.cgi.words=original"]
    )
    ours, theirs = configured(recipe.network, recipe.config), preset("cmirnet_resnet101")
    assert ours.tgmm == theirs.tgmm.replace(visual_words="new")
    assert ours.cgip == theirs.cgip.replace(cgi=theirs.cgip.cgi.replace(words="original"))


def test_another_kind_of_a_part_has_its_own_defaults_and_off_switches_it_off():
    recipe = find_recipe("cmirnet_small").with_settings(["config.cgip={kind: cross_attention}", "config.tgmm=off"])
    ours = configured(recipe.network, recipe.config)
    assert ours.cgip == CrossAttentionConfig() and ours.tgmm is None


def test_settings_of_a_network_are_judged_together_and_for_the_network_that_is_set():
    settings = ["config.tgmm.first_stage=1", "config.stem=true", "network=cmirnet_swin_base"]
    recipe = find_recipe("cmirnet_small").with_settings(settings)
    assert configured(recipe.network, recipe.config).tgmm.first_stage == 1
    with pytest.raises(InvalidInput, match="first_stage=1 is the stem"):
        find_recipe("cmirnet_small").with_settings(settings[:1])
    with pytest.raises(InvalidInput, match="aligner.querys: unknown field"):
        find_recipe("eavl_small").with_settings(["config.aligner.querys=4"])
