"""The share of a worker: which of the pieces it answers, by hand, under torchrun, or under Slurm."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from refseg.errors import InvalidInput, for_caller, option, shown

_PART = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Share:
    """Every `world`-th piece, from piece `rank` on.

    Attributes:
        rank: number of the worker, from 0.
        world: number of workers.
        source: what said so; "" if nothing did.
        local_rank: number of the worker on its machine, which says which GPU is its own.
    """

    rank: int = 0
    world: int = 1
    source: str = ""
    local_rank: int = 0

    def __str__(self) -> str:
        return f"worker {self.rank + 1:,} of {self.world:,}" + (f" ({self.source})" if self.source else "")


def find_share(part: str | None = None, environment: Mapping[str, str] = os.environ) -> Share:
    """Returns the share that `part` names, or torchrun, or Slurm: tasks of a step, of a job array, or of both.

    Args:
        part: "2/8" for the second of eight parts.
        environment: variables that torchrun and Slurm set.

    Raises:
        InvalidInput: if it is not such a part, or the array is not a range.

    >>> print(find_share("2/8", {}))
    worker 2 of 8 (part 2/8)
    >>> print(find_share(None, {"RANK": "3", "WORLD_SIZE": "4"}))
    worker 4 of 4 (torchrun)
    >>> print(find_share(None, {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "9"}))
    worker 6 of 9 (Slurm)
    """
    if part is not None:
        found = _PART.fullmatch(part.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise InvalidInput(
                f"{option('part', part)} is no part; write {option('part', '2/8')} for the second of eight"
            )
        return Share(int(found[1]) - 1, int(found[2]), f"part {int(found[1])}/{int(found[2])}")
    world = _number(environment, "WORLD_SIZE", 1)
    if world > 1:
        return Share(_number(environment, "RANK"), world, "torchrun", _number(environment, "LOCAL_RANK"))
    rank, world, local_rank = 0, 1, 0
    if "SLURM_STEP_ID" in environment:  # under srun; a batch script alone is one process, whatever the job has
        tasks = _number(environment, "SLURM_STEP_NUM_TASKS", _number(environment, "SLURM_NTASKS", 1))
        rank, world, local_rank = _number(environment, "SLURM_PROCID"), tasks, _number(environment, "SLURM_LOCALID")
    if "SLURM_ARRAY_TASK_ID" in environment:
        first, step = _number(environment, "SLURM_ARRAY_TASK_MIN"), _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
        index, left = divmod(_number(environment, "SLURM_ARRAY_TASK_ID") - first, max(step, 1))
        count = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
        if left or not 0 <= index < count:
            raise InvalidInput(
                "the array of Slurm is no range, such as 0-99; give one, or say which part this is with "
                f"{option('part', '2/8')}"
            )
        rank, world = index * world + rank, count * world
    return Share(rank, world, "Slurm", local_rank) if world > 1 else Share()


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    value = environment.get(name, "")
    if not value:
        return default
    if not re.fullmatch(r"\d{1,9}", value):
        way_out = for_caller("--part 2/8", 'part="2/8"')
        raise InvalidInput(
            f"{name} is {shown(value, 40)}, not a number; unset it, or say which part this is: {way_out}"
        )
    return int(value)
