"""Exports the network of a checkpoint to a folder that another runtime runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg import __version__
from refseg.checkpoints.bundled import FOR_IMAGES
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.config_file import check_destination
from refseg.checkpoints.io import familiarity_tensors, load_checkpoint, write_tensors, write_texts
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, another_out, for_caller, option
from refseg.export.agreement import Agreement, compare
from refseg.export.choices import check_choices, check_exportable
from refseg.export.graphs import FAMILIARITY, FuseOutputs, flatten
from refseg.export.quantize import Quantized, check_calibration, quantize_graphs
from refseg.export.trace import PROBES, Example, Trace, trace_fuse, trace_image, trace_words, tracing
from refseg.export.write_graph import write_graph
from refseg.files.atomic import all_or_nothing, check_absent
from refseg.files.digest import sha256
from refseg.inference.predict import truncate
from refseg.networks.network import Network
from refseg.preprocessing.geometry import Size
from refseg.progress import Progress, no_progress
from refseg.runtimes import RUNTIMES
from refseg.runtimes.entry import FAMILIARITY_FILE, GRAPHS, Precision, Runtime, RuntimeEntry
from refseg.runtimes.graph import first_reason
from refseg.samples import Sample

ANY_SIZE = ("onnx",)
"""Runtimes whose graphs may be for images of any size; OpenVINO does not read what that takes."""


@dataclass(frozen=True)
class Exported:
    """An exported checkpoint.

    Attributes:
        folder: the checkpoint folder.
        entry: what its config.json says about its graphs.
        agreement: with the weights that were exported.
        quantized: in int8, which graphs, and what that cost.
    """

    folder: Path
    entry: RuntimeEntry
    agreement: Agreement
    quantized: Quantized | None = None


def export(
    weights: str | Path,
    to: Runtime,
    out: str | Path,
    *,
    size_hw: Size | None = None,
    precision: Precision = "f32",
    calibration: Sequence[Sample] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Exported:
    """Exports weights to a checkpoint folder that `refseg.load` runs by ONNX Runtime or OpenVINO.

    Its answers are compared with those of the weights before it is there; it is there completely or not at all.

    Args:
        weights: a checkpoint folder, a bundled name, or a hub id.
        to: "onnx" or "openvino".
        out: the folder to write.
        size_hw: height and width of the images as the network takes them; by default any size where network and
            runtime allow it (Selector by ONNX Runtime), or else that of its preprocessing.
        precision: of the arithmetic: "f32", or with OpenVINO "bf16", or "int8" for those graphs that it does not harm.
        calibration: of int8: samples, of which every other one tells the ranges of numbers, the rest what is lost.
        overwrite: whether a checkpoint that the folder holds is replaced.
        progress: shows how far it is.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, they cannot be exported, or answer otherwise.
        UnwritableOutput: if the folder cannot be written, or is there already.
    """
    folder = Path(out)
    check_choices(to, precision, size_hw, calibration is not None)
    if calibration is not None:
        check_calibration(calibration)
    check_destination(folder)
    if not overwrite:
        check_absent(folder, f"add {option('overwrite', True)}, or choose {another_out()}")
    check_exportable(weights)
    checkpoint = load_checkpoint(weights)
    if checkpoint.network.frames > 1:
        raise InvalidInput(
            f"{checkpoint.name} takes clips of {checkpoint.network.frames} frames; give weights for images, such as "
            f"{FOR_IMAGES}"
        )
    folder = folder.absolute()
    with progress(len(GRAPHS) * 2 + 2, of="steps") as advance, all_or_nothing(folder.parent, replaces=True) as staging:
        new = staging / folder.name
        new.mkdir()
        traces, entry, sizes = trace_graphs(
            checkpoint, to, size_hw, "f32" if calibration else precision, lambda name: advance(1, f"traced: {name}")
        )
        for trace in traces:
            write_graph(trace, new, to)
            advance(1, f"written: {trace.name}")
        entry = entry.replace(sha256=digest_graphs(new, entry))
        if checkpoint.familiarity is not None:
            write_tensors(familiarity_tensors(checkpoint.familiarity), new / FAMILIARITY_FILE)
        written = replace(checkpoint, runtime=entry)
        write_texts(written, new)
        agreement, quantized = compare_folder(checkpoint, new, entry, sizes), None
        if calibration is not None:
            quantized = quantize_graphs(new, calibration)
            entry = entry.replace(precision=precision, quantized=quantized.graphs, sha256=digest_graphs(new, entry))
            written = replace(checkpoint, runtime=entry)
            write_texts(written, new)
            agreement = compare_folder(checkpoint, new, entry, sizes)
        written.card = _card(checkpoint, str(weights), entry, agreement, quantized)
        write_texts(written, new)
        advance(2, "compared")
    return Exported(Path(out), entry, agreement, quantized)


def digest_graphs(folder: Path, entry: RuntimeEntry) -> str:
    """Returns the sha256 of the files of the graphs."""
    return sha256(*(folder / name for name in entry.files))


def compare_folder(checkpoint: Checkpoint, folder: Path, entry: RuntimeEntry, sizes_hw: list[Size]) -> Agreement:
    """Compares a checkpoint with its export.

    Raises:
        InvalidInput: if the runtime cannot run the graphs, or they answer otherwise.
    """
    try:
        agreement = compare(checkpoint, load_checkpoint(folder), sizes_hw)
    except InvalidInput as error:
        reason = first_reason(error.__cause__ or error)
        raise InvalidInput(
            f"{RUNTIMES[entry.name][1]} does not run the graphs of {checkpoint.name}, so nothing was written ({reason})"
        ) from error
    agreement.check(entry.precision)
    return agreement


def trace_graphs(
    checkpoint: Checkpoint,
    to: Runtime,
    size_hw: Size | None,
    precision: Precision,
    done: Callable[[str], None] = lambda name: None,
) -> tuple[list[Trace], RuntimeEntry, list[Size]]:
    """Traces the graphs; also returns what is said about them, and the sizes to compare at."""
    network, preprocessing = checkpoint.network, checkpoint.preprocessing
    any_size = network.exports_any_size and size_hw is None and to in ANY_SIZE
    multiple = preprocessing.multiple_of
    size = size_hw or preprocessing.geometry((preprocessing.side, preprocessing.side)).padded_hw
    if size[0] % multiple or size[1] % multiple:
        raise InvalidInput(
            f"{checkpoint.name} takes images whose sides are multiples of {multiple}, not {size[0]} x {size[1]}; "
            f"give for example {_rounded(size, multiple)}"
        )
    sizes = [size, (size[0] + multiple, size[1] + 2 * multiple)] if any_size else [size]
    example = _example(checkpoint, (max(h for h, _ in sizes), max(w for _, w in sizes)))
    first, second = (example.cut(*PROBES[k], sizes[-1 - (k if any_size else 0)]) for k in (0, 1))
    image = trace_image(network, first, multiple if any_size else None)
    done("image")
    words, length = trace_words(network, first)
    done("words")
    if length is not None:  # one length, of which padding is a part
        first, second = (replace(one, **_padded(one, length)) for one in (first, second))
    with tracing(network):
        template = network.encode_image(first.images)
        tokens = network.encode_words(first.tokens, first.word_mask)
        output = network.fuse(template, tokens, first.word_mask, first.image_of_expression)
    outputs = FuseOutputs.of(output, template)
    fuse = trace_fuse(network, image, (first, second), template, outputs)
    measured = _familiarity_name(network, template)
    image.kept = fuse.read | {*outputs.passed.values(), measured or ""}
    done("fuse")
    entry = RuntimeEntry(
        name=to,
        precision=precision,
        size_hw=None if any_size else size,
        multiple=multiple,
        words=length,
        familiarity=measured,
        computed=outputs.computed,
        passed=outputs.passed,
        objects=network.knows_objects,
        threshold=network.threshold,
        expressions_at_once=network.expressions_at_once,
    )
    if any_size:
        sizes = [size, (max(size[0] - multiple, 2 * multiple), size[1] + 2 * multiple)]
    return [image, words, fuse], entry, sizes


def _example(checkpoint: Checkpoint, size_hw: Size) -> Example:
    """Returns drawn scenes of this size, with the longest of their expressions."""
    images, expressions, words = PROBES[-1]
    scenes = DrawnScenes(split="val", count=images)
    texts = sorted((one.text for scene in scenes for one in scene.expressions), key=len)[-expressions:]
    tokens, word_mask = checkpoint.tokenizer([truncate(checkpoint.tokenizer, text) for text in texts])
    more = (0, max(0, words - tokens.shape[1]))
    pixels = checkpoint.preprocessing.normalise(torch.stack([torch.from_numpy(scene.image) for scene in scenes]))
    scaled = F.interpolate(pixels, size_hw, mode="bilinear", align_corners=False)
    return Example(scaled, F.pad(tokens, more), F.pad(word_mask, more))


def _padded(example: Example, length: int) -> dict[str, Tensor]:
    more = (0, length - example.tokens.shape[1])
    return {"tokens": F.pad(example.tokens, more), "word_mask": F.pad(example.word_mask, more)}


def _familiarity_name(network: Network, features: Any) -> str | None:
    """Returns the name of the tensor that familiarity is measured on."""
    measured = network.familiarity_features(features)
    if measured is None:
        return None
    return next((name for name, value in flatten(features).items() if value is measured), FAMILIARITY)


def _rounded(size_hw: Size, multiple: int) -> str:
    height, width = (max(multiple, round(side / multiple) * multiple) for side in size_hw)
    return for_caller(f"--size {height} {width}", f"size_hw=({height}, {width})")


def _card(
    checkpoint: Checkpoint, weights: str, entry: RuntimeEntry, agreement: Agreement, quantized: Quantized | None
) -> str:
    lines = [
        "## Exported",
        "",
        f"* **From** `{weights}`, for {RUNTIMES[entry.name][1]} in {entry.precision}, by refseg {__version__}.",
        f"* **Takes** {entry.sizes}.",
        f"* **Compared** {agreement}.",
        *([f"* **Quantised** {quantized}."] if quantized else []),
    ]
    return f"{checkpoint.card.rstrip()}\n\n".lstrip() + "\n".join(lines) + "\n"
