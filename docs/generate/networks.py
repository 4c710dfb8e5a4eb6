"""A page for each network: its header, where its equations are computed, presets, the paper's figures, tables."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refseg
from refseg.encoders.configs import BertConfig, ClipTextConfig
from refseg.inspection.costs import read_costs
from refseg.networks import NETWORKS, PRESETS, configured, network_class
from refseg.networks.papers import PAPERS, REMARKS, REPORTED
from refseg.recipes import RECIPES
from refseg.studies import STUDIES

PACKAGE = Path(refseg.__file__).parent
NAMES = tuple(NETWORKS)
TITLES = {
    "selector": "Selector",
    "selector_video": "Selector for videos",
    "cmpc": "CMPC",
    "cmpc_video": "CMPC for videos",
    "cmirnet": "CMIRNet",
    "dcmfnet": "DCMFNet",
}
EQUATION = re.compile(r"Eqs?\. \(?(\d+)\)?(?:,? (?:to|and) \(?(\d+)\)?|, \(?(\d+)\)?)?")
SECTIONS = {
    "Read with": "Where to read it",
    "Stages": "Stages",
    "Departs": "Where it departs from the paper",
    "Idle": "Idle parameters",
    "Units": "Units",
    "Limits": "Limits",
    "Notation": "Notation",
    "Shapes": "Notation",
}
FIELD = re.compile(r"^(\w[\w ]{0,10}?) {2,}(.*)$")


@dataclass(frozen=True)
class Mark:
    """A place in the code that names an equation."""

    number: int
    last: int
    file: str
    place: str


def title(name: str) -> str:
    """Returns the network's name as papers write it."""
    return TITLES.get(name, name.upper())


def overview() -> str:
    """Returns the page that lists all networks."""
    rows = [
        "# Networks\n",
        "Each page tells how the network works, where its equations are computed, where it departs from the paper and",
        "why, what its presets cost, and what the paper reports. `refseg networks` prints the costs.\n",
        "| network | paper | idea |",
        "|---|---|---|",
    ]
    for name in NAMES:
        header = docstring(name)
        paper = PAPERS.get(name)
        where = f"[{paper.venue}]({paper.link})" if paper else "ours"
        rows.append(f"| [{title(name)}]({name}.md) | {where} | {_idea(header)} |")
    return "\n".join(rows) + "\n"


def page(name: str) -> str:
    """Returns the page of a network as Markdown."""
    header = docstring(name)
    parts = [f"# {title(name)}\n", f"{_idea(header)[:1].upper()}{_idea(header)[1:]}\n"]
    if paper := PAPERS.get(name):
        parts.append(f"*{paper.title}*. {paper.venue}. <{paper.link}>\n")
    if idea := fields(header).get("Idea"):
        parts.append(f"{_flat(idea)}\n")
    parts.append(f"![How data flow through {title(name)}]({name}.svg)\n")
    parts.append(_usage(name))
    for field, heading in SECTIONS.items():
        if text := fields(header).get(field):
            parts.append(f"## {heading}\n\n{_section(text)}\n")
    parts += [text for text in (_equations(name), _presets(name), _figures(name), _tables(name)) if text]
    return "\n".join(parts)


def docstring(name: str) -> str:
    """Returns the header of a network's file."""
    return inspect.cleandoc(inspect.getmodule(network_class(name)).__doc__ or "")


def fields(header: str) -> Mapping[str, str]:
    """Returns the parts of a header ("Paper", "Read with", "Departs", ...), each with its lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in header.splitlines():
        if match := FIELD.match(line):
            lines = found.setdefault(match[1], [match[2]])
        elif lines is not None and line.startswith(" " * 11):
            lines.append(line[11:])
        elif line.strip():
            lines = None
    return {field: "\n".join(lines) for field, lines in found.items()}


def _idea(header: str) -> str:
    return header.splitlines()[0].partition(": ")[2]


def _flat(text: str) -> str:
    return " ".join(text.split())


def _section(text: str) -> str:
    """Returns a part of a header: a table where its lines have keys (Eq. 1, Loss), paragraphs elsewhere."""
    parts: list[str] = []
    rows: list[list[str]] = []
    lines: list[str] = []

    def end_paragraph() -> None:
        if lines:
            parts.append(" ".join(lines))
            lines.clear()

    def end_table() -> None:
        if rows:
            parts.append("\n".join(["| where | what |", "|---|---|", *(f"| {a} | {_cell(b)} |" for a, b in rows)]))
            rows.clear()

    for line in text.splitlines():
        if match := re.match(r"^(\S.{0,10}?)\s{2,}(\S.*)$", line):
            end_paragraph()
            rows.append([match[1], match[2]])
        elif line.startswith(" " * 12) and rows:
            rows[-1][1] += f" {line.strip()}"
        else:
            end_table()
            lines.append(line.strip())
    end_paragraph()
    end_table()
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _usage(name: str) -> str:
    preset = next((p for p, family in PRESETS.items() if family == name), name)
    small = next((r for r in RECIPES if r in (f"{name}_small", name)), None)
    size = "" if _brings_tokenizer(preset) else ", vocabulary_size=1000"
    said = f'```python\nimport refseg\n\nnetwork = refseg.create_network("{preset}"{size})  # fresh weights\n```\n'
    if small:
        data = RECIPES[small]().data.dataset.replace("_", " ")
        said += f"\n```sh\nrefseg train {small}          # on {data}, on a CPU\n```\n"
    return said


def _brings_tokenizer(preset: str) -> bool:
    """Whether the word encoder has a vocabulary of its own; else it is that of the training data."""
    return isinstance(dict(configured(preset, {})).get("word_encoder"), BertConfig | ClipTextConfig)


def _equations(name: str) -> str:
    marks = sorted(equations(name), key=lambda mark: (mark.number, mark.last, mark.file))
    if not marks:
        return ""
    rows = ["## Equations in the code\n", "| equation | file | in |", "|---|---|---|"]
    for mark in marks:
        number = f"({mark.number})" if mark.last == mark.number else f"({mark.number}) to ({mark.last})"
        rows.append(f"| {number} | `{mark.file}` | `{mark.place}` |")
    return "\n".join(dict.fromkeys(rows)) + "\n"


def equations(name: str) -> Iterator[Mark]:
    """Yields the places that name an equation of the network's paper, in its files and the blocks of its header."""
    for file in files(name):
        yield from _marks(file)


def files(name: str) -> list[Path]:
    """Returns the files of a network, of those that it takes parts of, and of the blocks that its header names."""
    home = Path(inspect.getfile(network_class(name)))
    found = [home] if home.parent.name == "networks" else sorted(home.parent.glob("*.py"))
    others = re.findall(r"^from refseg\.networks\.(\w+) import", home.read_text(encoding="utf-8"), re.M)
    found += [home.with_name(f"{other}.py") for other in others if other in NAMES and other != name]
    found += [PACKAGE / "blocks" / f"{block}.py" for block in re.findall(r"`blocks\.(\w+)", docstring(name))]
    return list(dict.fromkeys(found))


def _marks(file: Path) -> Iterator[Mark]:
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    head = tree.body[0].end_lineno or 0  # the header says where to read what; it is on the page itself
    for number, line in enumerate(source.splitlines(), start=1):
        if number <= head:
            continue
        place = _place(tree, number)
        if place.endswith(".views"):  # what is shown of an equation, not where it is computed
            continue
        for match in EQUATION.finditer(line):
            first = int(match[1])
            last = int(match[2] or match[3] or first)
            yield Mark(first, last, str(file.relative_to(PACKAGE)), place)


def _place(tree: ast.AST, number: int) -> str:
    """Returns the class and function around a line."""
    names = []
    body: list[Any] = [tree]
    while body:
        found = None
        for node in ast.iter_child_nodes(body.pop()):
            inside = getattr(node, "lineno", 0) <= number <= (getattr(node, "end_lineno", 0) or 0)
            if inside and isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.append(node.name)
                found = node
        if found is not None:
            body.append(found)
    return ".".join(names) or "the module"


def _presets(name: str) -> str:
    names = [preset for preset, family in PRESETS.items() if family == name] or [name]
    rows = [
        "## Presets\n",
        "Parameters in millions, multiply-adds in 10⁹, of one image and one expression, without the word encoder's.\n",
        "| preset | encoders | parameters | paper | multiply-adds | paper | image |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    remarks = []
    for preset in names:
        cost = read_costs(preset)
        encoders = ", ".join(cost[part] for part in ("image_encoder", "word_encoder") if part in cost) or "its own"
        reported = REPORTED.get(preset, {}).get("total")
        counted = f"{cost['parameters'] / 1e6:.1f}", f"{cost['multiply_adds'] / 1e9:.1f}"
        papers = ["–", "–"]
        if reported:
            papers = [f"{reported.parameters_m:.1f}", f"{reported.multiply_adds_g:.1f}"]
        side = cost["image_size"]
        rows.append(f"| `{preset}` | {encoders} | {counted[0]} | {papers[0]} | {counted[1]} | {papers[1]} | {side} |")
        if preset in REMARKS:
            remarks.append(f"`{preset}`: {REMARKS[preset]}")
    return "\n".join([*rows, *(["", *remarks] if remarks else [])]) + "\n"


def _figures(name: str) -> str:
    """Returns what the paper reports of each training that a recipe repeats."""
    rows = []
    for recipe_name, make in RECIPES.items():
        recipe = make()
        if PRESETS.get(recipe.network, recipe.network) != name or not (recipe.about and recipe.about.reports):
            continue
        figures = ", ".join(f"{what} {value:g}" for what, value in recipe.about.reports.items())
        rows.append(f"| `{recipe_name}` | {_cell(recipe.about.row)} | {figures} |")
    if not rows:
        return ""
    return (
        "\n".join(
            [
                "## What the paper reports\n",
                "None of these was trained here.\n",
                "| recipe | row | figures |",
                "|---|---|---|",
                *rows,
            ]
        )
        + "\n"
    )


def _tables(name: str) -> str:
    """Returns the tables of the paper that `refseg study` repeats."""
    rows = [f"| `refseg study {key}` | {_cell(one.table)} |" for key, one in STUDIES.items() if one.network == name]
    return "\n".join(["## Tables as commands\n", "| command | table |", "|---|---|", *rows]) + "\n" if rows else ""
