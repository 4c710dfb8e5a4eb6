"""Expressions by their ids or texts."""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from refseg.errors import InvalidInput, did_you_mean, shown

Key = TypeVar("Key")


def find_by_name(names: Sequence[str], known: Iterable[tuple[Key, Collection[str], str]], hint: str) -> list[Key]:
    """Returns the keys of the expressions with these ids or texts, each once and in the order of the names.

    Args:
        names: ids, or texts in any case and spacing.
        known: key, ids and text of each expression.
        hint: ends the message about a name that nothing has.

    Raises:
        InvalidInput: if there is no expression of a name.

    >>> find_by_name(["The star", "the  STAR", "b/0"], [(1, {"a/0"}, "the star"), (2, {"b/0"}, "a box")], "")
    [1, 2]
    """
    found: dict[str, list[Key]] = {name: [] for name in names}
    by_text: dict[str, set[str]] = {}
    for name in names:
        by_text.setdefault(_normalize(name), set()).add(name)
    texts: dict[str, None] = {}
    for key, ids, text in known:
        texts[text] = None
        for name in (found.keys() & ids) | by_text.get(_normalize(text), set()):
            found[name].append(key)
    for name, keys in found.items():
        if not keys:
            raise InvalidInput(f"no expression has the id or the text {shown(name)}; {did_you_mean(name, texts)}{hint}")
    return list(dict.fromkeys(key for keys in found.values() for key in keys))


def _normalize(text: str) -> str:
    return " ".join(text.casefold().split())
