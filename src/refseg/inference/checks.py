"""Checks and warnings of all segmenters, without torch."""

from collections.abc import Sequence

from refseg.errors import InvalidInput
from refseg.finders.installed import photograph_advice
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


def unfamiliar_warning(knows: str) -> str:
    """Returns the warning about an image that is unlike what weights know."""
    return (
        f"the image is unlike what these weights know ({knows or 'see their card'}), so the answer "
        f"may mean nothing; {photograph_advice()}"
    )
