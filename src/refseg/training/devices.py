"""Devices, machines and how they share the work, as Lightning Fabric takes them."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy
from torch.distributed.device_mesh import DeviceMesh

from refseg.training.repeated_blocks import repeated_blocks

Sharing = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class Devices:
    """Processes, each with its own device.

    Attributes:
        count: devices, and so processes, of a machine.
        nodes: machines.
        accelerator: "cpu", "gpu" or "auto".
        strategy: "ddp": every process has all weights; "fsdp": each has a part of them (FSDP2).
    """

    count: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    strategy: Sharing = "ddp"

    @property
    def world(self) -> int:
        """The number of all processes."""
        return self.count * self.nodes

    @property
    def have_gpus(self) -> bool:
        """Whether the training runs on GPUs."""
        return self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())

    def fabric(self, precision: Any) -> Fabric:
        """Returns what runs a training on these devices, not launched yet; `precision` as Fabric names it."""
        strategy: Any = "auto"
        if self.strategy == "fsdp":
            # one file for all weights, so that a run can be resumed on another number of processes
            strategy = ModelParallelStrategy(
                parallelize_fn=_shard, data_parallel_size=self.world, tensor_parallel_size=1
            )
        elif self.world > 1:
            strategy = DDPStrategy(broadcast_buffers=False)
        return Fabric(
            accelerator="gpu" if self.have_gpus else "cpu",
            strategy=strategy,
            devices=self.count,
            num_nodes=self.nodes,
            precision=precision,
        )


ONE_DEVICE = Devices()


def _shard(learner: Any, mesh: DeviceMesh) -> Any:
    from torch.distributed.fsdp import fully_shard

    for module in (*repeated_blocks(learner.network), learner):
        fully_shard(module, mesh=mesh["data_parallel"])
    return learner
