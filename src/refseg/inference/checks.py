"""Checks and warnings of all segmenters, without torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.finders.installed import reader_advice
from refseg.readers.parse import said_number
from refseg.text.tokenizer import Tokenizer


def check_expressions(tokenizer: Tokenizer, expressions: Sequence[str], threshold: float | None) -> None:
    """Checks expressions and a threshold; raises InvalidInput if they cannot be answered."""
    if threshold is not None and not 0 < threshold < 1:
        raise InvalidInput(f"threshold {threshold} is not between 0 and 1; it is a probability, for example 0.5")
    if isinstance(expressions, str):
        raise InvalidInput(f"{expressions!r} is one expression; give a list of them, for example [{expressions!r}]")
    for expression in expressions:
        if not isinstance(expression, str):
            raise InvalidInput(f"{type(expression).__name__} is not an expression; give a string")
        if any("\ud800" <= letter <= "\udfff" for letter in expression):
            raise InvalidInput(f"{expression!r} holds bytes that are no text; give the expression in UTF-8")
        tokenizer.ids(expression)


def unfamiliar_warning(knows: str, is_frame: bool = False) -> str:
    """Returns the warning about an image, or a frame of a video, that is unlike what weights know."""
    unlike, advice = ("a frame of the video", "filmed videos") if is_frame else ("the image", "photographs")
    return (
        f"{unlike} is unlike what these weights know ({knows or 'see their card'}), so the answer "
        f"may mean nothing; {reader_advice(advice)}"
    )


def number_warnings(expression: str, instance_map: NDArray[np.uint8] | None) -> tuple[str, ...]:
    """Returns the warning that another number of objects was found than the expression says, () if there is none.

    Args:
        expression: what was asked for.
        instance_map: (H, W), 0 outside of the objects that were found; None if they are not known.

    >>> number_warnings("both circles", np.array([[0, 1], [0, 1]], np.uint8))
    ('the sentence speaks of 2, and 1 object matched',)
    """
    said = None if instance_map is None or not instance_map.any() else said_number(expression)
    if instance_map is None or said is None:
        return ()
    count = np.count_nonzero(np.bincount(instance_map.ravel())[1:])
    return () if count == said else (f"the sentence speaks of {said}, and {counted(int(count), 'object')} matched",)
