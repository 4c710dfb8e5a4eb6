"""`refseg calibrate`: thresholds of a checkpoint, fitted on a validation split."""

import re
from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.counting import counted


def calibrate(
    weights: Annotated[
        str,
        typer.Argument(
            help="Checkpoint folder, whose config.json and statistics are replaced; a name or an open model with --out."
        ),
    ],
    dataset: options.Name = "drawn_scenes",
    split: Annotated[str, typer.Option(help="A part of the data set that was not trained on.")] = "val",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
    grefs: options.Grefs = None,
    count: options.Count = None,
    settings: options.Settings = None,
    photographs: Annotated[Path | None, typer.Option(help="Folder of images that should be unfamiliar.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the calibrated checkpoint.", show_default="the folder that is calibrated"),
    ] = None,
    network: options.Network = None,
    device: options.Device = "auto",
) -> None:
    """Fit how sure a checkpoint is that something exists, and which images are familiar to it.

    Of `reader` and open models, only settings and calibration are written, which name what answers: nothing of it is
    copied.
    """
    from rich.progress import track

    from refseg import datasets
    from refseg.checkpoints.config_file import check_destination, check_weights, open_config
    from refseg.errors import InvalidInput
    from refseg.hardware import check_device_name

    options.add_networks(network)
    weights, settings = options.divide_settings(weights, settings)
    check_device_name(device)
    check_weights(weights)
    if out is None and not Path(weights).is_dir():
        example = f"--out {re.split('[:=]', weights)[0]}_calibrated"
        raise InvalidInput(f"{weights} is no folder, so say where its calibration goes, such as {example}")
    folder = out or Path(weights)
    check_destination(folder)
    dataset = options.add_dataset(dataset)
    given = options.settings_of(dataset, split, root, split_by, images, count, settings, grefs)
    samples = datasets.build_images(dataset, **given)

    from refseg.checkpoints.io import load_checkpoint, save_checkpoint
    from refseg.evaluation import calibrate as fitting

    checkpoint = load_checkpoint(weights, device)
    fitted_on = f"{dataset}, split {split}, {counted(len(samples), 'image')}"
    if photographs:
        fitting.photographs(photographs)  # a wrong folder should not be noticed at the end
    seen = track(samples, "images", total=len(samples), transient=True)
    calibrated = fitting.calibrate(checkpoint, seen, fitted_on)
    calibration, familiarity = calibrated.calibration, calibrated.familiarity
    print(f"temperature {calibration.temperature:.3f}, exists above {calibration.exists_threshold:.3f}")
    if familiarity:
        print(f"familiar up to a distance of {familiarity.threshold:.2f}; called unfamiliar:")
        for name, share in fitting.familiarity_report(calibrated, photographs).items():
            print(f"  {name:24} {100 * share:6.1f} %")
    save_checkpoint(calibrated, folder, half=fitting.is_half(open_config(weights)[0]))
    print(f"written: {folder}")
