"""ExportedSegmenter: exported weights asked about images, without torch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import RgbImage
from refseg.checkpoints.bundled import FOR_IMAGES
from refseg.checkpoints.config_file import open_config
from refseg.checkpoints.graphs_beside import graphs_beside
from refseg.checkpoints.schema import FAMILIARITY_FLOOR, WEIGHTS, CheckpointConfig
from refseg.checkpoints.tokenizers import build_tokenizer
from refseg.errors import InvalidInput, MissingFile
from refseg.files.tensor_arrays import read_arrays
from refseg.finders.installed import installed_finder
from refseg.inference.checks import check_expressions, number_warnings, unfamiliar_warning
from refseg.inference.chunks import expressions_at_once
from refseg.inference.results import Result
from refseg.preprocessing.array_transform import RESIZES, crop_padding, mask_at_image_size, network_input, to_image_size
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.images import read_image
from refseg.runtimes.entry import FAMILIARITY_FILE, RuntimeEntry
from refseg.runtimes.exported import ExportedGraphs
from refseg.runtimes.graph import Arrays


def load_exported(where: str | Path, device: str = "cpu", precision: str = "f32") -> "ExportedSegmenter | None":
    """Loads exported weights, or the graphs beside bundled ones where ONNX Runtime is installed and can run them.

    Returns:
        None for weights, a preprocessing, a device or a precision that need torch: `inference.segmenter.load`.
    """
    if device not in ("auto", "cpu") or precision == "bf16":
        return None
    folder, config = open_config(where)
    if config.preprocessing.resize not in RESIZES:
        return None
    if config.runtime is not None:
        return ExportedSegmenter(folder, config, config.runtime, FAMILIARITY_FILE)
    entry = graphs_beside(folder) if find_spec("onnxruntime") else None
    if entry is None:
        return None
    try:
        return ExportedSegmenter(folder, config, entry, WEIGHTS)
    except (InvalidInput, MissingFile, ImportError):  # an ONNX Runtime that is too old for them, half a copy
        return None


def load_default(images: Iterable[Any], device: str = "cpu", precision: str = "f32") -> "ExportedSegmenter | None":
    """Loads the bundled weights, as `default_weights.load_default` does; None as above, or if a reader is to answer."""
    exported = load_exported(FOR_IMAGES, device, precision)
    if exported and installed_finder() and any(exported.knows(image) is False for image in images):
        return None
    return exported


class ExportedSegmenter:
    """Answers expressions about images, as `Segmenter` does with the same weights, in arrays alone."""

    def __init__(self, folder: Path, config: CheckpointConfig, entry: RuntimeEntry, statistics: str):
        """Makes a segmenter.

        Args:
            folder: of the checkpoint.
            config: its config.json.
            entry: about the graphs in it.
            statistics: name of its file with the statistic of familiar images.
        """
        self.config = config
        self.graphs = ExportedGraphs(folder, entry)
        self.tokenizer = build_tokenizer(config.tokenizer)
        self._familiar = _familiarity(folder / statistics) if config.familiarity else None

    def __call__(self, image: Any, expressions: Sequence[str], threshold: float | None = None) -> list[Result]:
        """Returns a result for each expression; arguments and errors as of `Segmenter`."""
        return list(self.ask(image, expressions, threshold))

    def ask(self, image: Any, expressions: Sequence[str], threshold: float | None = None) -> Iterator[Result]:
        """Yields the results one after the other."""
        check_expressions(self.tokenizer, expressions, threshold)
        return self._answer(read_image(image), expressions, threshold)

    def knows(self, image: Any) -> bool | None:
        """Whether an image is like those that the weights were trained on; None if the weights cannot tell."""
        if self.graphs.entry.familiarity is None or self._familiar is None:
            return None
        pixels, geometry = network_input(self.config.preprocessing, read_image(image))
        return not self._is_unfamiliar(self.graphs.encode_image(pixels[None]), geometry)

    def _answer(self, image: RgbImage, expressions: Sequence[str], threshold: float | None) -> Iterator[Result]:
        pixels, geometry = network_input(self.config.preprocessing, image)
        features = self.graphs.encode_image(pixels[None])
        unfamiliar = self._is_unfamiliar(features, geometry)
        calibration = self.config.calibration
        threshold = calibration.exists_threshold if threshold is None else threshold
        logit = calibration.existence_logit(threshold)
        at_once = expressions_at_once(pixels.shape[-2:], self.graphs.entry)
        for start in range(0, len(expressions), at_once):
            some = expressions[start : start + at_once]
            words, mask = self._encode_words(some)
            output = self.graphs.fuse(features, words, mask, np.zeros(len(some), np.int64), logit)
            if not (np.isfinite(output["logits"]).all() and np.isfinite(output["exists"]).all()):
                raise InvalidInput(
                    f"the weights of {self.config.network.name} give values that are not finite; they are damaged, or "
                    "their training failed: get them again, or use others"
                )
            for m, expression in enumerate(some):
                yield self._result(expression, image, geometry, output, m, threshold, logit, unfamiliar)

    def _encode_words(self, expressions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        rows = [self.tokenizer.ids(expression) for expression in expressions]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros(tokens.shape, np.bool_)
        for m, ids in enumerate(rows):
            tokens[m, : len(ids)], mask[m, : len(ids)] = ids, True
        tokens, mask = self.graphs.padded(tokens, mask)
        return self.graphs.encode_words(tokens, mask), mask

    def _result(
        self,
        expression: str,
        image: RgbImage,
        geometry: Geometry,
        output: Arrays,
        m: int,
        threshold: float,
        logit: float,
        unfamiliar: bool,
    ) -> Result:
        logits = output["logits"][m, 0].astype(np.float32, copy=False)
        mask = mask_at_image_size(logits, geometry)
        objects = None
        exists = float(output["exists"][m])
        if self.graphs.entry.objects:
            chosen = (output["scores"][m] > 0) & (np.float32(exists) - np.float32(logit) > 0)
            objects = instance_map(output["masks"][0][chosen], geometry, mask)
        return Result(
            expression=expression,
            image=image,
            mask=mask,
            exists=_sigmoid(exists / self.config.calibration.temperature),
            logits=crop_padding(logits, geometry),
            instance_map=objects,
            exists_threshold=threshold,
            familiar=not unfamiliar,
            warnings=(
                *((unfamiliar_warning(self.config.knows),) if unfamiliar else ()),
                *self.tokenizer.remarks(expression),
                *number_warnings(expression, objects),
            ),
            unknown_words=tuple(self.tokenizer.unknown_words(expression)),
        )

    def _is_unfamiliar(self, features: Arrays, geometry: Geometry) -> bool:
        """Whether the image is farther from those of the training than `checkpoints.familiarity` allows."""
        name, entry = self.graphs.entry.familiarity, self.config.familiarity
        if name is None or entry is None or self._familiar is None:
            return False
        mean, precision = self._familiar
        coarse = features[name][0]
        height, width = (
            max(1, round(cells * size / padded))
            for cells, size, padded in zip(coarse.shape[-2:], geometry.resized_hw, geometry.padded_hw, strict=True)
        )
        cells = coarse[:, :height, :width].reshape(len(coarse), -1)
        described = np.log(np.concatenate([cells.mean(1), cells.std(1)]) + np.float32(FAMILIARITY_FLOOR))
        away = described - mean
        distance = math.sqrt(max(0.0, float(away @ precision @ away)))
        return not distance <= entry.threshold


def _familiarity(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the mean (D,) and the precision (D, D) of a familiarity statistic."""
    arrays = read_arrays(path, "familiarity.")
    mean, precision = arrays.get("familiarity.mean"), arrays.get("familiarity.precision")
    if mean is None or precision is None or mean.ndim != 1 or precision.shape != (len(mean), len(mean)):
        raise InvalidInput(f"{path} holds no statistic of familiar images; copy the folder again")
    return mean, precision


def instance_map(masks: NDArray[np.float32], geometry: Geometry, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns which of the objects' mask logits (K, h, w) is the largest (H, W), from 1, in the mask; elsewhere 0."""
    if len(masks) == 1 or not mask.any():
        return mask.astype(np.uint8)
    numbers = np.ones(mask.shape, np.uint8)
    largest = np.empty(mask.shape, np.float32)
    for k, one in enumerate(masks):
        for rows, values in to_image_size(one, geometry):
            if k == 0:
                largest[rows] = values
                continue
            larger = values > largest[rows]
            numbers[rows][larger] = k + 1
            largest[rows] = np.maximum(values, largest[rows])
    numbers *= mask
    for new, old in enumerate(np.unique(numbers[mask]).tolist(), start=1):  # an object without a pixel has no number
        if new != old:
            numbers[numbers == old] = new
    return numbers


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
