"""What the documents show is run."""

import ast
import re
import shlex
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from refseg.cli import app
from refseg.commands.segment_many import FIELDS
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.evaluation.report.meanings import MEANINGS
from refseg.inference.file_result import FileResult
from refseg.inference.verdicts import DecidedBy

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IMPORTS = ast.Import | ast.ImportFrom
PAGES_OF_NETWORKS = sorted((ROOT / "docs" / "networks").glob("*.md"))


@pytest.fixture
def folder_with_a_scene(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene, *others = (Image.fromarray(one.image) for one in DrawnScenes("test", 4))
    scene.save("scene.png")
    scene.save("clip.gif", save_all=True, append_images=others)
    return tmp_path


def blocks(language: str, documents: list[Path] = DOCUMENTS) -> list[str]:
    return [block for file in documents for block in re.findall(rf"```{language}\n(.*?)```", file.read_text(), re.S)]


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.split("\n")[0])
def test_every_python_block_runs(block, folder_with_a_scene):
    exec(compile(block, "document", "exec"), {})


@pytest.mark.parametrize("block", blocks("python", PAGES_OF_NETWORKS), ids=lambda block: block.split('"')[1])
def test_every_network_is_made_as_its_page_says(block):
    with torch.device("meta"):  # at full size, without its memory
        exec(compile(block, "page", "exec"), {})


# One that shows open models, which have to be downloaded, is marked `py`: it must at least name what there is.
@pytest.mark.parametrize("block", blocks("py"), ids=lambda block: block.split("\n")[0])
def test_what_cannot_be_run_names_what_there_is(block):
    code = compile(block, "document", "exec", ast.PyCF_ONLY_AST)
    exec(compile(ast.Module([line for line in code.body if isinstance(line, IMPORTS)], []), "document", "exec"), {})


def test_the_five_lines_of_the_readme_need_nothing_but_the_package(tmp_path, monkeypatch, capsys):
    """In an empty folder, right after the installation; and their answers are right."""
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"## Five lines\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    exec(compile(block, "README.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    scene = DrawnScenes("test")[0]
    true = {expression.text: expression.targets for expression in scene.expressions}
    assert [": 1 object," in said[0], ": 4 objects," in said[1], ": nothing matches" in said[2]] == [True] * 3
    assert len(true["the pentagons"]) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "the green ring.png",
        "the pentagons.png",
        "the red square.png",
    ]


def commands() -> list[str]:
    shown = blocks("sh", [*DOCUMENTS, *PAGES_OF_NETWORKS])
    lines = [line for block in shown for line in block.splitlines() if line.startswith("refseg ")]
    inline = re.findall(r"`(refseg [^`]+)`", (ROOT / "README.md").read_text())
    return sorted({line.split("#")[0].strip() for line in (*lines, *inline) if "COMMAND" not in line})


@pytest.mark.parametrize("command", commands())
def test_every_command_that_is_shown_is_one_that_exists_with_these_options(command):
    words = shlex.split(command)[1:]
    options = [word for word in words if word.startswith("--")]
    name = words[:2] if words[0] in ("data", "weights") else words[:1]
    shown = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, command
    assert all(option in shown.output for option in options), command


def test_the_first_screen_says_what_the_bundled_weights_know():
    first_screen = (ROOT / "README.md").read_text()[:1200]
    assert "drawn scenes only, not photographs" in first_screen


def test_the_table_of_figures_says_what_the_command_says():
    table = (ROOT / "docs" / "evaluation.md").read_text().split("| figure | is |\n|---|---|\n")[1].split("\n\n")[0]
    assert dict(line.strip("| ").split(" | ") for line in table.splitlines()) == MEANINGS


def test_the_table_of_fields_has_all_that_an_answer_has():
    table = (ROOT / "docs" / "segmenting.md").read_text().split("| field | what it is |")[1].split("\n\n")[0]
    cells = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| ")]
    named = {name for fields, _ in cells for name in re.findall(r"`(\w+)`", fields)}
    pixels = np.zeros((4, 4), bool)
    result = FileResult("the cup", np.zeros((4, 4, 3), np.uint8), pixels, 0.5, torch.zeros(4, 4), source="desk.png")
    assert named == {"image", "expression", *FIELDS} and named >= result.to_dict().keys()
    assert set(re.findall(r"`([a-z ]+)`", dict((fields.strip(), said) for fields, said in cells)["`decided_by`"])) == {
        *get_args(DecidedBy)
    }
