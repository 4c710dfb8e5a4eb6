"""Description of the hardware and versions that a measurement ran on, and checks of devices."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from refseg import __version__
from refseg.errors import InvalidInput, first_line, shown


def check_device(device: str) -> None:
    """Checks a device by a computation, since a known device may be absent.

    Raises:
        InvalidInput: if the device cannot compute.
    """
    import torch

    try:
        torch.ones(1, device=device).add(1).item()
    except Exception as error:  # depends on the kind of device
        raise InvalidInput(
            f"device {shown(device)} cannot be used ({first_line(error)}); use 'cpu', or 'cuda' with a GPU"
        ) from error


def describe_hardware(device: str = "cpu") -> str:
    """Describes processor or GPU, cores and threads, for example "AMD EPYC, 2 cores, torch on 1 threads"."""
    import torch

    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, {_processor()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, torch on {torch.get_num_threads()} threads"


def versions() -> str:
    """Describes the versions that results may depend on."""
    return f"refseg {__version__}, torch {version('torch')}, Python {platform.python_version()}"


def supports_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions, without which bfloat16 is several times slower than float32.

    True if it is unknown, as with torch before 2.12.
    """
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return not capabilities or any(has for name, has in capabilities.items() if name.endswith("bf16"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
