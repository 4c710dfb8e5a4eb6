"""Process groups and the ranks that torchrun sets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

_ERRORS = "refseg/errors"  # name of the number of processes that have failed, which all of them can read
TIMEOUT = timedelta(days=7)  # the slowest process is waited for; torchrun ends all when one dies


@dataclass(frozen=True)
class Ranks:
    """Rank of this process and number of processes; 0 of 1 without torchrun."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def device(self, device: str) -> str:
        """Returns the device of this process: its own GPU for "cuda"."""
        return f"cuda:{self.local_rank}" if device == "cuda" and self.world > 1 else device

    def wait_for_all(self) -> None:
        """Blocks until all processes have called it."""
        if self.world > 1:
            import torch.distributed

            torch.distributed.barrier()


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Yields the ranks that torchrun set, within an initialised process group; contexts may be nested."""
    found = Ranks(
        *(int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    )
    if found.world == 1 or (distributed.is_available() and distributed.is_initialized()):
        yield found
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=TIMEOUT)
    try:
        yield found
    except Exception as error:
        if not is_first_error():
            raise SystemExit(2) from error  # another process has told its own
        raise
    finally:
        torch.distributed.destroy_process_group()


def mean(values: Tensor) -> Tensor:
    """Averages values, one per expression, over all processes, so that their mean loss is that of one process."""
    return values.sum() / mean_over_processes(torch.tensor(float(values.numel()), device=values.device))


def mean_count(count: Tensor | int, like: Tensor) -> Tensor:
    """Returns the mean of the counts of all processes, the divisor of a sum over `count` items of this process.

    The mean of the processes' losses is then that of one process. It is at least 1 item in all processes together.
    """
    processes = distributed.get_world_size() if is_distributed() else 1
    amount = torch.as_tensor(count, dtype=torch.float32, device=like.device)
    return mean_over_processes(amount).clamp(min=1 / processes)


def mean_over_processes(amount: Tensor) -> Tensor:
    """Averages a number over all processes, so that ratios to it average to that of one process."""
    if not is_distributed():
        return amount
    amount = amount.detach().clone()
    distributed.all_reduce(amount)
    return amount / distributed.get_world_size()


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Concatenates the rows (M, C) of all processes, with gradients; also returns the index of this one's first row."""
    if not is_distributed():
        return rows, 0
    from torch.distributed.nn.functional import all_reduce

    counts = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    counts[distributed.get_rank()] = len(rows)
    distributed.all_reduce(counts)
    start, count = int(counts[: distributed.get_rank()].sum()), int(counts.sum())
    return all_reduce(F.pad(rows, (0, 0, start, count - start - len(rows)))), start


def is_first_error() -> bool:
    """Whether no other process has had an error before this one asks; it then tells the user of its own.

    Before processes are connected they all check the same, and the first one of a machine tells.
    """
    if not is_distributed():
        return os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        return int(distributed.distributed_c10d._get_default_store().add(_ERRORS, 1)) == 1
    except RuntimeError:  # the process that keeps the count has ended, and has told why
        return False


def is_distributed() -> bool:
    """Whether a process group is initialised."""
    return distributed.is_available() and distributed.is_initialized()
