"""`refseg bench`: how fast weights answer on this machine, as a table to paste into a report."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.checkpoints import bundled
from refseg.commands import options
from refseg.commands.completion import complete_weights
from refseg.commands.progress import progress


def bench(
    weights: Annotated[
        str,
        typer.Argument(
            help="A bundled name, a checkpoint folder, a hub id, or an open model.", autocompletion=complete_weights
        ),
    ] = bundled.FOR_IMAGES,
    image: Annotated[Path | None, typer.Option(help="Ask about this image.", show_default="a drawn scene")] = None,
    expression: Annotated[
        list[str] | None,
        typer.Option(
            "--expression", "-e", metavar="TEXT", help="Ask this; repeatable.", show_default="sentences about scenes"
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Measured runs of each case.")] = 20,
    cold_runs: Annotated[int, typer.Option(min=0, max=1_000, help="Of these in a new process; 0 leaves them out.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1_024, help="Threads of the processor.", show_default="what torch takes")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all measured seconds as JSON instead.")] = False,
    network: options.Network = None,
    settings: options.WeightsSettings = None,
    device: options.Device = "auto",
    precision: options.Precision = "f32",
) -> None:
    """Measure how fast weights answer, in a new process and once they are loaded, and what memory that takes.

    Prints Markdown. Compare what was measured on one machine in one go; other programs that run beside it count, too.
    """
    from json import dumps

    from refseg.checkpoints.config_file import check_weights
    from refseg.hardware import check_device_name, check_precision_name
    from refseg.preprocessing.images import read_image

    options.add_networks(network)
    check_device_name(device)
    check_precision_name(precision)
    named = options.with_settings(weights, settings) or weights
    check_weights(named, precision)
    pixels = None if image is None else read_image(image)  # or an error before torch is imported

    from refseg.inspection.answer_speed import measure_answers

    measured = measure_answers(
        named,
        image=pixels,
        expressions=expression or [],
        device=device,
        precision=precision,
        threads=threads,
        runs=runs,
        cold_runs=cold_runs,
        progress=progress,
    )
    typer.echo(dumps(measured.to_dict(), indent=1) if json else measured.markdown, nl=json)
