"""`refseg train`: recipe to weights."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see --list), or the path of a recipe.yaml.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/RECIPE")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting: a.b=value. May be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="Number of processes, each with its own device.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="32 or bf16; the recipe's own by default.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and stop.")] = False,
) -> None:
    """Train a network as a recipe says."""
    from refseg.errors import InvalidInput
    from refseg.recipes import RECIPES, find_recipe

    if list_:
        for name in RECIPES:
            print(f"{name:24} {find_recipe(name).network}")
        return
    if not recipe:
        raise InvalidInput(f"name a recipe: {', '.join(RECIPES)}, or the path of a recipe.yaml")
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InvalidInput(f"unknown accelerator {accelerator!r}; choose one of: cpu, gpu, auto")
    settings = [*(set_ or []), *([f"precision={precision}"] if precision else [])]
    chosen = find_recipe(recipe).with_settings(settings)
    try:
        from refseg.training.run import train as run
    except ModuleNotFoundError as error:
        raise InvalidInput(f"training needs {error.name}; install it with: pip install 'refseg[train]'") from error
    run(chosen, out or Path("runs") / chosen.name, resume, devices, accelerator)
