"""One evaluation by many processes, started by torchrun: which of them this is, and when all are done."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

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
    """What torchrun says, and a connection to the other processes while inside."""
    found = Ranks(
        *(int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    )
    if found.world == 1:
        yield found
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield found
    finally:
        torch.distributed.destroy_process_group()
