"""Quantises the graphs of an export for OpenVINO to 8-bit integers by NNCF, where the masks hardly get worse."""

import io
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from refseg.checkpoints.io import load_checkpoint
from refseg.counting import counted
from refseg.errors import InvalidInput, option
from refseg.evaluation.evaluate import evaluate_samples
from refseg.export.choices import import_nncf
from refseg.runtimes.entry import ENDINGS, FUSE, IMAGE, WORDS
from refseg.runtimes.graph import Arrays
from refseg.runtimes.network import ExportedNetwork
from refseg.samples import Sample

MOST_LOSS = 0.002
"""Fall of mIoU above which a graph stays in float32."""
MIN_IMAGES = 8
PARTS = (WORDS, FUSE), (IMAGE,)
"""Graphs that are quantised together, those first that bear it best."""


@dataclass(frozen=True)
class Quantized:
    """Graphs that were quantised, with what that cost.

    Attributes:
        graphs: their names.
        images: number of images that it was measured on, others than those of the calibration.
        exact: mIoU in float32.
        reached: mIoU with these graphs in int8.
        declined: by graphs that stay in float32, the mIoU with these in int8, too.
    """

    graphs: tuple[str, ...]
    images: int
    exact: float
    reached: float
    declined: Mapping[tuple[str, ...], float]

    def __str__(self) -> str:
        kept = "".join(
            f"; {' and '.join(graphs)} in f32, since int8 gives {100 * value:.2f}"
            for graphs, value in self.declined.items()
        )
        return (
            f"{' and '.join(self.graphs)} in int8, mIoU {100 * self.exact:.2f} in f32 and {100 * self.reached:.2f} on "
            f"{counted(self.images, 'other image')}{kept}"
        )


def check_calibration(samples: Sequence[Sample]) -> None:
    """Raises InvalidInput if there are too few images to calibrate and to measure."""
    if len(samples) < 2 * MIN_IMAGES:
        raise InvalidInput(
            f"{counted(len(samples), 'image')} to calibrate int8 and to measure it; give {2 * MIN_IMAGES} or more"
        )


def quantize_graphs(folder: Path, samples: Sequence[Sample]) -> Quantized:
    """Quantises graphs of an exported checkpoint folder where they lie, part by part.

    Args:
        folder: the folder, with graphs for OpenVINO in float32.
        samples: every other one calibrates, the rest tells what is lost.

    Raises:
        InvalidInput: if every part loses more than `MOST_LOSS`.
    """
    calibration, unseen = samples[::2], samples[1::2]
    inputs = _record_inputs(folder, calibration)
    exact = reached = _score(folder, unseen)
    chosen: tuple[str, ...] = ()
    declined: dict[tuple[str, ...], float] = {}
    for part in PARTS:
        files = [f"{graph}{ending}" for graph in part for ending in ENDINGS["openvino"]]
        with TemporaryDirectory() as before:
            for file in files:
                shutil.copy(folder / file, before)
            for graph in part:
                _quantize(folder / f"{graph}.xml", inputs[graph], as_transformer=graph != IMAGE)
            score = _score(folder, unseen)
            if exact - score <= MOST_LOSS:
                chosen, reached = (*chosen, *part), score
                continue
            declined[part] = score
            for file in files:
                shutil.copy(Path(before) / file, folder)
    if not chosen:
        best = 100 * max(declined.values())
        raise InvalidInput(
            f"in int8 the mIoU falls from {100 * exact:.2f} to {best:.2f} at best, so nothing was written; leave out "
            f"{option('precision', 'int8')}"
        )
    return Quantized(chosen, len(unseen), exact, reached, declined)


def _record_inputs(folder: Path, samples: Sequence[Sample]) -> dict[str, list[Arrays]]:
    """Returns what each graph is given as samples are answered."""
    checkpoint = load_checkpoint(folder)
    assert isinstance(checkpoint.network, ExportedNetwork)
    recorded = checkpoint.network.graphs.record_inputs()
    evaluate_samples(checkpoint, samples)
    return recorded


def _score(folder: Path, samples: Sequence[Sample]) -> float:
    """Returns the mIoU of an exported folder."""
    score: float = evaluate_samples(load_checkpoint(folder), samples).metrics["standard"]["mIoU"]
    return score


def _quantize(path: Path, inputs: list[Arrays], as_transformer: bool) -> None:
    """Replaces a graph by one in int8, whose ranges are those of the inputs."""
    nncf = import_nncf()
    import openvino

    model = openvino.Core().read_model(str(path))
    settings: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER} if as_transformer else {}
    with _quiet():
        found = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs), **settings)
    new = path.with_name(f"new_{path.name}")
    openvino.save_model(found, str(new), compress_to_fp16=False)
    del model, found  # which may have mapped the files
    for ending in ENDINGS["openvino"]:
        new.with_suffix(ending).replace(path.with_suffix(ending))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what NNCF tells of its steps, and its bars of progress."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
