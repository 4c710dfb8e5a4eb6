"""The metrics as a torchmetrics `Metric`: fed batch by batch on every rank, computed once over all expressions.

The state is the counts of every expression seen, so no value depends on batches or ranks and all metrics share it.
(One Metric each, kept as two sums, would be wrong in a `MetricCollection`: after a first batch without no-target
expressions the states of oIoU and cIoU are equal, and the collection merges them for good.)
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from refseg.metrics import Counts
from refseg.protocols.protocol import Protocol
from refseg.protocols.standard import Standard


class RunningMetrics(Metric):
    """All metrics of a protocol over every expression that any rank has seen.

    >>> running = RunningMetrics()
    >>> running.update(torch.tensor([1]), torch.tensor([2]), torch.tensor([True]), torch.tensor([True]))
    >>> running.compute()["oIoU"]
    tensor(0.5000, dtype=torch.float64)
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    rows: Any  # list of (n, 4) int64, or their concatenation after synchronization

    def __init__(self, protocol: Protocol | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.protocol = protocol or Standard()
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the empty row keeps type and shape right on a rank that sees no expression."""
        super().reset()
        self.rows.append(torch.empty(0, 4, dtype=torch.int64, device=self.device))

    def update(self, intersection: Tensor, union: Tensor, has_target: Tensor, has_prediction: Tensor) -> None:
        """Takes the counts (n,) of a batch; with `Counts`: `running.update(*counts)`."""
        columns = intersection, union, has_target, has_prediction
        self.rows.append(torch.stack([column.long() for column in columns], dim=1).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Each metric that is defined, a float64 scalar under the protocol's name for it."""
        intersection, union, has_target, has_prediction = dim_zero_cat(self.rows).cpu().unbind(1)
        counts = Counts(intersection, union, has_target.bool(), has_prediction.bool())
        summary = self.protocol.summarize(counts)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in summary.items()}
