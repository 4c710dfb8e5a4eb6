"""`refseg data import`: COCO annotations and expressions to JSON Lines."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.counting import counted


def import_(
    expressions: Annotated[
        Path,
        typer.Argument(help="A table (.csv or .jsonl) of expressions, or refs(...).p or .json.", show_default=False),
    ],
    instances: Annotated[Path, typer.Argument(help="COCO's instances.json.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images.", show_default="--out's")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")] = False,
) -> None:
    """Make a data set of your own, one JSON line an expression, from COCO annotations and expressions for them.

    The table has the columns `expression`; `annotation`, the id in COCO of what it refers to (several: with spaces
    between them), or `none` where it refers to nothing; `image`, the id or file name of the image, needed only where
    `annotation` is none; and, if you like, `split`, `id` and `type`. docs/datasets.md#jsonl shows all.
    """
    from refseg.datasets.tools.import_coco import convert_coco
    from refseg.errors import InvalidInput
    from refseg.files.atomic import all_or_nothing, check_absent, check_writable

    if out.suffix != ".jsonl" or out.is_dir():
        raise InvalidInput(f"--out {out} is not the name of a .jsonl file; give for example --out mine.jsonl")
    if out.exists() and any(given.exists() and out.samefile(given) for given in (expressions, instances)):
        raise InvalidInput(f"--out {out} is one of the files that are read; give another name")
    check_writable(out.parent)
    if not overwrite:
        check_absent(out, "add --overwrite, or choose another --out")
    folder = out.parent.resolve()
    inside = images is None or images.resolve().is_relative_to(folder)
    before = f"{images.resolve().relative_to(folder).as_posix()}/" if images is not None and inside else ""
    imported = convert_coco(expressions, instances, before.removeprefix("./"))
    with all_or_nothing(out.parent) as folder:
        (folder / out.name).write_text("".join(f"{line}\n" for line in imported.lines), encoding="utf-8")
    where = "" if inside else f" --images {images}"  # names within a data set do not leave its folder
    nothing = f", {imported.no_target:,} of them refer to nothing" if imported.no_target else ""
    print(
        f"{out}: {counted(len(imported.lines), 'expression')}{nothing}; next: refseg data check jsonl --root "
        f"{out}{where}"
    )
