"""`refseg explain`: what a network attends to while it answers, as one figure."""

from pathlib import Path
from typing import Annotated

import typer


def explain(
    image: Annotated[Path, typer.Argument(help="An image file.", show_default=False)],
    expression: Annotated[str, typer.Argument(help='What to find: "the red star".', show_default=False)],
    weights: Annotated[str, typer.Option(help="A bundled name, a checkpoint folder, or a hub id.")] = "selector",
    out: Annotated[Path, typer.Option(help="The figure to write (.png).")] = Path("explanation.png"),
    npz: Annotated[
        Path | None, typer.Option(help="Also write what is drawn as arrays (.npz).", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Draw what a network attends to when it reads EXPRESSION and looks at IMAGE."""
    from refseg.errors import InvalidInput
    from refseg.images import read_image
    from refseg.outputs import all_or_nothing, check_writable

    for path, ending in ((out, ".png"), (npz, ".npz")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidInput(f"{path} does not end in {ending}; give the file's name, for example --out answer.png")
        if path is not None:
            check_writable(path.parent)
    pixels = read_image(image)

    import numpy as np

    from refseg.explain import explain as look
    from refseg.explain import figure
    from refseg.segmenter import load

    explanation = look(load(weights, device), pixels, expression)
    drawn = figure(explanation)
    with all_or_nothing(out.parent) as folder:
        drawn.savefig(folder / out.name, dpi=120)
    typer.echo(out)
    if npz is not None:
        with all_or_nothing(npz.parent) as folder:
            np.savez_compressed(folder / npz.name, allow_pickle=False, **explanation.arrays())
        typer.echo(npz)
    for warning in explanation.result.warnings:
        typer.echo(f"warning: {warning}", err=True)
