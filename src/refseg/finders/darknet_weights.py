"""Darknet's files of weights: a header, and the numbers of all convolutions in the order of the network.

Header   three int32 (major, minor, revision) and the number of images seen, int64 from version 0.2 on; little-endian.
Numbers  float32; of a convolution with a batch norm its bias, scale, mean and variance, then the kernel; of another
         the bias, then the kernel.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from refseg.errors import InvalidInput, MissingFile, unreadable

HEADER = struct.Struct("<iiiq")
MINOR_VERSIONS = 2, 5  # those with int64


def load_darknet_weights(network: nn.Module, file: Path, way_out: str) -> None:
    """Loads a file of darknet's weights into a network, whose convolutions are defined in the file's order.

    Args:
        network: its batch norms directly follow their convolutions in `modules()`.
        file: the file.
        way_out: advice for errors.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is of another size or format, holds numbers that are not finite, or cannot be read.
    """
    tensors = list(darknet_order(network))
    wanted = HEADER.size + 4 * sum(tensor.numel() for tensor in tensors)
    if not file.is_file():
        raise MissingFile(f"{file} is missing; {way_out}")
    try:
        size, content = file.stat().st_size, b""
        if size == wanted:
            content = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) or error from None
    if len(content) != wanted:
        raise InvalidInput(f"{file} has {size:,} bytes, the weights of this network have {wanted:,}; {way_out}")
    major, minor, _, _ = HEADER.unpack_from(content)
    numbers = np.frombuffer(content, "<f4", offset=HEADER.size).astype(np.float32)
    if major or minor not in MINOR_VERSIONS:
        raise InvalidInput(f"{file} is not a file of darknet's weights (version {major}.{minor}); {way_out}")
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{file} holds numbers that are not finite (NaN or infinity); {way_out}")
    with torch.no_grad():
        for tensor in tensors:
            given, numbers = numbers[: tensor.numel()], numbers[tensor.numel() :]
            tensor.copy_(torch.from_numpy(given).view_as(tensor))


def save_darknet_weights(network: nn.Module, file: Path) -> None:
    """Saves a network's weights as darknet does; the counterpart of `load_darknet_weights`."""
    with file.open("wb") as opened:
        opened.write(HEADER.pack(0, 2, 5, 0))
        for tensor in darknet_order(network):
            opened.write(tensor.detach().cpu().numpy().astype("<f4").tobytes())


def darknet_order(network: nn.Module) -> Iterator[Tensor]:
    """Yields the tensors of a network's convolutions in darknet's order."""
    modules = list(network.modules())
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.Conv2d):
            if isinstance(after, nn.BatchNorm2d):
                assert after.running_mean is not None and after.running_var is not None
                yield from (after.bias, after.weight, after.running_mean, after.running_var)
            else:
                assert module.bias is not None
                yield module.bias
            yield module.weight
