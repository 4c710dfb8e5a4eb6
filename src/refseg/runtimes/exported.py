"""The methods of an exported network, from arrays to arrays, without torch."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.errors import InvalidInput, for_caller
from refseg.runtimes import RUNTIMES
from refseg.runtimes.entry import ENDINGS, FUSE, GRAPHS, IMAGE, WORDS, RuntimeEntry
from refseg.runtimes.graph import Arrays, Graph


class ExportedGraphs:
    """The graphs of a folder.

    Attributes:
        entry: what config.json says about them.
    """

    def __init__(self, folder: Path, entry: RuntimeEntry):
        self.entry = entry
        module, _, name = RUNTIMES[entry.name][0].partition(":")
        graph: type[Graph] = getattr(import_module(module), name)
        self._graphs = {one: graph(folder / f"{one}{ENDINGS[entry.name][0]}", entry.precision) for one in GRAPHS}

    def record_inputs(self) -> dict[str, list[Arrays]]:
        """Returns lists by graph, to which each call adds its inputs from now on."""
        recorded = {}
        for name, graph in self._graphs.items():
            recorded[name] = graph.recorded = []
        return recorded

    def encode_image(self, image: NDArray[np.float32]) -> Arrays:
        """Computes the tensors of images (B, 3, H, W) by name.

        Raises:
            InvalidInput: for a size that was not exported.
        """
        self.check_size((image.shape[-2], image.shape[-1]))
        return self._graphs[IMAGE]({"image": image})

    def check_size(self, size_hw: tuple[int, int]) -> None:
        """Checks that the graphs take images of this size; raises InvalidInput if not."""
        entry, (height, width) = self.entry, size_hw
        if entry.size_hw is not None:
            fits = size_hw == tuple(entry.size_hw)
        else:
            fits = min(size_hw) >= entry.least_side and not (height % entry.multiple or width % entry.multiple)
        if not fits:
            again = for_caller(f"--size {height} {width}", f"size_hw=({height}, {width})")
            raise InvalidInput(
                f"these weights were exported for {entry.sizes}, and the image becomes {height} x {width}; export them "
                f"again with {again}, or take the weights that they were exported from"
            )

    def encode_words(self, tokens: NDArray[np.int64], word_mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Computes words (M, L, D) of tokens (M, L), for as many tokens as `padded` gives."""
        (words,) = self._graphs[WORDS]({"tokens": tokens, "word_mask": word_mask}).values()
        return words

    def padded(
        self, tokens: NDArray[np.int64], word_mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Pads tokens and word_mask (M, L) to the length that the graphs take, if they take one only."""
        more = (self.entry.words or tokens.shape[1]) - tokens.shape[1]
        if more < 0:
            raise InvalidInput(f"the expression has {tokens.shape[1]} tokens, these weights read {self.entry.words}")
        return (
            (np.pad(tokens, ((0, 0), (0, more))), np.pad(word_mask, ((0, 0), (0, more))))
            if more
            else (
                tokens,
                word_mask,
            )
        )

    def fuse(
        self,
        features: Mapping[str, NDArray[Any]],
        words: NDArray[np.float32],
        word_mask: NDArray[np.bool_],
        image_of_expression: NDArray[np.int64],
        exists_threshold_logit: float,
    ) -> Arrays:
        """Computes the fields of the output by name."""
        given = {
            **features,
            "words": words,
            "word_mask": word_mask,
            "image_of_expression": image_of_expression,
            "exists_threshold_logit": np.array(exists_threshold_logit, np.float32),
        }
        found = self._graphs[FUSE](given)
        return {**found, **{field: features[name] for field, name in self.entry.passed.items()}}
