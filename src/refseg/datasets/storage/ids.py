"""Ids in annotations, which some files write as numbers and others as texts."""

import reprlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from refseg.errors import InvalidInput


def normalize_id(value: Any) -> str:
    """Returns an id as a text, so that "1", 1 and 1.0 are equal.

    Raises:
        InvalidInput: if it is neither a text nor a whole number.

    >>> normalize_id("1"), normalize_id(1), normalize_id(1.0)
    ('1', '1', '1')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise InvalidInput(f"an id is a number or a text, not {reprlib.repr(value)}")
    return str(int(value))


def repeated(ids: Iterable[str]) -> list[str]:
    """Returns the ids that occur more than once.

    >>> repeated(["1", "2", "1"])
    ['1']
    """
    return [id for id, count in Counter(ids).items() if count > 1]
