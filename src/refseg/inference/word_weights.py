"""Weights of words: a number for each word of an expression, from the network's own pass, as `refseg explain` draws."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from refseg.blocks.view import View

_log = logging.getLogger("refseg.inference")


@dataclass(frozen=True)
class WordRow:
    """Weights of the words in one part of a network.

    Attributes:
        name: title of the view, "stage 1: words".
        source: figure, equation or module of the paper.
        meaning: one line on the numbers; "" if the network does not say.
        values: a number for each word or word piece.
    """

    name: str
    source: str
    meaning: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class WordWeights:
    """Weights of the words of an expression, in the order of the forward pass.

    Attributes:
        pieces: words or word pieces that the network read.
        rows: a row for each part of the network that weighs them.
    """

    pieces: tuple[str, ...]
    rows: tuple[WordRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        rows = [{**vars(row), "values": [round(value, 4) for value in row.values]} for row in self.rows]
        return {"pieces": list(self.pieces), "rows": rows}


ViewedWords: TypeAlias = "Sequence[tuple[View, Tensor]]"
"""Views of words, each with the weights (M, L) that it has for M expressions; on the CPU."""


@contextmanager
def recorded_outputs(views: Sequence[View]) -> Iterator[dict[int, Any]]:
    """Records the outputs of the views' modules, by id of the module; of several calls, the last one."""
    outputs: dict[int, Any] = {}
    hooks = [
        view.module.register_forward_hook(lambda module, inputs, output: outputs.update({id(module): output}))
        for view in views
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def read_words(views: Sequence[View], outputs: dict[int, Any], count: int) -> ViewedWords:
    """Returns the weights of words in recorded outputs for `count` expressions.

    Those that cannot be read are left out and logged: no answer depends on them.
    """
    found = []
    for view in views:
        try:
            values = view.read(outputs[id(view.module)]).detach().float().cpu()
        except Exception as error:
            _log.warning("the view %r cannot be read: %s: %s", view.name, type(error).__name__, error)
            continue
        if values.ndim == 2 and len(values) == count and values.isfinite().all():
            found.append((view, values))
    return found


def words_of_expression(viewed: ViewedWords, m: int, pieces: Sequence[str]) -> WordWeights | None:
    """Returns the weights of the words of expression m; None if there are none."""
    rows = [
        WordRow(view.name, view.source, view.meaning, tuple(values[m, : len(pieces)].tolist()))
        for view, values in viewed
        if len(pieces) <= values.shape[1]
    ]
    return WordWeights(tuple(pieces), tuple(rows)) if rows else None
