"""Darknet's files of weights: a header, and the numbers of all convolutions in the order of the network.

Header   three int32 (major, minor, revision) and the number of images seen, int64 from version 0.2 on; little-endian.
Numbers  float32; of a convolution with a batch norm its bias, scale, mean and variance, then the kernel; of another
         the bias, then the kernel.
"""

import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from refseg.counting import counted
from refseg.errors import InvalidInput

HEADER = struct.Struct("<iiiq")
MINOR_VERSIONS = 2, 5  # those with int64


def load_darknet_weights(network: nn.Module, content: bytes, what: str, way_out: str) -> None:
    """Loads the content of a file of darknet's weights into a network.

    Args:
        network: its convolutions are defined in the file's order, batch norms directly after theirs.
        content: of the file.
        what: name of the file, for errors.
        way_out: advice for errors.

    Raises:
        InvalidInput: if it is of another size or format, or holds numbers that are not finite.
    """
    tensors = list(darknet_order(network))
    wanted = HEADER.size + 4 * sum(tensor.numel() for tensor in tensors)
    if len(content) != wanted:
        raise InvalidInput(
            f"{what} has {counted(len(content), 'byte')}, weights of this network have {wanted:,}; {way_out}"
        )
    major, minor, _, _ = HEADER.unpack_from(content)
    if major != 0 or minor not in MINOR_VERSIONS:
        raise InvalidInput(f"{what} holds no weights of darknet 0.2 (version {major}.{minor}); {way_out}")
    numbers = np.frombuffer(content, "<f4", offset=HEADER.size).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{what} holds numbers that are not finite (NaN or infinity); {way_out}")
    with torch.no_grad():
        for tensor in tensors:
            given, numbers = numbers[: tensor.numel()], numbers[tensor.numel() :]
            tensor.copy_(torch.from_numpy(given).view_as(tensor))


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
