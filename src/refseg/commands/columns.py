"""Tables of text in the terminal that are never cut or folded: a line longer than it is broken by the terminal."""

from collections.abc import Sequence


def align(lines: Sequence[Sequence[str]], is_text: Sequence[bool]) -> list[str]:
    """Returns a line of text for each line of cells, in columns that are two spaces apart.

    Args:
        lines: cells, as many in every line.
        is_text: whether a column is text, which is aligned left, and not numbers.

    >>> align([["name", "IoU"], ["a", "9.5"], ["longer", "10.25"]], [True, False])
    ['name      IoU', 'a         9.5', 'longer  10.25']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in lines
    ]
