"""Processes of one training, started here as torchrun starts them, without the seconds that importing torch takes.

They are forked from a server that has imported the training and done nothing else: a fork of a process in which
autograd has run cannot train.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any


def start(world: int, function: Callable[..., Any], *arguments: Any) -> list[BaseProcess]:
    """Calls a function in so many new processes, which find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["refseg.training.run"])
    environment = dict(os.environ)
    processes = [
        context.Process(target=_call, args=(rank, world, port, environment, function, arguments))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    return processes


def finish(processes: list[BaseProcess], seconds: float = 600) -> list[int | None]:
    """Waits; the exit codes."""
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def kill(processes: list[BaseProcess]) -> None:
    """Kills them (`kill -9`) with their workers."""
    for process in processes:
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # it has been started
    finish(processes)


def _call(
    rank: int,
    world: int,
    port: int,
    environment: dict[str, str],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.environ |= environment  # the server has that of its start
    import torch
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    os.setpgid(0, 0)  # so that its workers can be killed with it
    torch.set_num_threads(1)  # OpenMP hangs with more in a fork
    torch.set_num_threads = lambda count: None
    if world > 1:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        more = {"GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": port}
        os.environ |= {name: str(value) for name, value in (places | more).items()}
        rank_zero_only.rank = rank
    function(*arguments)
