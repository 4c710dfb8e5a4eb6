"""`refseg data draw`: drawn scenes or clips as files."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options


def draw(
    out: Annotated[Path, typer.Option(help="Folder to write; must be new or empty.")],
    split: Annotated[str, typer.Option(help="train, val, test; of scenes also hard, held_out.")] = "val",
    count: Annotated[int, typer.Option(min=1, help="Number of scenes or clips.")] = 50,
    tier: Annotated[
        str | None, typer.Option(help="Of scenes: easy, base or hard.", show_default="the split's own")
    ] = None,
    side: Annotated[int, typer.Option(help="Side of the images in pixels, 128 or 256.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed, another benchmark.")] = 0,
    clips: Annotated[bool, typer.Option("--clips", help="Draw clips, in the layout of Refer-YouTube-VOS.")] = False,
    settings: options.Settings = None,
) -> None:
    """Draw scenes with expressions: images, masks, and JSON in the format of gRefCOCO. Or clips."""
    from functools import partial

    from rich.progress import Progress

    from refseg import datasets
    from refseg.datasets.drawn_clips.export import export as export_clips
    from refseg.datasets.drawn_scenes.export import export as export_scenes
    from refseg.errors import InvalidInput, UnwritableOutput
    from refseg.files.atomic import all_or_nothing, check_writable, remove_leftovers
    from refseg.files.lock import LOCK, only_writer

    if clips and tier:
        raise InvalidInput(f"--tier {tier} is of scenes; drawn clips have one tier")
    name = "drawn_clips" if clips else "drawn_scenes"
    own = {"side": side, "seed": seed} | ({"tier": tier} if tier else {})
    drawn = datasets.build(name, **own | options.settings_of(name, split, count=count, others=settings))
    write = partial(export_clips if clips else export_scenes, drawn)
    written = "clips, meta_expressions.json" if clips else "scenes, instances.json, grefs(drawn).json"
    check_writable(out)
    with only_writer(out):
        remove_leftovers(out)
        if any(file.name != LOCK for file in out.iterdir()):
            raise UnwritableOutput(f"{out} exists and is not an empty folder; choose another --out")
        with all_or_nothing(out) as folder, Progress(transient=True) as progress:
            task = progress.add_task("drawing", total=len(drawn))
            write(folder, progress=lambda: progress.advance(task))
    print(f"{out}: {len(drawn)} {written}")
