"""`refseg recipes`: what there is to train, and what the papers report for it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.commands.columns import align
from refseg.commands.completion import complete_recipes
from refseg.counting import counted

if TYPE_CHECKING:
    from refseg.recipes.recipe import Recipe, Stage


def recipes(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Show this one in full; of a part of a name, or a pattern ('*_refcoco'), list those that match.",
            show_default="list all",
            autocompletion=complete_recipes,
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the recipes, or show one: what it trains, on what, and what the paper reports and says."""
    from refseg.commands.matching import match
    from refseg.recipes import RECIPES, find_recipe

    single = recipe in RECIPES or recipe.endswith((".yaml", ".yml"))
    names = [recipe] if single else match(recipe, RECIPES, "recipes") if recipe else list(RECIPES)
    single = single or (len(names) == 1 and bool(recipe))
    chosen = [find_recipe(name) for name in names]
    rows = [row(name, one) for name, one in zip(names, chosen, strict=True)]
    if as_json:
        typer.echo(json.dumps(rows[0] | {"recipe": chosen[0].model_dump(mode="json")} if single else rows, indent=1))
    elif single:
        _show(rows[0], chosen[0])
    else:
        _list(rows)


def row(name: str, recipe: "Recipe") -> dict[str, Any]:
    """What is said of a recipe, ready for JSON; figures of papers are in their own units."""
    about = recipe.about.model_dump() if recipe.about else {}
    return {
        "name": name,
        "network": recipe.network,
        "data": " ".join(filter(None, (recipe.data.dataset, getattr(recipe.data, "settings", {}).get("split_by")))),
        "row": about.get("row", ""),
        "reports": about.get("reports", {}),
        "protocol": about.get("protocol", "standard"),
        "paper_says": about.get("paper_says", ""),
        "release_does": about.get("release_does", ""),
        "length": " + ".join(length(stage) for stage in recipe.stages),
    }


def length(stage: "Stage") -> str:
    """How long a stage is, in a few words."""
    amount = f"{stage.epochs:g} epochs" if stage.steps is None else counted(stage.steps, "step")
    return f"{amount} of {stage.images}"


def _list(rows: list[dict[str, Any]]) -> None:
    columns = "name", "network", "data", "protocol"
    table = [("recipe", *columns[1:], "paper reports")]
    table += [(*(one[column] for column in columns), _reports(one, brief=True)) for one in rows]
    typer.echo("\n".join(align(table, [True] * len(table[0]))))
    footer = f"\nOne in full: refseg recipes {rows[0]['name']}. To train it: refseg train {rows[0]['name']}."
    if any(one["reports"] for one in rows):
        footer += " Figures are those that we know of, and hold for their protocol only."
    typer.echo(footer)
    if of_a2d := [one["name"] for one in rows if one["data"] == "a2d_sentences"]:
        typer.echo(f"JHMDB Sentences has no recipe: weights of {of_a2d[0]} and the like are scored on it as they are.")


def _show(one: dict[str, Any], recipe: "Recipe") -> None:
    from refseg.recipes.recipe import NOT_STATED

    for label, text in (
        ("row", one["row"]),
        ("paper reports", _reports(one)),
        ("protocol", f"{NOT_STATED}; score yours under standard" if one["protocol"] == NOT_STATED else one["protocol"]),
        ("paper says", one["paper_says"]),
        ("release does", one["release_does"]),
    ):
        if text:
            typer.echo(f"# {label}: {text}")
    typer.echo(recipe.to_yaml(), nl=False)


def _reports(one: dict[str, Any], brief: bool = False) -> str:
    """Figures of a metric side by side: "oIoU val 72.73 testA 75.82"; in brief without Prec@X."""
    by_metric: dict[str, list[str]] = {}
    for name, value in one["reports"].items():
        split, _, metric = name.rpartition(" ")
        if brief and metric.startswith("Prec@"):
            continue
        by_metric.setdefault(metric, []).append(f"{split} {value:.2f}".strip())
    return "; ".join(f"{metric} {', '.join(values)}" for metric, values in by_metric.items())
