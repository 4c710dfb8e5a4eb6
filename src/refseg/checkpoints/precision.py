"""Arithmetic of a checkpoint's network: float32, or bfloat16 with weights that are cast once."""

import time

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from refseg.blocks.autocast import computing_in
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.config_file import brings_weights, check_precision
from refseg.distributed import mean_over_processes
from refseg.hardware import check_precision_name, supports_bfloat16
from refseg.networks.network import Network

FASTER = 0.9  # part of float32's time below which bfloat16 is worth its rounding
PASSES = 2  # that are timed, after one that is not


def use_precision(checkpoint: Checkpoint, precision: str) -> None:
    """Makes the network of a checkpoint compute in a precision.

    In bfloat16, layers compute as under autocast; weights of linear layers and convolutions then take half of the
    memory.

    Args:
        checkpoint: the checkpoint, in float32 and on its device.
        precision: "f32", "bf16", or "auto": bf16 if the device has instructions for it, and encodes an image in less
            time by them.

    Raises:
        InvalidInput: for another name, and for bf16 where it is not the network itself that computes.
    """
    check_precision_name(precision)
    network = checkpoint.network
    check_precision(checkpoint.name, checkpoint.runtime is not None, precision)
    if brings_weights(checkpoint.name) or checkpoint.runtime is not None:
        return
    if precision == "auto":
        precision = "bf16" if _has_bfloat16(network) and _is_faster_in_bfloat16(checkpoint) else "f32"
    if precision == "bf16":
        network.compute_dtype = torch.bfloat16
        _cast_weights(network)


def _has_bfloat16(network: Network) -> bool:
    device = next(network.parameters()).device.type
    return supports_bfloat16() if device == "cpu" else device == "cuda" and torch.cuda.is_bf16_supported()


def _is_faster_in_bfloat16(checkpoint: Checkpoint) -> bool:
    network, preprocessing = checkpoint.network, checkpoint.preprocessing
    device, size_hw = next(network.parameters()).device, preprocessing.geometry((preprocessing.side,) * 2).padded_hw
    image = torch.zeros(1, *network.image_shape(size_hw), device=device)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.inference_mode(), computing_in(dtype, device):
            for k in range(1 + PASSES):
                if k == 1:
                    begin = time.perf_counter()
                network.encode_image(image)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    exact, lower = mean_over_processes(torch.tensor(seconds)).tolist()  # or each process would choose for itself
    return bool(lower < FASTER * exact)


def _cast_weights(network: Network) -> None:
    """Casts the weights that autocast casts in each pass; those of layers outside of autocast stay."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | _ConvNd) and not f"{name}.".startswith(network.full_precision_parts):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
