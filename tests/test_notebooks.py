"""The notebooks of the site run from top to bottom, in an empty folder."""

import json
import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.py"))
QUICK = {"first_mask", "one_image_many_sentences", "test_a_claim"}


def parameters():
    marks = {file: () if file.stem in QUICK else pytest.mark.slow for file in NOTEBOOKS}
    return [pytest.param(file, id=file.stem, marks=marks[file]) for file in NOTEBOOKS]


@pytest.mark.parametrize("notebook", parameters())
def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    runpy.run_path(str(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_was_run_as_it_is_now(notebook):
    """Its cells are those of the notebook with outputs; `make notebooks` runs it again."""
    written = json.loads(notebook.with_suffix(".ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in written["cells"]]
    plain = notebook.read_text(encoding="utf-8").replace("# %% [markdown]\n", "# %%\n").split("# %%\n")[1:]
    assert len(cells) == len(plain)
    for cell, text in zip(cells, plain, strict=True):
        lines = [line[2:] if line.startswith("# ") else line.removeprefix("#") for line in text.strip().splitlines()]
        assert cell.strip().splitlines() in (lines, text.strip().splitlines())


@pytest.mark.parametrize("file", sorted(NOTEBOOKS[0].parent.glob("*.ipynb")), ids=lambda file: file.stem)
def test_what_it_shows_names_no_path_of_the_machine(file):
    for page in (file, file.with_suffix(".md")):
        assert "site-packages" not in page.read_text(encoding="utf-8")
