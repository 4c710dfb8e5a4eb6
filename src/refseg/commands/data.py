"""`refseg data`: data sets as files."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Draw data sets, list their words.", no_args_is_help=True)


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


@app.command()
def vocabulary(
    out: Annotated[Path, typer.Option(help="Text file to write, one word a line.")],
    dataset: Annotated[str, typer.Option(help="Whose expressions of split train.")] = "drawn_scenes",
    count: Annotated[int, typer.Option(min=1, help="Number of images.")] = 1000,
    at_least: Annotated[int, typer.Option(min=1, help="How often a word must stand there.")] = 1,
    seed: Annotated[int, typer.Option(help="Of drawn scenes: another seed, another benchmark.")] = 0,
) -> None:
    """List the words of a data set's training expressions, the special ones first."""
    from rich.progress import track

    from refseg import datasets
    from refseg.encoders.word_list import SPECIAL, WordList
    from refseg.errors import UnwritableOutput
    from refseg.outputs import all_or_nothing, check_writable

    if out.is_dir():
        raise UnwritableOutput(f"{out} is a folder; give the file to write, for example --out words.txt")
    check_writable(out.parent)
    samples = datasets.build(dataset, split="train", count=count, seed=seed)
    texts = [text.text for sample in track(samples, "reading", count, transient=True) for text in sample.expressions]
    words = WordList.of(texts, at_least=at_least)
    with all_or_nothing(out.parent) as folder:
        words.write(folder / out.name)
    print(f"{out}: {len(words) - len(SPECIAL):,} words of {len(texts):,} expressions, and {', '.join(SPECIAL)}")
