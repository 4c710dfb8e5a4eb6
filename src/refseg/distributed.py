"""One evaluation by many processes, started by torchrun: which of them this is, and when all are done."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

PATIENCE = timedelta(days=7)  # torchrun ends all processes when one dies; until then the slowest is waited for


@dataclass(frozen=True)
class Ranks:
    """Which process it is of how many; alone it is 0 of 1."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def device(self, device: str) -> str:
        """The device for this process: "cuda" is its own GPU."""
        return f"cuda:{self.local_rank}" if device == "cuda" and self.world > 1 else device

    def wait_for_all(self) -> None:
        """Returns when all processes have come here."""
        if self.world > 1:
            import torch.distributed

            torch.distributed.barrier()


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Yields what torchrun says, with a connection to the other processes while inside; contexts may be nested."""
    found = Ranks(
        *(int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    )
    if found.world == 1 or (distributed.is_available() and distributed.is_initialized()):
        yield found
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield found
    finally:
        torch.distributed.destroy_process_group()


def mean(values: Tensor) -> Tensor:
    """The mean of values, one an expression, of all processes: their losses together are what one would compute."""
    return values.sum() / mean_over_processes(torch.tensor(float(values.numel()), device=values.device))


def mean_count(count: Tensor | int, like: Tensor) -> Tensor:
    """What a sum over so many things of this process is divided by: the mean of the counts of all processes.

    Their losses together are then what one would compute. It is one thing in all where there is none.
    """
    processes = distributed.get_world_size() if is_distributed() else 1
    amount = torch.as_tensor(count, dtype=torch.float32, device=like.device)
    return mean_over_processes(amount).clamp(min=1 / processes)


def mean_over_processes(amount: Tensor) -> Tensor:
    """The mean of a number of each process of a training, so that a ratio to it is what one process would compute."""
    if not is_distributed():
        return amount
    amount = amount.detach().clone()
    distributed.all_reduce(amount)
    return amount / distributed.get_world_size()


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """The rows (M, C) of all processes, one below another, and the number of this one's first; gradients go back."""
    if not is_distributed():
        return rows, 0
    from torch.distributed.nn.functional import all_reduce

    counts = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    counts[distributed.get_rank()] = len(rows)
    distributed.all_reduce(counts)
    start, count = int(counts[: distributed.get_rank()].sum()), int(counts.sum())
    return all_reduce(F.pad(rows, (0, 0, start, count - start - len(rows)))), start


def is_distributed() -> bool:
    """Are there several processes, or one that could have company?"""
    return distributed.is_available() and distributed.is_initialized()
