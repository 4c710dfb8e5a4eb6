"""What PyPI would show of the README."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SUBSTITUTIONS = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
relative_links = runpy.run_path(str(ROOT / ".ci" / "release_check.py"))["relative_links"]


def test_no_link_of_the_readme_is_broken_on_pypi():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert relative_links(text)
    for substitution in SUBSTITUTIONS:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert not relative_links(text)
    assert "https://arxiv.org" in text and "#" in text


def test_links_lead_to_the_address_that_the_project_states():
    address = PROJECT["project"].get("urls", {}).get("Repository", "no address")
    used = [found for one in SUBSTITUTIONS for found in re.findall(r"https?://[^)]+", one["replacement"])]
    assert all(one.startswith(address) for one in used)


@pytest.mark.parametrize(
    "text",
    [
        "[text](docs/page.md)",
        "[text\nin two lines](docs/page.md#part 'title')",
        "![picture](docs/demo.png)",
        "[![picture](https://example.org/badge.svg)](LICENSE)",
        "[text][name]\n\n[name]: docs/page.md",
        "| a |\n|---|\n| [text](docs/page.md) |",
        'Text <a href="docs/page.md">text</a>',
        "<p>\n<img width=3 src='docs/demo.png'>\n</p>",
        "[part](#install)",
    ],
)
def test_a_relative_link_of_each_kind_is_seen(text):
    assert len(relative_links(text)) == 1


def test_code_and_whole_addresses_are_no_relative_links():
    assert not relative_links("`[a](b)` [x](https://example.org) <mailto:a@example.org>\n\n```python\n[f](x)\n```")
