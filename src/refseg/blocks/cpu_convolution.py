"""3 x 3 convolutions of large maps on a CPU: fewer multiplications, and strips of rows instead of whole maps.

Winograd   A. Lavin and S. Gray. "Fast Algorithms for Convolutional Neural Networks". CVPR 2016. F(2 x 2, 3 x 3) takes 4
           instead of 9 multiplications a pixel. Not in half precision, where it would round sums of pixels first.
Doubled    A convolution of an interpolated map is an interpolation of nine products of the small map: channels are
           mixed where there are few pixels.
Strips     A map comes as strips of rows from the top to the bottom, and so does its convolution: what lies between two
           convolutions never exists as a whole.
Layout     Rows (r, W, C): channels last, one image. Nothing here has a gradient; `pays` says where it is worth while.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.hardware import supports_bfloat16

SMALLEST = 40 * 40  # pixels of a map from which on this is faster
STRIP = 16  # rows
PRODUCTS = 384  # rows of a matrix product that still fit into the cache
FEW = 8  # outputs
G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], device="cpu")
WHOLE = (torch.float32, torch.float64)


def pays(x: Tensor) -> bool:
    """Whether this file is for maps such as (M, C, h, w), here and now."""
    plain = x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return plain and x.shape[-2] * x.shape[-1] >= SMALLEST


def precision(x: Tensor) -> torch.dtype:
    """What a convolution of x is computed in; float32 where the processor would only imitate a shorter type."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return dtype if dtype in WHOLE or supports_bfloat16() else torch.float32


def in_chosen_precision(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Without autocast, which would undo the choice of `precision`."""

    @wraps(compute)
    def computed(*arguments: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return compute(*arguments)

    return computed


def folded(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what convolution and batch norm, the first two of a layer, do."""
    assert isinstance(layer, nn.Sequential)
    conv, norm = layer[0], layer[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
    mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    return conv.weight * scale[:, None, None, None], norm.bias - mean * scale


def convolution(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> "Convolution":
    """The convolution with this weight (O, C, 3, 3) and bias (O,), in the form that is fastest for it."""
    kind = Few if len(weight) < FEW else Winograd if dtype in WHOLE else Direct
    return kind(weight, bias.to(dtype), dtype)


class Convolution(ABC):
    """A 3 x 3 convolution of rows with zeros around, (r + 2, W + 2, C) to (r, W, O)."""

    @abstractmethod
    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        """Prepares the weight, which is then no longer needed."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The rows of the result."""


class Direct(Convolution):
    """As PyTorch does it."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self.weight, self.bias = weight.to(dtype), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """The rows of the result."""
        return F.conv2d(x.permute(2, 0, 1)[None], self.weight, self.bias)[0].permute(1, 2, 0)


class Few(Convolution):
    """For so few outputs that all nine products of each pixel cost less than gathering its neighbours."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self.weight, self.bias = weight.permute(1, 2, 3, 0).flatten(1).to(dtype), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """The rows of the result."""
        height, width = x.shape[0] - 2, x.shape[1] - 2
        products = (x.flatten(0, 1) @ self.weight).view(height + 2, width + 2, 3, 3, -1)
        shifted = [products[i : i + height, j : j + width, i, j] for i in range(3) for j in range(3)]
        return sum(shifted, self.bias)


class Winograd(Convolution):
    """Tiles of 2 x 2 pixels of the result, made from 4 x 4 pixels."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        g = G.to(dtype)
        taps = weight.permute(2, 3, 1, 0).to(dtype).flatten(2).flatten(0, 1)  # (9, C * O)
        self.weight, self.bias = (torch.kron(g, g) @ taps).view(16, -1, len(weight)), bias

    @in_chosen_precision
    def __call__(self, x: Tensor) -> Tensor:
        """The rows of the result."""
        height, width = x.shape[0] - 2, x.shape[1] - 2
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        down, across = (height + 1) // 2, (width + 1) // 2
        result = x.new_empty(2 * down, 2 * across, len(self.bias))
        at_once = max(1, PRODUCTS // across)
        for start in range(0, down, at_once):
            n = min(at_once, down - start)
            seen = self.seen(x[2 * start : 2 * (start + n) + 2], n, across)
            products = torch.bmm(seen, self.weight).view(4, 4, n, across, -1)
            self.write(result[2 * start : 2 * (start + n)].view(n, 2, across, 2, -1), products)
        return result[:height, :width]

    @staticmethod
    def seen(x: Tensor, down: int, across: int) -> Tensor:
        """Input tiles (16, tiles, C) of rows (2 * down + 2, W, C): sums and differences of pixels."""
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

    def write(self, made: Tensor, products: Tensor) -> None:
        """Output tiles (down, 2, across, 2, O) of products (4, 4, down, across, O)."""
        a, b, c, d = products
        a += b
        a += c
        b -= c
        b -= d
        for i, (p, q, r, s) in enumerate((a, b)):
            torch.add(p, self.bias, out=made[:, i, :, 0]).add_(q).add_(r)
            torch.add(q, self.bias, out=made[:, i, :, 1]).sub_(r).sub_(s)


def taps_by_row(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight (O, C, 3, 3) of a `DoubledConvolution` as it takes it: (3, C, 3 * O), rows of the kernel first."""
    return weight.permute(2, 1, 3, 0).to(dtype).contiguous().flatten(2)


class DoubledConvolution:
    """A 3 x 3 convolution, with zeros around, of a map (C, h, w) after bilinear interpolation to another size.

    Products may be of a shorter type, the interpolation is in float32: its weights would suffer.
    """

    def __init__(self, coarse: Tensor, weight: Tensor, size_hw: Sequence[int]):
        self.coarse, self.weight = coarse.permute(1, 2, 0).to(weight.dtype), weight
        self.dtype = torch.promote_types(weight.dtype, torch.float32)
        self.down, self.across = (
            interpolation(before, after).to(self.dtype) for before, after in zip(coarse.shape[1:], size_hw, strict=True)
        )

    @in_chosen_precision
    def add_to(self, result: Tensor, start: int) -> None:
        """Adds rows to `result` (r, W, O) of type `dtype`, which begins with row `start`."""
        down, first, last = band(self.down[start : start + len(result)])
        pixels = self.coarse[first:last].flatten(0, 1)
        products = pixels.new_empty(3, len(pixels), self.weight.shape[-1], dtype=self.dtype)
        for weight, product in zip(self.weight, products, strict=True):
            product.copy_(pixels @ weight)
        rows = down.flatten(1) @ products.view(3 * (last - first), -1)
        rows = rows.view(len(result), 3 * self.coarse.shape[1], -1)  # (r, 3 * w, O)
        for begin in range(0, result.shape[1], 2 * STRIP):
            across, first, last = band(self.across[begin : begin + 2 * STRIP])
            across = across.mT.flatten(1).expand(len(result), -1, -1)
            result[:, begin : begin + 2 * STRIP].baddbmm_(across, rows[:, 3 * first : 3 * last])


def interpolation(before: int, after: int) -> Tensor:
    """Weights (after, 3, before) with which three taps read a line that is interpolated corner to corner."""
    line = F.interpolate(torch.eye(before)[None], after, mode="linear", align_corners=True)[0].T
    return F.pad(line, (0, 0, 1, 1)).unfold(0, 3, 1).transpose(1, 2)


def band(weights: Tensor) -> tuple[Tensor, int, int]:
    """Weights (r, 3, n) without the columns at both ends that are 0, and where the others begin and end."""
    used = weights.any(0).any(0).nonzero()
    first, last = int(used[0]), int(used[-1]) + 1
    return weights[..., first:last], first, last


def rows_of(maps: Sequence[Tensor], start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Rows (stop - start, W, C) of maps (C_i, H, W) side by side."""
    return torch.cat([x[:, start:stop].permute(1, 2, 0).to(dtype) for x in maps], -1)


def joined(
    maps: Sequence[Tensor],
    convolve: Convolution,
    doubled: DoubledConvolution | None,
    dtype: torch.dtype,
) -> Iterator[Tensor]:
    """Strips of a convolution, with zeros around, of a doubled map and of others; then ReLU.

    Args:
        maps: (C_i, H, W), side by side.
        convolve: the convolution of these maps.
        doubled: of the coarse map; or None.
        dtype: of the computation.
    """
    height = maps[0].shape[1]
    for start in range(0, height, STRIP):
        stop = min(start + STRIP, height)
        above, below = max(start - 1, 0), min(stop + 1, height)
        rows = rows_of(maps, above, below, dtype)
        result = convolve(F.pad(rows, (0, 0, 1, 1, 1 + above - start, 1 + stop - below)))
        if doubled is not None:
            result = result.to(doubled.dtype)
            doubled.add_to(result, start)
        yield result.relu_().to(dtype)


def convolved(strips: Iterable[Tensor], convolve: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """The strips of a convolution, with zeros around, of a map that comes as strips (r, W, C)."""
    above: Tensor | None = None  # rows that the next strip still needs
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
    """The maps (M, C, H, W) of M sequences of strips, M, H, W and type as those of `like` (M, D, H, W)."""
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
