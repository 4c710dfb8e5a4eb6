"""Neck of CRIS and EAVL: fuses three levels of an image and a sentence to one map at 1/16."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.convolution import conv_norm
from refseg.blocks.resize import resize_map


class FusionNeck(nn.Module):
    """Scales the coarsest level by the sentence, concatenates finer levels one by one, then all of them.

    `project` does not depend on the sentence and runs once per image.

    Args:
        channels: of the levels at 1/8, 1/16 and 1/32 or 1/16.
        sentence: channels of the sentence; None omits its product.
        widths: inner channels of the levels.
        kernel: side of the convolution that projects a level.
        out: channels of the result.
        coordinate_convs: convolutions at the end; the first one also takes coordinates.
    """

    def __init__(
        self,
        channels: Sequence[int],
        sentence: int | None,
        widths: Sequence[int] = (256, 512, 1024),
        kernel: int = 3,
        out: int = 512,
        coordinate_convs: int = 2,
    ):
        super().__init__()
        (c2, c3, c4), (w2, w3, w4) = channels, widths
        self.level_8, self.level_16 = conv_norm(c2, w2, kernel), conv_norm(c3, w3, kernel)
        self.level_32 = conv_norm(c4, w4, 1)
        self.fuse = None if sentence is None else SentenceProduct(sentence, w4)
        self.join_16, self.join_8 = conv_norm(w4 + w3, w3, 1), conv_norm(w2 + w3, w3, 1)
        self.refine_8, self.refine_16 = conv_norm(w3, w3, kernel), conv_norm(w3, w3, kernel)
        self.refine_32 = conv_norm(w4, w3, kernel)
        self.sum = conv_norm(3 * w3, out, 1)
        self.locate = nn.Sequential(
            conv_norm(out + 2, out, 3), *(conv_norm(out, out, 3) for _ in range(coordinate_convs - 1))
        )

    def project(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Projects levels (B, C, h, w) at 1/8, 1/16 and 1/32 or 1/16; the finest one is pooled to 1/16."""
        x2, x3, x4 = levels
        return F.avg_pool2d(self.level_8(x2), 2), self.level_16(x3), self.level_32(x4)

    def forward(self, projected: Sequence[Tensor], sentence: Tensor | None = None) -> Tensor:
        """Fuses the result of `project` and sentences (M, S) to (M, out, h, w) at 1/16."""
        x2, x3, x4 = projected
        if self.fuse is not None and sentence is not None:
            x4 = self.fuse(x4, sentence)
        size_hw = x3.shape[-2:]
        x3 = self.join_16(torch.cat([x3, resize_map(x4, size_hw)], dim=1))
        x2 = self.join_8(torch.cat([x2, x3], dim=1))
        x = self.sum(torch.cat([self.refine_8(x2), self.refine_16(x3), resize_map(self.refine_32(x4), size_hw)], dim=1))
        return self.locate(with_coordinates(x))


class SentenceProduct(nn.Module):
    """Channel-wise product of a map and a sentence."""

    def __init__(self, sentence: int, width: int):
        super().__init__()
        self.project = nn.Linear(sentence, width, bias=False)
        self.project_norm = nn.BatchNorm2d(width)  # on maps of one pixel
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """Scales a map (M, C, h, w) by sentences (M, S); in training M must be at least 2."""
        scale = F.relu(self.project_norm(self.project(sentence)[:, :, None, None]))
        return F.relu(self.norm(x * scale))


def with_coordinates(x: Tensor) -> Tensor:
    """Appends coordinates x and y from -1 to 1 to a map (M, C, h, w) as two channels."""
    height, width = x.shape[-2:]
    column = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).expand(x.shape[0], 1, height, width)
    row = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).unsqueeze(-1).expand_as(column)
    return torch.cat([x, column, row], dim=1)
