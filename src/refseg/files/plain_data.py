"""Bounds on data that anybody may have written: how deep it nests, and how much it is with all repetitions."""

from typing import Any

_CONTAINERS = frozenset([list, tuple, dict, set, frozenset])


def check_expanded(value: Any, max_items: int = 100_000_000, max_depth: int = 100) -> None:
    """Refuses data that nobody could walk through; what is shared counts as often as it is reached.

    Args:
        value: lists, tuples, dicts, sets and anything else, which counts as one item.
        max_items: items of all containers together.
        max_depth: containers within each other.

    Raises:
        ValueError: if there are more, or a container holds itself.

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
    entered: set[int] = set()  # containers on the way to the one that is looked at
    waiting: list[tuple[Any, list[Any] | None]] = [(value, None)]  # with the containers in it, once it was looked at
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
            raise ValueError(f"it holds more than {max_items:,} items")
        if depth >= max_depth:
            raise ValueError(f"it is nested more than {max_depth} deep")
        measured[id(container)] = count, depth + 1
        entered.discard(id(container))
