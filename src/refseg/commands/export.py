"""`refseg export`: weights as graphs for ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.runtimes import RUNTIMES


def export(
    weights: options.GivenWeights,
    to: Annotated[str, typer.Option(help=f"The runtime: {', '.join(RUNTIMES)}.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.", show_default=False)],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="H W",
            help="Height and width of the images, as the network takes them.",
            show_default="any where the network can, else that of the weights",
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the arithmetic: f32; with openvino also bf16.")] = "f32",
    network: options.Network = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the checkpoint that --out holds.")] = False,
) -> None:
    """Export weights to a folder that every command takes as --weights, and that runs without torch's networks.

    Images, words and their fusion stay apart, so that an image is encoded once for all expressions. The answers are
    compared with those of the weights on drawn scenes; if they are others, nothing is written.
    """
    from refseg.checkpoints.config_file import check_destination, check_weights
    from refseg.commands.progress import progress
    from refseg.errors import option
    from refseg.export.choices import check_choices
    from refseg.files.atomic import check_absent, check_writable

    options.add_networks(network)
    check_choices(to, precision, size)
    check_weights(weights)
    check_writable(out)
    check_destination(out)
    if not overwrite:
        check_absent(out, f"add {option('overwrite', True)}, or choose another --out")

    from refseg.export.export import export as export_weights

    done = export_weights(
        weights,
        to,  # type: ignore[arg-type]
        out,
        size_hw=size,
        precision=precision,  # type: ignore[arg-type]
        overwrite=overwrite,
        progress=progress,
    )
    typer.echo(f"exported for {RUNTIMES[to][1]} in {precision}, {done.entry.sizes}")
    typer.echo(f"compared: {done.agreement}")
    typer.echo(f"written: {out}")
