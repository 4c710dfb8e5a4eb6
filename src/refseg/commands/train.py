"""`refseg train`: recipe to weights."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands.progress import progress


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (see refseg recipes), a recipe.yaml, or FILE.py:NAME.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/RECIPE")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting: a.b=value. May be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="Number of processes, each with its own device.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines (docs/scaling.md).")] = 1,
    strategy: Annotated[str, typer.Option(help="ddp, or fsdp: weights are shared among the devices.")] = "ddp",
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="32, bf16 or 16; the recipe's own by default.")] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two states that --resume goes on from.")] = 250,
) -> None:
    """Train a network as a recipe says."""
    from refseg.errors import InvalidInput
    from refseg.extensions import add_extension
    from refseg.recipes import RECIPES, find_recipe

    if accelerator not in ("cpu", "gpu", "auto"):
        raise InvalidInput(f"unknown accelerator {accelerator!r}; choose one of: cpu, gpu, auto")
    if strategy not in ("ddp", "fsdp"):
        raise InvalidInput(f"unknown strategy {strategy!r}; choose one of: ddp, fsdp")
    settings = [*(set_ or []), *([f"precision={precision}"] if precision else [])]
    chosen = find_recipe(add_extension(RECIPES, recipe)).with_settings(settings)
    try:
        from refseg.training.devices import Devices
        from refseg.training.run import train as run
    except ModuleNotFoundError as error:
        raise InvalidInput(f"training needs {error.name}; install it with: pip install 'refseg[train]'") from error
    on = Devices(devices, nodes, accelerator, strategy)  # type: ignore[arg-type]  # one of the two
    run(chosen, out or Path("runs") / chosen.name, resume, on, save_every, progress)
