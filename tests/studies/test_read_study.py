"""Studies of one's own, from YAML."""

import json
import re
from pathlib import Path

import pytest

from refseg.commands.study import study
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.report import html_page
from refseg.extensions import add_extension
from refseg.networks import NETWORKS
from refseg.recipes import RECIPES, find_recipe
from refseg.studies import find_study, resolve
from refseg.studies.resolve import resolve_recipe, training_key
from refseg.studies.run import run_study
from refseg.studies.study_text import format_title, settings_table

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"
TEXT = """
name: words
table: what taught words are worth
small: lavt_small
columns: [oIoU, {title: mean IoU, metric: mIoU}]
rows:
- label: as it is
- {label: fresh words, settings: [initial.word_encoder=null]}
claims:
- {above: 1, below: [2], about: taught words}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text(TEXT)
    return path


def test_a_study_of_ones_own_is_read(file):
    own = find_study(str(file))
    assert [(column.title, column.metric) for column in own.columns] == [("oIoU", "oIoU"), ("mean IoU", "mIoU")]
    assert not own.has_figures and own.rows[1].figures == (None, None)
    assert format_title(own) == "what taught words are worth"
    assert [line[2] for line in settings_table(own, small=True).lines] == ["as it is", "initial.word_encoder=null"]
    recipe = resolve_recipe(own, own.rows[1], small=True)
    assert recipe.network == "lavt_small" and "word_encoder" not in recipe.initial


def test_the_study_of_the_docs_is_one(tmp_path):
    path = tmp_path / "guidance.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)[1])
    own = find_study(str(path))
    for small in (False, True):
        networks = [resolve_recipe(own, row, small=small).network for row in own.rows]
        assert networks == ["cmirnet_small" if small else "cmirnet_swin_base"] * 3


def test_a_recipe_may_be_a_file(file, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(resolve_recipe(find_study(str(file)), find_study(str(file)).rows[0], small=True).to_yaml())
    file.write_text(TEXT.replace("lavt_small", str(recipe)))
    own = find_study(str(file))
    assert resolve_recipe(own, own.rows[0], small=True).network == "lavt_small"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("columns:", "colums:", "colums: unknown field, did you mean columns"),
        ("metric: mIoU", "metric: mIoUU", "there is no metric 'mIoUU'; did you mean mIoU"),
        ("about: taught words", "metric: IoU", "there is no metric 'IoU'; did you mean"),
        (
            "initial.word_encoder=null",
            "config.hiden=3",
            "'fresh words': config of lavt_small: hiden: unknown",
        ),
        ("initial.word_encoder=null", "hidden=3", "row 'fresh words': .*the recipe has no 'hidden'"),
        ("label: fresh words", "label: as it is", "two rows are labelled 'as it is'"),
        ("small: lavt_small", "notes: []", "row 'as it is': it has no recipe; give the study one"),
        ("name: words", "name: cmirnet_table3", "cmirnet_table3 is a table of refseg's own"),
        ("name: words", "name: ../words", "name: string should match pattern"),
        (
            "lavt_small",
            "lavt_smal",
            "'lavt_smal'; did you mean lavt_small.* enter your own in recipes.RECIPES",
        ),
        ("lavt_small", "none.yaml", "there is no recipe none.yaml"),
        ("above: 1", "above: 3", "words.yaml: a claim names row 3; rows are 1 to 2"),
        ("above: 1", "above: 2", "a claim has row 2 above itself"),
        ("below: [2]", "below: fresh words", "claims.0.below: give the number of a row, or a list of numbers"),
        ("about: taught words", "split: testA", "a claim names split 'testA'; the columns name val"),
        ("label: fresh words", "label: fresh words, setings: []", "rows.fresh words.setings: unknown field"),
        (
            "small: lavt_small",
            "small: lavt_small\nrecipe: selector_chooser\nprotocol: refcoco",
            "row 'as it is': protocol 'refcoco' is not known for drawn_scenes; choose one of: cmirnet",
        ),
        (
            "columns: [oIoU",
            "recipe: selector_chooser\ncolumns: [{metric: oIoU, split: testA}",
            "row 'as it is': unknown split 'testA' of drawn_scenes; did you mean test",
        ),
        (TEXT, "", "is empty; docs/studies.md shows"),
        (TEXT, "[", "is not YAML"),
    ],
)
def test_a_study_that_is_none_is_refused(file, old, new, message):
    file.write_text(TEXT.replace(old, new))
    with pytest.raises((InvalidInput, MissingFile), match=message):
        find_study(str(file))


def test_a_study_without_a_recipe_at_full_size_asks_for_the_small_one(file, tmp_path):
    with pytest.raises(InvalidInput, match="words has no recipe for these rows; run it with small=True"):
        run_study(str(file), tmp_path / "out")


def test_a_recipe_of_ones_own_file_is_known_to_the_rows(file, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text(
        "from refseg.recipes import find_recipe\n"
        "def narrow_lavt():\n"
        "    return find_recipe('lavt_small').with_settings(['config.hidden=16'])\n"
    )
    file.write_text(TEXT.replace("lavt_small", "narrow_lavt"))
    monkeypatch.setattr("refseg.recipes.RECIPES", RECIPES.copy())
    with pytest.raises(InvalidInput, match="unknown recipe 'narrow_lavt'"):
        study(str(file), small=True, show=True)
    with pytest.raises(InvalidInput, match="names no recipe of your own"):
        study(str(file), small=True, show=True, recipe=["lavt_small"])
    study(str(file), small=True, show=True, recipe=[f"{tmp_path / 'own.py'}:narrow_lavt"])
    assert "recipe narrow_lavt" in capsys.readouterr().out


def test_other_code_of_ones_own_network_is_another_training(tmp_path, monkeypatch):
    file = tmp_path / "own_network.py"
    recipe = find_recipe("lavt_small").replace(network="OwnNetwork")
    keys = []
    for width in (1, 1, 2):
        file.write_text(f"from refseg.networks.lavt import LAVT\nclass OwnNetwork(LAVT):\n    width = {width}\n")
        monkeypatch.setitem(NETWORKS, "OwnNetwork", None)
        add_extension(NETWORKS, f"{file}:OwnNetwork")
        keys.append(training_key(recipe))
    assert keys[0] == keys[1] != keys[2]


def test_the_network_and_the_table_of_the_docs_run(tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "SMALL_COUNT", 2)
    monkeypatch.setattr(html_page, "can_plot", lambda: False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {
        "class MyNetwork": "my_network.py",
        "def my_recipe": "my_recipe.py",
        "small: my_recipe": "my_ablations.yaml",
    }
    for block in re.findall(r"```\w+\n(.*?)```", DOCS.with_name("your_own.md").read_text("utf-8"), re.DOTALL):
        for text, name in names.items():
            if text in block:
                Path(name).write_text(block)
    few = ["stages.learn.steps=2", "data.scenes=8", "data.validation_scenes=1", "data.calibration_scenes=1"]
    study("my_ablations.yaml", small=True, recipe=["my_recipe.py:my_recipe"], set_=few, device="cpu")
    found = json.loads(Path("runs/studies_small/my_ablations/study.json").read_text())
    assert all(row["values"]["oIoU"] for row in found["rows"]) and found["costs"]["1"]["parameters"] > 0
    for name in ("MyNetwork", "my_recipe"):
        NETWORKS.pop(name, None)
        RECIPES.pop(name, None)
