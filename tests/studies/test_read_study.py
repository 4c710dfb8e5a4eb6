"""Studies of one's own, from YAML."""

import re
from pathlib import Path

import pytest

from refseg.commands.study import study
from refseg.errors import InvalidInput, MissingFile
from refseg.recipes import RECIPES
from refseg.studies import find_study
from refseg.studies.resolve import resolve_recipe
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
        ("columns:", "colums:", "columns: is missing; colums: unknown field, did you mean columns"),
        ("name: words", "name: cmirnet_table3", "cmirnet_table3 is a table of refseg's own"),
        ("name: words", "name: ../words", "name: string should match pattern"),
        ("lavt_small", "lavt_smal", "unknown recipe 'lavt_smal'; did you mean lavt_small"),
        ("lavt_small", "none.yaml", "there is no recipe none.yaml"),
        ("above: 1", "above: 3", "a claim names rows that are not there"),
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
