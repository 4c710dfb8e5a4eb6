"""Fits what a checkpoint needs to say how sure it is: calibration and familiarity, on images it was not trained on."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from refseg.checkpoints.calibration import fit_calibration
from refseg.checkpoints.checkpoint import Checkpoint, to_device, use_threshold
from refseg.checkpoints.familiarity import MIN_IMAGES, describe, fit_familiarity, unpadded
from refseg.checkpoints.schema import WEIGHTS
from refseg.errors import MissingFile
from refseg.evaluation.answers import answer_by_masks
from refseg.evaluation.rows import rows_of
from refseg.evaluation.scoring import STANDARD
from refseg.files.tensor_files import safetensors_shapes
from refseg.inference.predict import evaluation_mode, is_unfamiliar, predict_samples
from refseg.preprocessing.images import read_image
from refseg.samples import Sample


def calibrate(
    checkpoint: Checkpoint,
    samples: Iterable[Sample],
    fitted_on: str,
    on_images: Callable[[int], None] = lambda images: None,
) -> Checkpoint:
    """Fits temperature, existence threshold and familiarity; returns a checkpoint whose network uses the threshold.

    Of fewer than `familiarity.MIN_IMAGES` images a checkpoint without familiarity gets none.

    Args:
        checkpoint: what to calibrate.
        samples: a validation split; some expressions must refer to nothing.
        fitted_on: what the samples are, for the record.
        on_images: called after each batch with its number of images.

    Raises:
        InvalidInput: if the samples do not allow a fit.
    """
    exists: list[float] = []
    has_target: list[bool] = []
    ious: list[float | None] = []
    described = []
    for prediction in predict_samples(checkpoint, enumerate(samples)):
        exists += prediction.output.exists.tolist()
        answers_all = dataclasses.replace(prediction, predicts_none=torch.zeros_like(prediction.predicts_none))
        for row in rows_of(answer_by_masks(checkpoint, [answers_all], [STANDARD])):
            has_target.append(row.has_target)
            ious.append(row.scores[STANDARD.name].iou)
        coarse = checkpoint.network.familiarity_features(prediction.features)
        if coarse is not None:
            for k, query in enumerate(prediction.queries):
                described.append(describe(unpadded(coarse[k : k + 1], query.image.geometry)).cpu())
        on_images(len(prediction.queries))
    tells = len(described) >= MIN_IMAGES or checkpoint.familiarity is not None
    calibrated = dataclasses.replace(
        checkpoint,
        calibration=fit_calibration(exists, has_target, np.array(ious, float), fitted_on),
        familiarity=fit_familiarity(torch.cat(described), fitted_on) if described and tells else None,
    )
    use_threshold(calibrated, calibrated.calibration.exists_threshold)
    return to_device(calibrated, str(next(calibrated.network.parameters()).device))


def unfamiliar_share(checkpoint: Checkpoint, images: Iterable[NDArray[np.uint8]]) -> float:
    """Returns the share of images (H, W, 3) that are unfamiliar to a checkpoint with familiarity."""
    device = next(checkpoint.network.parameters()).device
    alarms = []
    with evaluation_mode(checkpoint.network) as network:
        for image in images:
            pixels, geometry = checkpoint.preprocessing(image)
            one = 1, *checkpoint.network.image_shape(geometry.padded_hw)  # of a clip: a frame that stands still
            features = network.encode_image(pixels.to(device).expand(one))
            alarms.append(is_unfamiliar(checkpoint, features, 0, geometry))
    return float(np.mean([alarm for alarm in alarms if alarm is not None]))


def unfamiliar_images(side: int, count: int = 50) -> dict[str, list[NDArray[np.uint8]]]:
    """Images of `side` x `side` pixels that are in no data set, by what they are: three kinds of noise, plain greys."""
    random = np.random.default_rng(0)
    shape = (side, side, 3)

    def smooth() -> NDArray[np.uint8]:
        cells = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        return np.array(Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC))

    return {
        "uniform noise": [random.integers(0, 256, shape).astype(np.uint8) for _ in range(count)],
        "gaussian noise": [random.normal(118, 40, shape).clip(0, 255).astype(np.uint8) for _ in range(count)],
        "low-frequency noise": [smooth() for _ in range(count)],
        "blank grey": [np.full(shape, grey, np.uint8) for grey in np.linspace(0, 255, count).astype(int)],
    }


def photographs(folder: Path) -> list[Path]:
    """The images of a folder.

    Raises:
        MissingFile: if there is no folder or no image in it.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not files:
        raise MissingFile(f"there are no images (.jpg, .png, .webp) in {folder}; give a folder of photographs")
    return files


def is_half(folder: Path) -> bool:
    """Whether a checkpoint was exported: in float16, without what only training needs; False if it holds no weights."""
    if not (folder / WEIGHTS).is_file():
        return False
    return any(dtype == "F16" for _, dtype in safetensors_shapes(folder / WEIGHTS, "give a checkpoint folder").values())


def familiarity_report(checkpoint: Checkpoint, folder: Path | None = None) -> dict[str, float]:
    """Share called unfamiliar among images that are: noise and greys, and the photographs of a folder."""
    kinds = unfamiliar_images(checkpoint.preprocessing.side)
    report = {name: unfamiliar_share(checkpoint, images) for name, images in kinds.items()}
    if folder is not None:
        report["photographs"] = unfamiliar_share(checkpoint, map(read_image, photographs(folder)))
    return report
