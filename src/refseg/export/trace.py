"""Traces the graphs of a network on an example, with numbers of images, expressions and words that may vary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram, export

from refseg.errors import InvalidInput, first_line
from refseg.export.graphs import FuseGraph, FuseOutputs, ImageGraph, WordsGraph
from refseg.networks.network import Network
from refseg.preprocessing.geometry import Size
from refseg.runtimes.entry import FUSE, IMAGE, WORDS

MOST_CELLS = 256  # of `multiple` pixels a side, where images may have any size
MOST_IMAGES = 1024
PROBES = (2, 3, 5), (3, 4, 6)  # images, expressions and words of two examples


@dataclass
class Trace:
    """One graph of a network.

    Attributes:
        name: one of `runtimes.entry.GRAPHS`.
        program: the graph.
        inputs: their names.
        outputs: their names.
        kept: outputs that anything reads.
        simplify: whether the graph may be simplified; symbolic sizes are in the way of that.
    """

    name: str
    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: frozenset[str]
    simplify: bool = True

    @property
    def read(self) -> frozenset[str]:
        """Names of the inputs that the graph reads."""
        nodes = [node for node in self.program.graph.nodes if node.op == "placeholder"]
        own = [node for node in nodes if node.name in set(self.program.graph_signature.user_inputs)]
        return frozenset(name for name, node in zip(self.inputs, own, strict=True) if node.users)


@dataclass
class Example:
    """Tokens (M, L) and word_mask (M, L) of M expressions about B images (B, 3, H, W)."""

    images: Tensor
    tokens: Tensor
    word_mask: Tensor

    def cut(self, images: int, expressions: int, words: int, size_hw: Size) -> "Example":
        """Returns an example of so many of each."""
        height, width = size_hw
        return Example(
            self.images[:images, ..., :height, :width].contiguous(),
            self.tokens[:expressions, :words].contiguous(),
            self.word_mask[:expressions, :words].contiguous(),
        )

    @property
    def image_of_expression(self) -> Tensor:
        """An image for each expression (M,)."""
        return torch.arange(len(self.tokens)) % len(self.images)


def trace_image(network: Network, example: Example, multiple: int | None) -> Trace:
    """Traces `encode_image`; for images of any size if `multiple`, the divisor of their sides, is given."""
    shape: dict[int, Any] = {0: Dim("images", min=1, max=MOST_IMAGES)}
    if multiple is not None:
        shape |= {
            2: multiple * Dim("rows", min=2, max=MOST_CELLS),
            3: multiple * Dim("columns", min=2, max=MOST_CELLS),
        }
    graph = ImageGraph(network)
    with tracing(network):
        names = tuple(graph.named(example.images))
        program = _export(graph, (example.images,), (shape,), IMAGE)
    return Trace(IMAGE, program, ("image",), names, frozenset(names), simplify=multiple is None)


def trace_words(network: Network, example: Example) -> tuple[Trace, int | None]:
    """Traces `encode_words`; also returns the number of tokens that it takes, None for any."""
    shape = {0: Dim.AUTO, 1: Dim.AUTO}
    with tracing(network):
        program = _export(WordsGraph(network), (example.tokens, example.word_mask), (shape, shape), WORDS)
    count, length = _user_inputs(program)[0].shape
    _check_varies(count, "number of expressions", WORDS)
    inputs = "tokens", "word_mask"
    return Trace(WORDS, program, inputs, ("words",), frozenset({"words"})), length if isinstance(length, int) else None


def trace_fuse(
    network: Network, image: Trace, examples: Sequence[Example], template: Any, outputs: FuseOutputs
) -> Trace:
    """Traces `fuse` on the features that the traced `encode_image` gives for two examples."""
    graph = FuseGraph(network, template, outputs.computed)
    given = []
    with tracing(network):
        for example in examples:
            named = dict(zip(image.outputs, image.program.module()(example.images), strict=True))
            features = [named[name].clone() for name in graph.names]
            words = network.encode_words(example.tokens, example.word_mask)
            given.append((features, words, example.word_mask, example.image_of_expression, torch.tensor(0.0)))
        first, second = given
        varies = [_varying(one, other) for one, other in zip(first[0], second[0], strict=True)]
        shapes = [varies, *(_varying(one, other) for one, other in zip(first[1:], second[1:], strict=True))]
        program = _export(graph, first, tuple(shapes), FUSE)
    (count,) = _user_inputs(program)[-2].shape
    _check_varies(count, "number of expressions", FUSE)
    others = "words", "word_mask", "image_of_expression", "exists_threshold_logit"
    return Trace(FUSE, program, (*graph.names, *others), outputs.computed, frozenset(outputs.computed), image.simplify)


@contextmanager
def tracing(network: Network) -> Iterator[None]:
    """Puts a network into evaluation mode, without gradients, and without the tensors of inference mode."""
    network.eval()
    with torch.inference_mode(False), torch.no_grad():
        yield


def _varying(one: Tensor, other: Tensor) -> dict[int, Any]:
    """Marks the axes along which two examples of an input differ."""
    return {axis: Dim.AUTO for axis, (m, n) in enumerate(zip(one.shape, other.shape, strict=True)) if m != n}


def _export(graph: torch.nn.Module, inputs: tuple[Any, ...], shapes: tuple[Any, ...], name: str) -> ExportedProgram:
    try:
        return export(graph.eval(), inputs, dynamic_shapes=shapes)
    except Exception as error:  # of many kinds
        raise InvalidInput(f"the {name} graph of this network cannot be traced ({first_line(error)})") from error


def _user_inputs(program: ExportedProgram) -> list[Tensor]:
    names = set(program.graph_signature.user_inputs)
    return [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def _check_varies(size: Any, what: str, name: str) -> None:
    if isinstance(size, int):
        raise InvalidInput(f"the {name} graph of this network takes one {what} alone, so it is not exported")
