"""Swaps left and right in expressions for mirrored images."""

import re

SIDES = ("left", "right"), ("leftmost", "rightmost"), ("lefthand", "righthand"), ("leftward", "rightward")
MIRRORED = {one: other for pair in SIDES for one, other in (pair, pair[::-1])}
_SIDE = re.compile(rf"\b({'|'.join(sorted(MIRRORED, key=len, reverse=True))})(s?)\b", re.IGNORECASE)


def mirrored(expression: str) -> str:
    """Swaps left and right in an expression, as whole words.

    >>> mirrored("Left of the bright lamp, on the right-hand side")
    'Right of the bright lamp, on the left-hand side'
    """
    return _SIDE.sub(lambda found: _like(found[1], MIRRORED[found[1].lower()]) + found[2], expression)


def _like(word: str, other: str) -> str:
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[:1].isupper() else other
