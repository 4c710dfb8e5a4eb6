"""`refseg data`: data sets as files."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Draw data sets.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    pass


@app.command()
def draw(
    out: Annotated[Path, typer.Option(help="Folder to write; must be new or empty.")],
    split: Annotated[str, typer.Option(help="train, val, test, hard or held_out.")] = "val",
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 50,
    tier: Annotated[str | None, typer.Option(help="easy, base or hard.", show_default="the split's own")] = None,
    side: Annotated[int, typer.Option(help="Side of the images in pixels, 128 or 256.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed, another benchmark.")] = 0,
) -> None:
    """Draw scenes with expressions: images, masks, and JSON in the format of gRefCOCO."""
    from rich.progress import Progress

    from refseg.datasets.drawn_scenes import DrawnScenes
    from refseg.datasets.drawn_scenes.export import export
    from refseg.errors import UnwritableOutput
    from refseg.outputs import all_or_nothing

    scenes = DrawnScenes(split, count, tier=tier, side=side, seed=seed)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UnwritableOutput(f"{out} exists and is not an empty folder; choose another --out")
    with all_or_nothing(out) as folder, Progress(transient=True) as progress:
        task = progress.add_task("drawing", total=count)
        export(scenes, folder, progress=lambda: progress.advance(task))
    print(f"{out}: {count} scenes, instances.json, grefs(drawn).json")
