"""The pages of the site: each is in the menu, and links lead somewhere; `make docs` builds it."""

import re
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def of_menu(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for one in (entry if isinstance(entry, list) else entry.values()) for page in of_menu(one)]


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def test_the_menu_names_each_page_once():
    menu = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(of_menu(menu)) == [str(page.relative_to(DOCS)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert target.resolve().is_relative_to(DOCS), f"{link} leaves the site"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_each_config_is_told_once_and_each_of_its_fields_once():
    names, fields = [], []
    for section in re.split(r"^### ", (DOCS / "reference" / "configs.md").read_text(encoding="utf-8"), flags=re.M)[1:]:
        names.append(section.split()[0])
        fields += [(names[-1], field) for field in re.findall(r"^\| `(\w+)` \|", section, re.M)]
    assert len(set(names)) == len(names) and len(set(fields)) == len(fields)
