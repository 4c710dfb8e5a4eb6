"""`refseg data stats`: statistics of a data set."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from refseg.commands.options import Count, Grefs, Images, Name, Root, Split, SplitBy, open_images
from refseg.counting import counted

TEXT, TABLE, PLOTS = "stats.md", "stats.json", "stats.png"
MARKS = {TEXT: " different words, ", TABLE: '"expressions_per_image": ', PLOTS: "refseg data stats"}
"""Names of its files, and the text by which each is known."""


def stats(
    name: Name,
    split: Split = "train",
    root: Root = None,
    split_by: SplitBy = None,
    images: Images = None,
    grefs: Grefs = None,
    count: Count = None,
    out: Annotated[Path | None, typer.Option(help="Folder for stats.md, stats.json and the plots, stats.png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Count a data set's expressions: how many, how long, of what type, about what, in which words."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.progress import Progress

    from refseg.datasets.tools.stats import describe, figure_class
    from refseg.files.atomic import all_or_nothing, check_writable
    from refseg.files.earlier import SOFTWARE, check_earlier, named

    if out:
        check_writable(out)
        replaced = check_earlier({out / name: mark for name, mark in MARKS.items()})
        figure_class()  # or an error before the masks are drawn
    samples = open_images(name, split=split, root=root, split_by=split_by, images=images, grefs=grefs, count=count)
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def track(items: Sequence[Any], what: str) -> Iterable[Any]:
            return progress.track(items, total=len(items), description=what)

        found = describe(samples, track)
    title = ", ".join(
        filter(None, [name, split_by, f"split {split}", f"the first {counted(count, 'image')}" if count else ""])
    )
    if out:
        figure = found.figure()
        figure.suptitle(title.replace("$", r"\$"))  # or matplotlib reads a formula
        with all_or_nothing(out) as folder:
            figure.savefig(folder / PLOTS, dpi=110, metadata={SOFTWARE: MARKS[PLOTS]})
            (folder / TABLE).write_text(json.dumps(found.to_dict(), indent=1), encoding="utf-8")
            (folder / TEXT).write_text(found.markdown(title), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        Console().print(Markdown(found.markdown(title)))
        if out:
            print(f"\nwritten: {', '.join(named(out / name, replaced) for name in MARKS)}")
