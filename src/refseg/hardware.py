"""Description of the hardware and versions that a measurement ran on, and checks of devices."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from refseg import __version__
from refseg.errors import InvalidInput, choose_one, first_line, shown

GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # of NVIDIA's driver, AMD's and Windows' Linux
PRECISIONS = ("auto", "f32", "bf16")  # of inference; `checkpoints.precision.use_precision` says what they are
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu|xla|hpu|npu)(:\d{1,3})?")


def check_device_name(device: str) -> None:
    """Checks a device as far as it can be done without torch.

    Raises:
        InvalidInput: for an unknown name, or a GPU on a machine that has none.
    """
    if not _DEVICE.fullmatch(device):
        raise InvalidInput(f"unknown device {shown(device)}; {choose_one(device, ('auto', 'cpu', 'cuda', 'cuda:1'))}")
    if device.startswith("cuda") and not _may_have_gpu():
        raise InvalidInput(f"device {shown(device)} cannot be used (this machine has no GPU); use 'cpu' or 'auto'")


def check_precision_name(precision: str) -> None:
    """Raises InvalidInput unless a precision is one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InvalidInput(f"unknown precision {shown(precision)}; {choose_one(precision, PRECISIONS)}")


def choose_device(device: str = "auto") -> str:
    """Returns the device, for "auto" a GPU if there is one and else the CPU.

    >>> choose_device("cpu")
    'cpu'
    """
    if device != "auto":
        return device
    if not _may_have_gpu():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _may_have_gpu() -> bool:
    """Whether there may be a GPU for torch's "cuda"; on Linux its driver has a file in /dev."""
    return platform.system() != "Linux" or any(os.path.exists(file) for file in GPU_FILES)


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
            f"device {shown(device)} cannot be used ({first_line(error)}); use 'cpu', 'cuda' with a GPU, or 'auto'"
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
