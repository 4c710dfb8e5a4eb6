"""`refseg data shard`: a data set of files as a few large files."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands.options import Count, Grefs, Images, Name, Root, Split, SplitBy, open_dataset
from refseg.counting import counted


def shard(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write the shards to.")],
    split: Split = "train",
    root: Root = None,
    split_by: SplitBy = None,
    images: Images = None,
    grefs: Grefs = None,
    count: Count = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Megabytes from which on another shard is begun.")] = 1000,
) -> None:
    """Put a split's photographs, expressions and masks into tar files, as WebDataset lays them out."""
    from rich.console import Console
    from rich.progress import Progress

    from refseg.datasets.shards import write_shards
    from refseg.datasets.storage.indexed_dataset import IndexedDataset
    from refseg.errors import InvalidInput
    from refseg.files.atomic import all_or_nothing, check_writable, remove_leftovers
    from refseg.files.lock import only_writer

    check_writable(out)
    stem = f"{name}-{split}"
    with only_writer(out):
        remove_leftovers(out)
        if any(out.glob(f"{stem}-*.tar")):
            raise InvalidInput(f"{out} holds shards {stem}-*.tar already; remove them, or choose another --out")
        samples = open_dataset(name, split=split, root=root, split_by=split_by, images=images, grefs=grefs, count=count)
        if not isinstance(samples, IndexedDataset):
            raise InvalidInput(f"{name} is no data set of files by itself; shard its parts")
        with all_or_nothing(out) as folder, Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("writing", total=len(samples))
            shards = write_shards(samples, stem, folder, shard_size * 10**6, lambda: progress.advance(task))
    print(
        f"{out}: {counted(len(samples), 'image')}, {counted(samples.expression_count, 'expression')} in "
        f"{counted(shards, 'shard')}"
    )
