"""Times of things that are to be compared: taken in turns, so that a busy machine is busy for all of them alike."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

from refseg.hardware import describe_hardware, versions


def medians(cases: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each case over `repeats` rounds, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(repeats + 1):
        for name, run in cases.items():
            begin = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(title: str, head: list[str], lines: list[list[str]]) -> None:
    """Prints a Markdown table with what it was measured on."""
    print(f"## {title}\n\n{describe_hardware()}; {versions()}\n\n{markdown(head, lines)}")


def markdown(head: list[str], lines: Iterable[list[str]]) -> str:
    """Returns a Markdown table, whose first column is to the left."""
    rows = (head, ["---", *(["---:"] * (len(head) - 1))], *lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
