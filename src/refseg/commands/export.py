"""`refseg export`: weights as graphs for ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.completion import complete_datasets
from refseg.runtimes import RUNTIMES

SPLIT, COUNT = "val", 200  # of the images for int8


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
    precision: Annotated[str, typer.Option(help="Of the arithmetic: f32; with openvino also bf16 or int8.")] = "f32",
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Data set for int8: half of its images tell the ranges of numbers, half what is lost.",
            metavar="DATASET",
            autocompletion=complete_datasets,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Its part, one that was not trained on.")] = SPLIT,
    root: options.Root = None,
    split_by: options.SplitBy = None,
    count: Annotated[int, typer.Option(min=1, help="Its first so many images.")] = COUNT,
    network: options.Network = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the checkpoint that --out holds.")] = False,
) -> None:
    """Export weights to a folder that every command takes as --weights, and that runs without torch's networks.

    Images, words and their fusion stay apart, so that an image is encoded once for all expressions. The answers are
    compared with those of the weights on drawn scenes; if they are others, nothing is written.
    """
    from refseg.checkpoints.config_file import check_destination, check_weights
    from refseg.commands.progress import progress
    from refseg.errors import InvalidInput, option
    from refseg.export.choices import check_choices, check_exportable
    from refseg.files.atomic import check_absent, check_writable

    options.add_networks(network)
    if calibration is None and (root or split_by or (split, count) != (SPLIT, COUNT)):
        raise InvalidInput("--split, --root, --split-by and --count are of --calibration; add it, or leave them out")
    check_choices(to, precision, size, calibration is not None)
    check_exportable(weights)
    check_weights(weights)
    check_writable(out)
    check_destination(out)
    if not overwrite:
        check_absent(out, f"add {option('overwrite', True)}, or choose another --out")

    samples = None
    if calibration is not None:
        from refseg import datasets

        dataset = options.add_dataset(calibration)
        found = datasets.build_images(dataset, **options.settings_of(dataset, split, root, split_by, count=count))
        samples = [found[i] for i in range(min(count, len(found)))]

    from refseg.export.export import export as export_weights

    done = export_weights(
        weights,
        to,  # type: ignore[arg-type]
        out,
        size_hw=size,
        precision=precision,  # type: ignore[arg-type]
        calibration=samples,
        overwrite=overwrite,
        progress=progress,
    )
    typer.echo(f"exported for {RUNTIMES[to][1]} in {precision}, {done.entry.sizes}")
    typer.echo(f"compared: {done.agreement}")
    if done.quantized:
        typer.echo(f"quantised: {done.quantized}")
    typer.echo(f"written: {out}")
