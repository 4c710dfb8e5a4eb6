"""Bounds on the depth and the expanded size of untrusted data."""

from typing import Any

from refseg.counting import counted

_CONTAINERS = frozenset([list, tuple, dict, set, frozenset])


def check_expanded(value: Any, max_items: int = 100_000_000, max_depth: int = 100) -> None:
    """Checks depth and size of data; shared items count as often as they are reached.

    Args:
        value: lists, tuples, dicts and sets; anything else counts as one item.
        max_items: largest number of items in all containers.
        max_depth: largest number of nested containers.

    Raises:
        ValueError: above these limits, or if a container holds itself.

    >>> pair = ()
    >>> for _ in range(40):
    ...     pair = pair, pair
    >>> check_expanded(pair)
    Traceback (most recent call last):
    ValueError: it holds more than 100,000,000 items
    """
    if type(value) not in _CONTAINERS:
        return
    measured: dict[int, tuple[int, int]] = {}  # items and depth of each container by its id
    entered: set[int] = set()  # containers around the present one
    waiting: list[tuple[Any, list[Any] | None]] = [(value, None)]  # with its containers once they are known
    while waiting:
        container, inner = waiting.pop()
        if id(container) in measured:
            continue
        if inner is None:
            items = container.values() if type(container) is dict else container
            inner = [item for item in items if type(item) in _CONTAINERS]
            if inner:
                entered.add(id(container))
                waiting.append((container, inner))
                for item in inner:
                    if id(item) in entered:
                        raise ValueError("it holds itself")
                    waiting.append((item, None))
                continue
        count, depth = len(container), 0
        for item in inner:
            more, below = measured[id(item)]
            count, depth = count + more, max(depth, below)
        if count > max_items:
            raise ValueError(f"it holds more than {counted(max_items, 'item')}")
        if depth >= max_depth:
            raise ValueError(f"it is nested more than {max_depth} deep")
        measured[id(container)] = count, depth + 1
        entered.discard(id(container))
