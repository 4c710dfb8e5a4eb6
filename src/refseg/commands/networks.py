"""`refseg networks`: the networks, what they cost, and what their papers say they cost."""

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.commands.columns import align
from refseg.commands.completion import complete_networks
from refseg.counting import counted
from refseg.inspection.costs import ENCODERS

if TYPE_CHECKING:
    from refseg.adapters.entry import AdapterEntry

CONVENTION = (
    "Multiply-adds of one image (or clip) and one expression, without the word encoder, as torch.utils.flop_counter "
    "counts them (attention products in, normalisations out)"
)
NEXT = "One alone: refseg networks NAME. Trained ones: refseg weights list. To train one: refseg recipes"
PAPER_CONVENTION = (
    "As thop counts, like the paper: convolutions, linears, normalisations and upsampling, no attention products; "
    "parameters of these layers; without the word encoder"
)


def networks(
    preset: Annotated[
        str,
        typer.Argument(
            help="Only this preset or open model, or those of a network or a pattern: 'lavt*'.",
            show_default="all",
            autocompletion=complete_networks,
        ),
    ] = "",
    parts: Annotated[bool, typer.Option("--parts", help="The parts of a preset beside its paper's table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the networks: papers, encoders, parameters, multiply-adds, published weights, recipes; then open models."""
    from refseg.adapters.catalogue import CATALOGUE as ADAPTERS
    from refseg.commands.matching import match
    from refseg.errors import InvalidInput
    from refseg.networks import NETWORKS, PRESETS, listed

    names = listed()
    adapters = [entry for name, entry in ADAPTERS.items() if preset in ("", name)]
    if preset in ADAPTERS and not parts:
        if as_json:
            typer.echo(json.dumps(adapters[0].about(), indent=1))
        else:
            _print_adapters(adapters)
        return
    if preset in names:
        chosen = [preset]
    elif preset in NETWORKS:
        chosen = [name for name in names if PRESETS.get(name, name) == preset]
    else:
        chosen = match(preset, names, "presets") if preset else names
    if parts and len(chosen) > 1:
        raise InvalidInput(
            "--parts is about one preset; name it, for example: refseg networks cmirnet_swin_base --parts"
        )
    rows = [row(name) for name in chosen]
    if parts and len(rows[0]["parts"]) == 1:
        raise InvalidInput(f"{chosen[0]} names no parts; those of CMIRNet do, for example cmirnet_swin_base")
    if as_json:
        typer.echo(json.dumps(rows[0] if preset in names else rows, indent=1))
    elif parts:
        _print_parts(rows[0])
    else:
        _print(rows)
        if adapters:
            _print_adapters(adapters)
        if len(rows) > 1:
            typer.echo(f"\n{NEXT}")


def row(name: str) -> dict[str, Any]:
    """All that is known of a preset, ready for JSON."""
    from refseg.checkpoints.catalogue import CATALOGUE
    from refseg.inspection.costs import read_costs
    from refseg.networks import PRESETS
    from refseg.networks.papers import PAPERS, REMARKS, REPORTED

    family = PRESETS.get(name, name)
    costs = dict(read_costs(name))
    parts = costs.pop("parts")
    paper = PAPERS.get(family)
    return {
        "preset": name,
        "network": family,
        "paper": paper and paper.model_dump(),
        **costs,
        "convention": CONVENTION,
        "parts": parts,
        "parts_in_paper": {part: value.model_dump() for part, value in REPORTED.get(name, {}).items()},
        "parts_convention": PAPER_CONVENTION,
        "remark": REMARKS.get(name, ""),
        "published_weights": [entry.name for entry in CATALOGUE if entry.preset == name],
        "licence": _licence(name),
        "recipes": _recipes().get(name, []),
    }


@cache
def _recipes() -> dict[str, list[str]]:
    """Names of recipes by the network that they train."""
    from refseg.recipes import RECIPES

    names: dict[str, list[str]] = {}
    for name, recipe in RECIPES.items():
        names.setdefault(recipe().network, []).append(name)
    return names


def _licence(name: str) -> str:
    from refseg.checkpoints.catalogue import CATALOGUE, WEIGHTS_LICENCE
    from refseg.checkpoints.locate import bundled_names

    if name in bundled_names():
        return "bundled, licence Apache-2.0"
    return WEIGHTS_LICENCE if any(entry.preset == name for entry in CATALOGUE) else "none published"


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for family in dict.fromkeys(row["network"] for row in rows):
        some = [row for row in rows if row["network"] == family]
        paper = some[0]["paper"]
        title = f"“{paper['title']}”, {paper['venue']}, {paper['link']}" if paper else "of this project"
        console.print(f"[bold]{family}[/]  {title}")
        lines = [
            ["", "parameters", "+ words", "paper*", "multiply-", "paper*", "image"],
            ["preset", "M", "M", "M", "adds G", "G", "side"],
        ]
        for row in some:
            reported = row["parts_in_paper"].get("total", {})
            lines.append(
                [
                    row["preset"],
                    f"{row['parameters'] / 1e6:.1f}",
                    f"{row['word_encoder_parameters'] / 1e6:.1f}" if row["word_encoder_parameters"] else "",
                    _or_not_given(reported.get("parameters_m"), paper),
                    f"{row['multiply_adds'] / 1e9:.1f}",
                    _or_not_given(reported.get("multiply_adds_g"), paper),
                    str(row["image_size"]),
                ]
            )
        console.print("\n".join(align(lines, [True, *[False] * 6])))
        for row in some:
            encoders = " + ".join(row[part] for part in ENCODERS if part in row)
            published = f"{len(row['published_weights'])} published, licence " if row["published_weights"] else ""
            recipes = f"recipes {', '.join(row['recipes']) or 'none'}"
            if len(row["recipes"]) > 3 and len(rows) > 1:
                recipes = f"{counted(len(row['recipes']), 'recipe')} (refseg recipes {family})"
            about = [encoders, f"weights {published}{row['licence']}", recipes]
            console.print(f"{row['preset']}: {'; '.join(filter(None, about))}")
            if row["remark"]:
                console.print(f"  * {row['remark']}")
        console.print()
    console.print(f"{CONVENTION}.")
    if any(row["paper"] for row in rows):
        line = '* "-": not given. Papers count otherwise: refseg networks cmirnet_swin_base --parts.'
        console.print(line)


def _print_adapters(entries: "list[AdapterEntry]") -> None:
    from rich.console import Console

    from refseg.adapters.hub_model import size_text

    console = Console(highlight=False, soft_wrap=True)
    title = "[bold]open models[/]  of others, used as they were trained; nothing of them was measured by us"
    console.print(f"\n{title}")
    lines = [["", "", "parameters", "", ""], ["name", "of", "M", "download", "here"]]
    for entry in entries:
        here = "yes" if entry.is_installed() else "no"
        lines.append([entry.name, entry.title, f"{entry.parameters / 1e6:.0f}", size_text(entry.size), here])
    console.print("\n".join(align(lines, [True, True, False, False, True])))
    for entry in entries:
        licences = ", ".join(dict.fromkeys(model.licence for model in entry.default_models))
        console.print(f"{entry.name}: {entry.knows}; cannot {entry.cannot}")
        console.print(f"  computed once an image: {entry.encodes_once}")
        console.print(f"  exists: {entry.exists}")
        console.print(f"  licence {licences}; refseg weights get {entry.name}")


def _or_not_given(figure: float | None, paper: Any) -> str:
    return f"{figure:.1f}" if figure else "-" if paper else ""


def _print_parts(row: dict[str, Any]) -> None:
    from rich.console import Console

    lines = [["part", "multiply-adds", "paper", "", "parameters", "paper", ""]]
    for part, cost in row["parts"].items():
        cells = [part]
        paper = row["parts_in_paper"].get(part, {})
        for ours, theirs, letter in (
            (cost["multiply_adds"] / 1e9, paper.get("multiply_adds_g"), "G"),
            (cost["parameters"] / 1e6, paper.get("parameters_m"), "M"),
        ):
            cells += [f"{ours:.2f} {letter}", f"{theirs:.2f} {letter}" if theirs else "not given"]
            cells.append(f"{ours / theirs - 1:+.1%}".replace("-0.0%", "+0.0%") if theirs else "")
        lines.append(cells)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{row['preset']}[/] at {row['image_size']} x {row['image_size']}")
    console.print("\n".join(align(lines, [True, *[False] * 6])))
    console.print(f"\n{PAPER_CONVENTION}.")
    if row["remark"]:
        console.print(row["remark"])
