"""Convolution, batch norm and ReLU."""

from torch import nn


def conv_norm(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Sequential:
    """Returns a convolution that divides the size by `stride`, a batch norm and a ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
