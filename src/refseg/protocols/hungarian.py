"""Who is matched to whom at the least cost."""

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
Places = NDArray[np.int64]


def assign(costs: Costs) -> tuple[Places, Places]:
    """Rows, ascending, and their columns, one to one, whose costs (n, m) sum to the least (the Hungarian method).

    >>> assign(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0]]))
    (array([0, 1]), array([1, 0]))
    """
    if costs.shape[0] > costs.shape[1]:
        columns, rows = assign(costs.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, size = costs.shape
    of_row, of_column = np.zeros(count), np.zeros(size + 1)  # prices: no cost is below their sum, matched ones equal it
    row_of = np.full(size + 1, -1)  # of each column; the last one stands for the row that looks for a column
    for new in range(count):
        row_of[size], column = new, size
        slack, came_from, seen = np.full(size, np.inf), np.full(size, size), np.zeros(size + 1, np.bool_)
        while row_of[column] >= 0:  # grow a tree of the cheapest changes until it meets a column that is free
            seen[column] = True
            row = row_of[column]
            over = costs[row] - of_row[row] - of_column[:size]
            better = ~seen[:size] & (over < slack)
            slack[better], came_from[better] = over[better], column
            column = int(np.where(seen[:size], np.inf, slack).argmin())
            step = slack[column]
            of_row[row_of[seen]] += step
            of_column[seen] -= step
            slack[~seen[:size]] -= step
        while column != size:
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    matched = np.flatnonzero(row_of[:size] >= 0)
    order = np.argsort(row_of[matched])
    return np.arange(count), matched[order]
