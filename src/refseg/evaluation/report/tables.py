"""Wide tables in a narrow terminal: several below each other, so that no name is cut."""

from collections.abc import Sequence

from rich.cells import cell_len

GAP = 2  # between columns


def split_columns(
    head: Sequence[str], lines: Sequence[Sequence[str]], width: int
) -> list[tuple[list[str], list[list[str]]]]:
    """Divides a table into tables with the first column and some of the others, as many as fit into the width.

    Names in the first column may be folded between words, with no less than half of the longest on a line.

    >>> split_columns(["", "oIoU", "mIoU", "T-acc"], [["moves down", "97.32", "96.85", "100.00"]], width=20)
    [(['', 'oIoU', 'mIoU'], [['moves down', '97.32', '96.85']]), (['', 'T-acc'], [['moves down', '100.00']])]
    """
    names, *others = zip(head, *lines, strict=True)
    words = [word for name in names for word in name.split()]
    room = width - max([*map(cell_len, words), *(-(-cell_len(name) // 2) for name in names)])
    widths = [GAP + max(map(cell_len, column)) for column in others]

    def fill(most: int) -> list[list[int]]:
        groups: list[list[int]] = [[]]
        for k, needed in enumerate(widths):
            if groups[-1] and (len(groups[-1]) == most or sum(widths[i] for i in groups[-1]) + needed > room):
                groups.append([])
            groups[-1].append(k)
        return groups

    groups = fill(len(widths))
    return [
        ([head[0], *(head[k + 1] for k in group)], [[line[0], *(line[k + 1] for k in group)] for line in lines])
        for group in fill(-(-len(widths) // len(groups)))  # about equal numbers of columns
    ]
