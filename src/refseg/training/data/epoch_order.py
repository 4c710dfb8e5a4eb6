"""The order of an epoch, a function of the run's seed, the stage's number and the epoch alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64]


class EpochOrder:
    """Items in another order in each epoch; `[place]` is the item at a place, counted over all epochs.

    Args:
        key: the run's seed and the stage's number.
        count: of items.
        length: places of an epoch, at most `count`; all items if not given.
        arrange: changes the order of an epoch.
    """

    def __init__(
        self,
        key: tuple[int, int],
        count: int,
        length: int | None = None,
        arrange: Callable[[Order], Order] | None = None,
    ):
        self.key, self.count, self.length, self.arrange = key, count, length or count, arrange
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __getitem__(self, place: int) -> int:
        epoch, position = divmod(place, self.length)
        if self._epoch != epoch:
            order = np.random.default_rng((*self.key, 0, epoch)).permutation(self.count)
            self._epoch, self._order = epoch, order if self.arrange is None else self.arrange(order)
        return int(self._order[position])
