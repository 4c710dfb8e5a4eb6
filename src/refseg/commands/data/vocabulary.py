"""`refseg data vocabulary`: the words of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands.options import Root, SplitBy, open_dataset
from refseg.counting import counted

DRAWN_COUNT = 1000
"""Drawn images or clips that are read where no number is given."""


def vocabulary(
    out: Annotated[Path, typer.Option(help="Text file to write, one word a line.")],
    dataset: Annotated[str, typer.Option(help="Whose expressions of split train.")] = "drawn_scenes",
    root: Root = None,
    split_by: SplitBy = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of images or clips.", show_default="all, of drawn ones 1000")
    ] = None,
    at_least: Annotated[int, typer.Option(min=1, help="How often a word must stand there.")] = 1,
    seed: Annotated[int, typer.Option(help="Of drawn ones: another seed, another benchmark.")] = 0,
) -> None:
    """List the words of a data set's training expressions, the special ones first."""
    from rich.progress import track

    from refseg.datasets import class_of
    from refseg.errors import UnwritableOutput
    from refseg.files.atomic import all_or_nothing, check_writable
    from refseg.files.earlier import check_earlier, named
    from refseg.text.word_list import SPECIAL, WordList

    if out.is_dir():
        raise UnwritableOutput(f"{out} is a folder; give the file to write, for example --out words.txt")
    check_writable(out.parent)
    replaced = check_earlier({out: "\n".join(SPECIAL)})
    drawn = class_of(dataset).version is not None
    amount = {"count": count or DRAWN_COUNT, "seed": seed} if drawn else {"count": count}
    samples = open_dataset(dataset, split="train", root=root, split_by=split_by, **amount)
    images = track(samples, "reading", len(samples), transient=True)
    texts = [text.text for sample in images for text in sample.expressions]
    words = WordList.of(texts, at_least=at_least)
    with all_or_nothing(out.parent) as folder:
        words.write(folder / out.name)
    told = (
        f"{counted(len(words) - len(SPECIAL), 'word')} of {counted(len(texts), 'expression')}, and {', '.join(SPECIAL)}"
    )
    print(f"{named(out, replaced)}: {told}")
