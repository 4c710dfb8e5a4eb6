"""What a measurement ran on, in words: a time or a figure never travels without it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from refseg import __version__
from refseg.errors import InvalidInput, first_line, shown


def check_device(device: str) -> None:
    """Computes something there, since a device may be known and not be had.

    Raises:
        InvalidInput: for a device on which nothing can be computed here.
    """
    import torch

    try:
        torch.ones(1, device=device).add(1).item()
    except Exception as error:  # each kind of device raises what it likes
        raise InvalidInput(
            f"device {shown(device)} cannot be used ({first_line(error)}); use 'cpu', or 'cuda' with a GPU"
        ) from error


def hardware(device: str = "cpu") -> str:
    """Processor or GPU, cores and threads, for example "AMD EPYC, 2 cores, torch on 1 thread"."""
    import torch

    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, {_processor()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, torch on {torch.get_num_threads()} threads"


def versions() -> str:
    """Versions that results may depend on."""
    return f"refseg {__version__}, torch {version('torch')}, Python {platform.python_version()}"


def supports_bfloat16() -> bool:
    """Has this processor instructions for bfloat16? Without them it is several times slower than float32."""
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.12
    return not capabilities or any(has for name, has in capabilities.items() if name.endswith("bf16"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
