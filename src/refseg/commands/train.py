"""`refseg train`: recipe to weights."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from refseg.commands.progress import progress
from refseg.commands.stopping import STOPPED
from refseg.optional import importing

DEFAULTS = {"devices": 1, "nodes": 1, "strategy": "ddp", "accelerator": "auto", "save_every": 250, "save_minutes": 5.0}


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe's name (see refseg recipes), a recipe.yaml, or FILE.py:NAME.",
            show_default="with --resume: that of the run",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="in runs/, named as the recipe")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting: a.b=value. May be repeated.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; --set stages.learn.steps=N prolongs it.")
    ] = False,
    devices: Annotated[int, typer.Option(min=1, help="Number of processes, each with its own device.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines (docs/scaling.md).")] = 1,
    strategy: Annotated[str, typer.Option(help="ddp, or fsdp: weights are shared among the devices.")] = "ddp",
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="32, bf16 or 16; the recipe's own by default.")] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two states that --resume goes on from.")] = 250,
    save_minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes between two such states, where steps are slow.")
    ] = 5.0,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            help="csv, tensorboard, wandb, mlflow or none. May be repeated.", show_default="csv and tensorboard"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Only draw the curves of the run in this folder, to its curves.png."),
    ] = None,
) -> None:
    """Train a network as a recipe says.

    Ctrl-C, or SIGTERM, finishes the step, saves a state and prints the command that goes on; once more stops at once.
    """
    from refseg.errors import InvalidInput, choose_one
    from refseg.extensions import add_extension
    from refseg.recipes import RECIPES, find_recipe
    from refseg.recipes.early_checks import check_early
    from refseg.training.loggers import DEFAULT, check_loggers

    if plot is not None:
        from refseg.training.plot import plot_run

        typer.echo(plot_run(plot))
        return
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InvalidInput(f"unknown accelerator {accelerator!r}; {choose_one(accelerator, ('cpu', 'gpu', 'auto'))}")
    if strategy not in ("ddp", "fsdp"):
        raise InvalidInput(f"unknown strategy {strategy!r}; {choose_one(strategy, ('ddp', 'fsdp'))}")
    check_loggers(logger or DEFAULT)
    settings = [*(set_ or []), *([f"precision={precision}"] if precision else [])]
    if not recipe:
        if not (resume and out):
            raise InvalidInput(
                f"say which recipe to train (refseg recipes lists them), or --resume --out {_newest_run()}"
            )
        if not (out / "recipe.yaml").is_file():
            raise InvalidInput(
                f"{out} holds no run to resume; start one with a recipe, for example: refseg train selector_quick "
                f"--out {shlex.quote(str(out))}"
            )
    chosen = find_recipe(add_extension(RECIPES, recipe or str(out and out / "recipe.yaml"))).with_settings(settings)
    check_early(chosen)
    with importing("training", "train"):
        from refseg.training.devices import Devices
        from refseg.training.run import train as run
        from refseg.training.stopping import TrainingStopped
    on = Devices(devices, nodes, accelerator, strategy)  # type: ignore[arg-type]  # one of the two
    folder = out or Path("runs") / chosen.name
    try:
        run(chosen, folder, resume, on, save_every, progress, save_minutes, tuple(logger or DEFAULT))
    except TrainingStopped as stopped:
        options = {"devices": devices, "nodes": nodes, "strategy": strategy, "accelerator": accelerator}
        options |= {"save_every": save_every, "save_minutes": save_minutes, "logger": logger}
        typer.echo(f"{stopped}. Go on with:\n  {resuming(recipe, folder, settings, options)}")
        if stopped.signal:
            raise typer.Exit(STOPPED + stopped.signal) from stopped
        raise


def _newest_run() -> Path:
    """Returns the folder in runs/ that was changed last, or how one would be called."""
    found = [recipe.parent for recipe in Path("runs").glob("*/recipe.yaml")]
    return max(found, key=lambda run: run.stat().st_mtime, default=Path("runs/selector_quick"))


def resuming(recipe: str, folder: Path, settings: list[str], options: Mapping[str, Any]) -> str:
    """Returns the command that goes on with a run: as this one, from the recipe that lies in the run's folder.

    A recipe of FILE.py:NAME is given again, since a recipe.yaml names no file that is run.
    """
    from refseg.extensions import is_extension

    words = ["refseg", "train"]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        words = ["torchrun", "...", "-m", *words]  # its options are known to who typed them
    if is_extension(recipe):
        words += [recipe, *(word for setting in settings for word in ("--set", setting))]
    words += ["--resume", "--out", str(folder)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None and each != DEFAULTS.get(name):
                words += [f"--{name.replace('_', '-')}", str(each)]
    return shlex.join(words)
