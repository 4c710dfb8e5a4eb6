"""Expressions as adapters take them: whole sentences, with a remark if the model reads only their beginning."""

from collections.abc import Callable, Collection

from refseg.adapters.local_model import quiet_transformers
from refseg.errors import shortened, weights_choice
from refseg.text.characters import Characters

MOST_BYTES = 10_000  # of an expression


class Sentences(Characters):
    """Keeps expressions as they are, for the tokenizer of an open model, and says what that one cuts.

    Args:
        name: of the adapter.
        count: counts the pieces of an expression, the special ones included; None if nothing is cut.
        most_pieces: that the model reads.
        ignores: names of parts of a sentence that the model ignores, as `Query.parts` names them.
    """

    def __init__(
        self,
        name: str,
        count: Callable[[str], int] | None = None,
        most_pieces: int | None = None,
        ignores: Collection[str] = (),
    ):
        super().__init__(MOST_BYTES)
        self._name, self._count, self._most_pieces, self._ignores = name, count, most_pieces, ignores

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not read."""
        from refseg.readers.parse import read

        remarks = super().remarks(expression)
        parts = read(expression).parts() if self._ignores else ()
        if ignored := [f"{part}: {text}" for part, text in parts if part in self._ignores]:
            reader = weights_choice("reader", finder=self._name)  # of the same name
            what = f"{self._name} takes names of things, and may ignore the rest ({', '.join(ignored)})"
            remarks.append(f"{what}; {reader} reads it")
        if self._count is None or self._most_pieces is None:
            return remarks
        with quiet_transformers():  # which warns of what is told here
            excess = self._count(expression) - self._most_pieces
        if excess <= 0:
            return remarks
        what = f"{self._name} reads {self._most_pieces} pieces, it has {excess} more"
        return [*remarks, f"{shortened(expression, 60)!r} is cut: {what}; shorten it"]
