"""`refseg explain`: what a network attends to while it answers, as one figure, of an image or a frame of a video."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.checkpoints import bundled
from refseg.commands import options
from refseg.commands.options import Weights

MARK, ARRAYS_MARK = "refseg explain", "pieces.npy"  # of its figure, and of its arrays


def explain(
    image: Annotated[
        Path,
        typer.Argument(help="An image or a video: a file, an animation, or a folder of frames.", show_default=False),
    ],
    expression: Annotated[str, typer.Argument(help='What to find: "the red star".', show_default=False)],
    weights: Weights = None,
    out: Annotated[Path, typer.Option(help="The figure to write (.png).")] = Path("explanation.png"),
    npz: Annotated[
        Path | None, typer.Option(help="Also write what is drawn as arrays (.npz).", show_default=False)
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=0, help="Of a video, the frame to answer, from 0 [default: the middle one].")
    ] = None,
    network: options.Network = None,
    settings: options.WeightsSettings = None,
    device: options.Device = "auto",
) -> None:
    """Draw what a network attends to when it reads EXPRESSION and looks at IMAGE.

    The figure needs matplotlib: pip install 'refseg[plot]'; without it, the answer and --npz come before the error. Of
    the weights `reader`, print and draw how the expression was read: its program, and what each step scored, without
    matplotlib.
    """
    from refseg.errors import InvalidInput
    from refseg.files.atomic import all_or_nothing, check_file_writable
    from refseg.files.earlier import SOFTWARE, check_earlier, named, png_mark
    from refseg.hardware import check_device_name
    from refseg.preprocessing.images import read_image
    from refseg.video.reading import is_video, read_frames

    options.add_networks(network)
    check_device_name(device)
    for path, ending in ((out, ".png"), (npz, ".npz")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidInput(f"{path} does not end in {ending}; give the file's name, for example --out answer.png")
        if path is not None:
            check_file_writable(path)
    replaced = check_earlier({out: MARK} | ({npz: ARRAYS_MARK} if npz else {}))
    of_video = is_video(image)
    if frame is not None and not of_video:
        raise InvalidInput(f"{image} is no video; leave out --frame")
    shown = read_frames(image) if of_video else read_image(image)

    import numpy as np

    from refseg.commands.segment import describe
    from refseg.inference.default_weights import load_default
    from refseg.inference.segmenter import load
    from refseg.inspection.attention import answer_frame, explain_frame, figure
    from refseg.inspection.attention import explain as look
    from refseg.inspection.reading import reading_lines, reading_picture

    weights = options.with_settings(weights, settings)
    if weights is None and not of_video:
        _, segmenter, note = load_default([shown], device)
        if note:
            typer.echo(note, err=True)
    else:
        segmenter = load(weights or bundled.default_weights(of_video), device)
    if segmenter.network.gives_readings:
        if npz is not None:
            raise InvalidInput(f"{segmenter.checkpoint.name} has no attention to write as arrays; leave out --npz")
        result = answer_frame(segmenter, shown, expression, frame) if of_video else segmenter(shown, expression)
        with all_or_nothing(out.parent) as folder:
            reading_picture(result).save(folder / out.name, pnginfo=png_mark(MARK))
        typer.echo(describe(result))
        for line in reading_lines(result):
            typer.echo(f"  {line}")
        typer.echo(named(out, replaced))
        return
    explanation = explain_frame(segmenter, shown, expression, frame) if of_video else look(segmenter, shown, expression)
    typer.echo(describe(explanation.result))
    for warning in explanation.result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if npz is not None:
        with all_or_nothing(npz.parent) as folder:
            np.savez_compressed(folder / npz.name, allow_pickle=False, **explanation.arrays())
        typer.echo(named(npz, replaced))
    drawn = figure(explanation)  # last, since it alone needs matplotlib
    with all_or_nothing(out.parent) as folder:
        drawn.savefig(folder / out.name, dpi=120, metadata={SOFTWARE: MARK})
    typer.echo(named(out, replaced))
