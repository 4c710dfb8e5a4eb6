"""Attention of a network, as arrays and as a figure: words, maps over the image, learnt weights."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from refseg.array_types import RgbImage
from refseg.blocks.view import View
from refseg.errors import InvalidInput
from refseg.inference.network_input import sampling_of
from refseg.inference.results import Result
from refseg.inference.segmenter import Segmenter
from refseg.inference.word_weights import recorded_outputs
from refseg.masks.pictures import SIDE
from refseg.optional import import_optional
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.restore import to_image_size
from refseg.preprocessing.transform import ClipSampling
from refseg.video.frames import Frames
from refseg.video.reading import read_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
PANEL_SIDE = 3.0  # inches
TITLE_LETTERS = 38  # in a line above a panel
MAX_HORIZONTAL_LABELS = 6  # of bars side by side; more are upright


@dataclass(frozen=True)
class ViewValues:
    """A view of a network with its values.

    Attributes:
        view: the view.
        values: (L,) weights of the words, (h, w) a map over the padded input of the network, or (K,) numbers.
    """

    view: View
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """Attention of a network for one expression on one image.

    Attributes:
        result: the prediction.
        pieces: the L words or word pieces that the network read.
        seen: values of the views, in the order of the forward pass.
        geometry: of the resized image, which `map_at_own_size` inverts.
        frames: of a video, the K frames (H, W, 3) of the clip; those at its ends may be repeated.
    """

    result: Result
    pieces: list[str]
    seen: list[ViewValues]
    geometry: Geometry
    frames: Sequence[RgbImage] = ()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns arrays by name: image, mask, pieces, and each view's values."""
        arrays: dict[str, NDArray[Any]] = {
            "image": self.result.image,
            "mask": self.result.mask,
            "pieces": np.array(self.pieces),
        }
        if len(self.frames):
            arrays["frames"] = np.stack(self.frames)
        return arrays | {seen.view.name: seen.values for seen in self.seen}

    def map_at_own_size(self, seen: ViewValues) -> NDArray[np.float32]:
        """Resizes a map (h, w) to the image (H, W), without the padding."""
        return to_image_size(torch.from_numpy(seen.values)[None, None], self.geometry)[0].numpy()


def explain(segmenter: Segmenter, image: Any, expression: str) -> Explanation:
    """Segments an expression and records the network's views.

    Args:
        segmenter: with a network that has views.
        image: anything that `read_image` reads.
        expression: a sentence about it.

    Raises:
        InvalidInput: if the network has no views, or the image or the expression cannot be read.
    """
    return _explained(segmenter, lambda: segmenter(image, expression))


def explain_frame(segmenter: Segmenter, video: Any, expression: str, t: int | None = None) -> Explanation:
    """Segments an expression in one frame of a video and records the network's views.

    Args:
        segmenter: with a network that has views.
        video: anything that `read_frames` reads, more than once.
        expression: a sentence about it.
        t: the frame, from 0; by default the middle one, or the first if the length of the video is unknown.

    Raises:
        InvalidInput: as `explain`, and if there is no such frame.
    """
    frames = read_frames(video)
    t = (frames.count or 0) // 2 if t is None else t
    sampling = sampling_of(segmenter.network, segmenter.checkpoint.preprocessing)
    explanation = _explained(segmenter, lambda: answer_frame(segmenter, frames, expression, t))
    return replace(explanation, frames=_clip(frames, sampling, t))


def answer_frame(segmenter: Segmenter, video: Any, expression: str, t: int | None = None) -> Result:
    """Segments an expression in one frame of a video; arguments and errors as of `explain_frame`."""
    frames = read_frames(video)
    t = (frames.count or 0) // 2 if t is None else t
    sampling = sampling_of(segmenter.network, segmenter.checkpoint.preprocessing)
    read = (frame.pixels for frame in islice(frames, t + sampling.offsets[-1] + 1))  # to the end of the clip
    result = next(segmenter.video(read, expression, start=t, every=sys.maxsize), None)
    if result is None:
        last = f"; its last one is {frames.count - 1}" if frames.count else ""
        raise InvalidInput(f"{frames.name} has no frame {t}, counted from 0{last}")
    return result


def _clip(frames: Frames, sampling: ClipSampling, t: int) -> list[RgbImage]:
    """Returns the frames of the clip around frame t."""
    wanted, kept = {max(t + offset, 0) for offset in sampling.offsets}, dict[int, RgbImage]()
    for frame in frames:
        if frame.index in wanted:
            kept[frame.index] = frame.pixels
        if frame.index >= max(wanted):
            break
    last = frame  # repeated after the end
    return [kept.get(k, last.pixels) for k in sampling.around(t, last.index + 1)]


def _explained(segmenter: Segmenter, answer: Callable[[], Result]) -> Explanation:
    network = segmenter.network
    views = network.views()
    if not views:
        raise InvalidInput(f"{segmenter.checkpoint.name} has nothing to show; explain another network")
    with recorded_outputs(views) as outputs:
        result = answer()
    pieces = segmenter.checkpoint.tokenizer.pieces(result.expression)
    seen = []
    for view in views:
        values = view.read(outputs[id(view.module)]).detach().float().cpu()
        if view.kind == "words":
            values = values[0, : len(pieces)]
        elif view.kind == "map":
            values = values[0]
        seen.append(ViewValues(view, values.numpy()))
    height, width = result.image.shape[:2]
    return Explanation(result, pieces, seen, segmenter.checkpoint.preprocessing.geometry((height, width)))


def figure(explanation: Explanation) -> "Figure":
    """Draws a figure of the mask, the words' weights as a table, the maps over the image, and the numbers.

    Raises:
        InvalidInput: if matplotlib is not installed.
    """
    figure_class = import_optional("matplotlib.figure", "figures of attention need matplotlib", "plot").Figure
    words = [seen for seen in explanation.seen if seen.view.kind == "words"]
    panels = [seen for seen in explanation.seen if seen.view.kind != "words"]
    rows = -(-(len(panels) + 1) // COLUMNS)
    table_height = 0.3 * len(words) + 1.1 if words else 0.0
    sheet = figure_class(figsize=(COLUMNS * PANEL_SIDE, rows * PANEL_SIDE + table_height), layout="constrained")
    heights = [*([PANEL_SIDE] * rows), *([table_height] if words else [])]
    grid = sheet.add_gridspec(len(heights), COLUMNS, height_ratios=heights)
    _draw_answer(sheet.add_subplot(grid[0, 0]), explanation)
    for place, seen in enumerate(panels, start=1):
        axes = sheet.add_subplot(grid[place // COLUMNS, place % COLUMNS])
        if seen.view.kind == "map":
            _draw_map(axes, explanation, seen)
        else:
            _draw_numbers(axes, seen)
    if words:
        _draw_words(sheet.add_subplot(grid[rows, :]), explanation.pieces, words)
    return sheet


def _draw_answer(axes: "Axes", explanation: Explanation) -> None:
    result = explanation.result
    axes.imshow(np.asarray(result.overlay(side=SIDE)))
    expression = fill(f"“{result.expression}”", TITLE_LETTERS)  # Matplotlib's own wrapping leaves the layout no room
    axes.set_title(f"{expression}\n{result.caption}", fontsize=8)
    axes.axis("off")


def _draw_map(axes: "Axes", explanation: Explanation, seen: ViewValues) -> None:
    image = explanation.result.image if seen.view.frame is None else explanation.frames[seen.view.frame]
    axes.imshow(image.mean(-1), cmap="gray", vmin=0, vmax=255)
    drawn = axes.imshow(explanation.map_at_own_size(seen), cmap="inferno", alpha=0.65)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7, format="%.4g").ax.tick_params(labelsize=6)
    axes.set_title(f"{seen.view.name}\n{seen.view.source}", fontsize=8)
    axes.axis("off")


def _draw_numbers(axes: "Axes", seen: ViewValues) -> None:
    labels = list(seen.view.labels) or [str(k) for k in range(len(seen.values))]
    bars = axes.bar(labels, seen.values, color="#4477aa")
    rotation = 90 if len(labels) > MAX_HORIZONTAL_LABELS else 0
    if rotation:
        axes.margins(y=0.2)  # room for upright numbers above the bars
    axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=rotation, padding=2)
    axes.set_title(f"{seen.view.name}\n{seen.view.source}", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", labelrotation=rotation)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_words(axes: "Axes", pieces: list[str], words: list[ViewValues]) -> None:
    table = np.stack([seen.values for seen in words])
    scaled = table / np.maximum(table.max(1, keepdims=True), 1e-12)
    axes.imshow(scaled, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for row, column in np.ndindex(table.shape):
        axes.text(column, row, f"{table[row, column]:.3f}", ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(pieces)), pieces, fontsize=8)
    axes.set_yticks(range(len(words)), [f"{seen.view.name} ({seen.view.source})" for seen in words], fontsize=7)
