"""Runs the notebooks and keeps what they show: `make notebooks`, or `python docs/generate/run_notebooks.py first_mask`.

A notebook is written as plain Python with cells (docs/notebooks/NAME.py, jupytext's percent format), which ruff and
the tests read. This makes NAME.ipynb of it, with its outputs, and NAME.md with its pictures for the site.
"""

import base64
import os
import re
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from time import perf_counter

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from PIL import Image

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
MOST_BYTES = 400_000  # of a notebook with its outputs
MOST_SECONDS = 600
MOST_SIDE = 900  # of a picture, in pixels


def run(source: Path) -> None:
    """Runs a notebook in an empty folder, and writes it with its outputs, as a notebook and as a page."""
    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    begin = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=MOST_SECONDS, resources={"metadata": {"path": folder}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # jupytext draws another each time
        cell.metadata = {}
        if "outputs" in cell:  # without warnings of libraries, which name the machine's paths
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", ()):
            if "text" in output:  # of progress only the last state of a line
                output.text = re.sub(r"[^\n]*\r", "", output.text)
            if "image/png" in output.get("data", {}):
                output.data = {"image/jpeg": _smaller(output.data["image/png"])}
    text = nbformat.writes(notebook)
    if len(text) > MOST_BYTES:
        sys.exit(f"{source}: its outputs have {len(text):,} bytes, at most {MOST_BYTES:,}; show smaller pictures")
    source.with_suffix(".ipynb").write_text(text + "\n", encoding="utf-8")
    write_page(notebook, source)
    print(f"{source.name}: {perf_counter() - begin:.0f} s, {len(text):,} bytes", flush=True)


def _smaller(png: str) -> str:
    """Returns a picture, in base64, as JPEG."""
    picture = Image.open(BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    written = BytesIO()
    picture.save(written, "JPEG", quality=85)
    return base64.b64encode(written.getvalue()).decode()


def write_page(notebook: nbformat.NotebookNode, source: Path) -> None:
    """Writes the page of a notebook and its pictures."""
    name = source.stem
    body, resources = MarkdownExporter().from_notebook_node(notebook, {"unique_key": name})
    for old in source.parent.glob(f"{name}_*.jpg"):
        old.unlink()
    for picture, content in resources["outputs"].items():
        (source.parent / picture).write_bytes(content)
    first, _, rest = body.strip().partition("\n")
    note = f"[This page as a notebook]({name}.ipynb), as it was run. Pictures and figures are its own."
    (source.parent / f"{name}.md").write_text(f"{first}\n\n{note}\n{rest}\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if not sys.argv[1:] or source.stem in sys.argv[1:]:
            run(source)
