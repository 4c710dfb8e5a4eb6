"""Fast 3 x 3 convolutions of large maps on a CPU: fewer multiplications, and strips of rows instead of whole maps.

Winograd   A. Lavin and S. Gray. "Fast Algorithms for Convolutional Neural Networks". CVPR 2016. F(2 x 2, 3 x 3) takes 4
           instead of 9 multiplications per pixel. Not in half precision, which would round sums of pixels first.
Doubled    The convolution of an interpolated map equals the interpolation of nine products of the small map: channels
           are mixed at the lower resolution.
Strips     A map is a sequence of strips of rows from top to bottom, and so is its convolution: maps between two
           convolutions are never stored as a whole.
Layout     Rows (r, W, C): channels last, one image. Without gradients; `is_faster` says where to use it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.autocast import layer_dtype
from refseg.hardware import supports_bfloat16

MIN_PIXELS = 40 * 40  # of a map, from which on this is faster
STRIP_ROWS = 16
CACHED_ROWS = 384  # rows of a matrix product that fit into the cache
MIN_OUTPUTS = 8  # below, all nine products of each pixel are computed
G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], device="cpu")
FULL_PRECISION = (torch.float32, torch.float64)


def is_faster(x: Tensor) -> bool:
    """Whether these convolutions are faster for maps (M, C, h, w) in the present mode."""
    plain = x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return plain and x.shape[-2] * x.shape[-1] >= MIN_PIXELS


def precision(x: Tensor) -> torch.dtype:
    """Returns the dtype of a convolution of x; float32 where the CPU would only emulate a shorter type."""
    dtype = layer_dtype(x)
    return dtype if dtype in FULL_PRECISION or supports_bfloat16() else torch.float32


def in_chosen_precision(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function to run without autocast, which would override `precision`."""

    @wraps(compute)
    def computed(*arguments: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return compute(*arguments)

    return computed


def folded(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Folds convolution and batch norm, the first two modules of a layer, to one weight and bias."""
    assert isinstance(layer, nn.Sequential)
    conv, norm = layer[0], layer[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
    mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    return conv.weight * scale[:, None, None, None], norm.bias - mean * scale


def convolution(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> "Convolution":
    """Returns the fastest convolution with weight (O, C, 3, 3) and bias (O,)."""
    kind = FewOutputs if len(weight) < MIN_OUTPUTS else Winograd if dtype in FULL_PRECISION else Direct
    return kind(weight, bias.to(dtype), dtype)


class Convolution(ABC):
    """A 3 x 3 convolution of zero-padded rows (r + 2, W + 2, C) to (r, W, O)."""

    @abstractmethod
    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        """Prepares the weight."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Returns the rows (r, W, O) of the result."""


class Direct(Convolution):
    """PyTorch's convolution."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self.weight, self.bias = weight.to(dtype), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """Returns the rows (r, W, O) of the result."""
        return F.conv2d(x.permute(2, 0, 1)[None], self.weight, self.bias)[0].permute(1, 2, 0)


class FewOutputs(Convolution):
    """A convolution with few outputs, for which nine products per pixel cost less than gathering neighbours."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self.weight, self.bias = weight.permute(1, 2, 3, 0).flatten(1).to(dtype), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """Returns the rows (r, W, O) of the result."""
        height, width = x.shape[0] - 2, x.shape[1] - 2
        products = (x.flatten(0, 1) @ self.weight).view(height + 2, width + 2, 3, 3, -1)
        shifted = [products[i : i + height, j : j + width, i, j] for i in range(3) for j in range(3)]
        return sum(shifted, self.bias)


class Winograd(Convolution):
    """Winograd's F(2 x 2, 3 x 3): tiles of 2 x 2 outputs from 4 x 4 inputs."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        g = G.to(dtype)
        taps = weight.permute(2, 3, 1, 0).to(dtype).flatten(2).flatten(0, 1)  # (9, C * O)
        self.weight, self.bias = (torch.kron(g, g) @ taps).view(16, -1, len(weight)), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """Returns the rows (r, W, O) of the result."""
        height, width = x.shape[0] - 2, x.shape[1] - 2
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        down, across = (height + 1) // 2, (width + 1) // 2
        result = x.new_empty(2 * down, 2 * across, len(self.bias))
        at_once = max(1, CACHED_ROWS // across)
        for start in range(0, down, at_once):
            n = min(at_once, down - start)
            tiles = self.transform_input(x[2 * start : 2 * (start + n) + 2], n, across)
            products = torch.bmm(tiles, self.weight).view(4, 4, n, across, -1)
            self.write_output(result[2 * start : 2 * (start + n)].view(n, 2, across, 2, -1), products)
        return result[:height, :width]

    @staticmethod
    def transform_input(x: Tensor, down: int, across: int) -> Tensor:
        """Transforms rows (2 * down + 2, W, C) to input tiles (16, tiles, C)."""
        tiles = x.new_empty(4, 4, down, across, x.shape[-1])
        a, b, c, d = (x[i : i + 2 * down - 1 : 2] for i in range(4))
        for i, (one, other, subtract) in enumerate(((a, c, True), (b, c, False), (c, b, True), (b, d, True))):
            rows = one - other if subtract else one + other
            p, q, r, s = (rows[:, j : j + 2 * across - 1 : 2] for j in range(4))
            torch.sub(p, r, out=tiles[i, 0])
            torch.add(q, r, out=tiles[i, 1])
            torch.sub(r, q, out=tiles[i, 2])
            torch.sub(q, s, out=tiles[i, 3])
        return tiles.view(16, down * across, -1)

    def write_output(self, made: Tensor, products: Tensor) -> None:
        """Writes output tiles (down, 2, across, 2, O) of products (4, 4, down, across, O)."""
        a, b, c, d = products
        a += b
        a += c
        b -= c
        b -= d
        for i, (p, q, r, s) in enumerate((a, b)):
            torch.add(p, self.bias, out=made[:, i, :, 0]).add_(q).add_(r)
            torch.add(q, self.bias, out=made[:, i, :, 1]).sub_(r).sub_(s)


def taps_by_row(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Arranges a weight (O, C, 3, 3) for `DoubledConvolution` as (3, C, 3 * O), rows of the kernel first."""
    return weight.permute(2, 1, 3, 0).to(dtype).contiguous().flatten(2)


class DoubledConvolution:
    """A 3 x 3 convolution, with zeros around, of a map (C, h, w) after bilinear interpolation to another size.

    Products may be of a shorter type; the interpolation is in float32, since its weights need it.
    """

    def __init__(self, coarse: Tensor, weight: Tensor, size_hw: Sequence[int]):
        self.coarse, self.weight = coarse.permute(1, 2, 0).to(weight.dtype), weight
        self.dtype = torch.promote_types(weight.dtype, torch.float32)
        self.down, self.across = (
            interpolation(before, after).to(self.dtype) for before, after in zip(coarse.shape[1:], size_hw, strict=True)
        )

    @in_chosen_precision
    def add_to(self, result: Tensor, start: int) -> None:
        """Adds the convolution to `result` (r, W, O) of type `dtype`, whose first row is `start`."""
        down, first, last = band(self.down[start : start + len(result)])
        pixels = self.coarse[first:last].flatten(0, 1)
        products = pixels.new_empty(3, len(pixels), self.weight.shape[-1], dtype=self.dtype)
        for weight, product in zip(self.weight, products, strict=True):
            product.copy_(pixels @ weight)
        rows = down.flatten(1) @ products.view(3 * (last - first), -1)
        rows = rows.view(len(result), 3 * self.coarse.shape[1], -1)  # (r, 3 * w, O)
        for begin in range(0, result.shape[1], 2 * STRIP_ROWS):
            across, first, last = band(self.across[begin : begin + 2 * STRIP_ROWS])
            across = across.mT.flatten(1).expand(len(result), -1, -1)
            result[:, begin : begin + 2 * STRIP_ROWS].baddbmm_(across, rows[:, 3 * first : 3 * last])


def interpolation(before: int, after: int) -> Tensor:
    """Returns weights (after, 3, before) of the three taps on a line interpolated with aligned corners."""
    line = F.interpolate(torch.eye(before)[None], after, mode="linear", align_corners=True)[0].T
    return F.pad(line, (0, 0, 1, 1)).unfold(0, 3, 1).transpose(1, 2)


def band(weights: Tensor) -> tuple[Tensor, int, int]:
    """Trims columns of zeros at both ends of weights (r, 3, n); returns the range of the others as well."""
    used = weights.any(0).any(0).nonzero()
    first, last = int(used[0]), int(used[-1]) + 1
    return weights[..., first:last], first, last


def rows_of(maps: Sequence[Tensor], start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Returns rows (stop - start, W, C) of concatenated maps (C_i, H, W)."""
    return torch.cat([x[:, start:stop].permute(1, 2, 0).to(dtype) for x in maps], -1)


def joined(
    maps: Sequence[Tensor],
    convolve: Convolution,
    doubled: DoubledConvolution | None,
    dtype: torch.dtype,
) -> Iterator[Tensor]:
    """Yields strips of ReLU of a zero-padded convolution of maps and, optionally, a doubled map.

    Args:
        maps: (C_i, H, W), concatenated.
        convolve: the convolution of these maps.
        doubled: the convolution of the coarse map, or None.
        dtype: of the computation.
    """
    height = maps[0].shape[1]
    for start in range(0, height, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, height)
        above, below = max(start - 1, 0), min(stop + 1, height)
        rows = rows_of(maps, above, below, dtype)
        result = convolve(F.pad(rows, (0, 0, 1, 1, 1 + above - start, 1 + stop - below)))
        if doubled is not None:
            result = result.to(doubled.dtype)
            doubled.add_to(result, start)
        yield result.relu_().to(dtype)


def convolved(strips: Iterable[Tensor], convolve: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """Yields strips of a zero-padded convolution of a map given as strips (r, W, C)."""
    above: Tensor | None = None  # rows that the next strip needs
    for strip in strips:
        height, width, channels = strip.shape
        above = strip.new_zeros(1, width + 2, channels) if above is None else above
        x = strip.new_empty(len(above) + height, width + 2, channels)
        x[: len(above)] = above
        x[len(above) :, 1:-1] = strip
        x[len(above) :, :: width + 1] = 0
        if len(x) > 2:
            yield convolve(x)
        above = x[-2:].clone()
    assert above is not None
    yield convolve(F.pad(above, (0, 0, 0, 0, 0, 1)))


def whole(each: Iterable[Iterable[Tensor]], like: Tensor) -> Tensor:
    """Collects M sequences of strips to maps (M, C, H, W) with the size and dtype of `like` (M, D, H, W)."""
    result: Tensor | None = None
    for number, strips in enumerate(each):
        row = 0
        for strip in strips:
            if result is None:
                result = like.new_empty(len(like), *like.shape[2:], strip.shape[-1])
            result[number, row : row + len(strip)] = strip
            row += len(strip)
    assert result is not None
    return result.permute(0, 3, 1, 2)
