"""Hungarian method: one-to-one matching of least cost."""

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
Places = NDArray[np.int64]


def assign(costs: Costs) -> tuple[Places, Places]:
    """Returns matched rows, ascending, and their columns, one to one, with the least sum of costs (n, m).

    >>> assign(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0]]))
    (array([0, 1]), array([1, 0]))
    """
    if costs.shape[0] > costs.shape[1]:
        columns, rows = assign(costs.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, size = costs.shape
    of_row, of_column = (
        np.zeros(count),
        np.zeros(size + 1),
    )  # dual prices: no cost is below their sum, matched ones equal it
    row_of = np.full(size + 1, -1)  # of each column; the last entry is the row to be matched
    for new in range(count):
        row_of[size], column = new, size
        slack, came_from, visited = np.full(size, np.inf), np.full(size, size), np.zeros(size + 1, np.bool_)
        while row_of[column] >= 0:  # grow an alternating tree until it meets a free column
            visited[column] = True
            row = row_of[column]
            over = costs[row] - of_row[row] - of_column[:size]
            better = ~visited[:size] & (over < slack)
            slack[better], came_from[better] = over[better], column
            column = int(np.where(visited[:size], np.inf, slack).argmin())
            step = slack[column]
            of_row[row_of[visited]] += step
            of_column[visited] -= step
            slack[~visited[:size]] -= step
        while column != size:
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    matched = np.flatnonzero(row_of[:size] >= 0)
    order = np.argsort(row_of[matched])
    return np.arange(count), matched[order]
