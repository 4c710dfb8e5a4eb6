"""What a network attends to while it answers, as arrays and as a figure: words, maps over the image, learnt weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from refseg import extras
from refseg.errors import InvalidInput
from refseg.networks.contract import View
from refseg.preprocessing import Geometry, restore
from refseg.results import Result
from refseg.segmenter import Segmenter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
PANEL = 3.0  # inches


@dataclass(frozen=True)
class Seen:
    """One view of a network with what came out of it.

    Attributes:
        view: what it is.
        values: (L,) weights of the words, (h, w) a map over the padded input of the network, or (K,) numbers.
    """

    view: View
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """What a network attended to for one expression on one image.

    Attributes:
        result: the answer.
        pieces: the L words or word pieces that the network read.
        seen: in the order of the forward pass.
        geometry: how the image was resized; `map_at_own_size` follows it back.
    """

    result: Result
    pieces: list[str]
    seen: list[Seen]
    geometry: Geometry

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, by name: image, mask, pieces, and each view's values."""
        arrays: dict[str, NDArray[Any]] = {
            "image": self.result.image,
            "mask": self.result.mask,
            "pieces": np.array(self.pieces),
        }
        return arrays | {seen.view.name: seen.values for seen in self.seen}

    def map_at_own_size(self, seen: Seen) -> NDArray[np.float32]:
        """A map (h, w) as (H, W) of the image, without the network's padding."""
        return restore(torch.from_numpy(seen.values)[None, None], self.geometry)[0].numpy()


def explain(segmenter: Segmenter, image: Any, expression: str) -> Explanation:
    """Answers an expression and keeps what the network's views show.

    Args:
        segmenter: with a network that has views.
        image: anything that `read_image` reads.
        expression: a sentence about it.

    Raises:
        InvalidInput: if the network shows nothing, or the image or the expression cannot be read.
    """
    network = segmenter.network
    views = network.views()
    if not views:
        raise InvalidInput(f"{segmenter.checkpoint.name} has nothing to show; explain another network")
    outputs: dict[int, Any] = {}
    hooks = [
        view.module.register_forward_hook(lambda module, inputs, output: outputs.update({id(module): output}))
        for view in views
    ]
    try:
        result = segmenter(image, expression)
    finally:
        for hook in hooks:
            hook.remove()
    pieces = segmenter.checkpoint.tokenizer.pieces(expression)
    seen = []
    for view in views:
        values = view.read(outputs[id(view.module)]).detach().float().cpu()
        if view.kind == "words":
            values = values[0, : len(pieces)]
        elif view.kind == "map":
            values = values[0]
        seen.append(Seen(view, values.numpy()))
    height, width = result.image.shape[:2]
    return Explanation(result, pieces, seen, segmenter.checkpoint.preprocessing.geometry((height, width)))


def figure(explanation: Explanation) -> "Figure":
    """Everything as one figure: the answer, the words' weights as a table, the maps over the image, the numbers.

    Raises:
        InvalidInput: if matplotlib is not installed.
    """
    figure_class = extras.library("matplotlib.figure", "figures need matplotlib", "plot").Figure
    words = [seen for seen in explanation.seen if seen.view.kind == "words"]
    panels = [seen for seen in explanation.seen if seen.view.kind != "words"]
    rows = -(-(len(panels) + 1) // COLUMNS)
    table_height = 0.3 * len(words) + 1.1 if words else 0.0
    sheet = figure_class(figsize=(COLUMNS * PANEL, rows * PANEL + table_height), layout="constrained")
    heights = [*([PANEL] * rows), *([table_height] if words else [])]
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
    axes.imshow(np.asarray(result.overlay()))
    verdict = f"exists {result.exists:.1%}" if result.found else f"nothing matches, exists {result.exists:.1%}"
    axes.set_title(f"“{result.expression}”\n{verdict}", fontsize=8, wrap=True)
    axes.axis("off")


def _draw_map(axes: "Axes", explanation: Explanation, seen: Seen) -> None:
    image = explanation.result.image
    axes.imshow(image.mean(-1), cmap="gray", vmin=0, vmax=255)
    drawn = axes.imshow(explanation.map_at_own_size(seen), cmap="inferno", alpha=0.65)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7).ax.tick_params(labelsize=6)
    axes.set_title(f"{seen.view.name}\n{seen.view.source}", fontsize=8)
    axes.axis("off")


def _draw_numbers(axes: "Axes", seen: Seen) -> None:
    labels = list(seen.view.labels) or [str(k) for k in range(len(seen.values))]
    bars = axes.bar(labels, seen.values, color="#4477aa")
    axes.bar_label(bars, fmt="%.3f", fontsize=7)
    axes.set_title(f"{seen.view.name}\n{seen.view.source}", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_words(axes: "Axes", pieces: list[str], words: list[Seen]) -> None:
    table = np.stack([seen.values for seen in words])
    scaled = table / np.maximum(table.max(1, keepdims=True), 1e-12)
    axes.imshow(scaled, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for row, column in np.ndindex(table.shape):
        axes.text(column, row, f"{table[row, column]:.3f}", ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(pieces)), pieces, fontsize=8)
    axes.set_yticks(range(len(words)), [f"{seen.view.name} ({seen.view.source})" for seen in words], fontsize=7)
