"""What a run runs on."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

Sharing = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class Machines:
    """Processes, each with its own device.

    Attributes:
        devices: processes of a machine.
        nodes: machines.
        accelerator: "cpu", "gpu" or "auto".
        strategy: "ddp": every process has all weights; "fsdp": each has a part of them (FSDP2).
    """

    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    strategy: Sharing = "ddp"

    @property
    def world(self) -> int:
        """All processes."""
        return self.devices * self.nodes

    @property
    def have_gpus(self) -> bool:
        """Does the training run on GPUs?"""
        return self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())

    def lightning_strategy(self) -> Any:
        """Lightning's name or object for it; one process needs none."""
        if self.strategy == "fsdp":
            # one file for all weights, so that a run can be resumed on another number of processes
            return ModelParallelStrategy(self.world, tensor_parallel_size=1, save_distributed_checkpoint=False)
        return DDPStrategy(broadcast_buffers=False) if self.world > 1 else "auto"
