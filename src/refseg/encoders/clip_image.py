"""CLIP's image encoder: its ResNet through timm, and its attention pooling, dense and with a shortcut.

Source     A. Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
           https://arxiv.org/abs/2103.00020
Departs    The pooling is CRIS's: every pixel is a query, positions are resized without antialiasing, and a convolution
           is parallel to the attention. timm's returns either the map or the vector, with other positions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn

from refseg.blocks.attention import attend
from refseg.encoders.configs import ClipImageConfig
from refseg.encoders.image_encoder import ImageEncoder

GRID = 7  # side of CLIP's learned position table


class ClipResNet(ImageEncoder):
    """A ResNet with a stem of three convolutions and average pooling in the place of strides."""

    def __init__(self, config: ClipImageConfig):
        super().__init__()
        width = config.width
        self.stem_channels = width
        self.channels = 4 * width, 8 * width, 16 * width, 32 * width
        self.strides = 4, 8, 16, 32
        blocks = [
            ByoBlockCfg(type="bottle", d=depth, c=channels, s=1 if stage == 0 else 2, br=0.25)
            for stage, (depth, channels) in enumerate(zip(config.depths, self.channels, strict=True))
        ]
        self.net = ByobNet(
            ByoModelCfg(
                blocks=tuple(blocks),
                stem_chs=(width // 2, width // 2, width),
                stem_type="",
                stem_pool="avg2",
                downsample="avg",
                aa_layer="avg",
            ),
            num_classes=0,
            global_pool="",
        )

    def stem(self, image: Tensor) -> Tensor:
        """Returns the stem's map (B, C, H / 4, W / 4)."""
        return self.net.stem(image)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages; the first one keeps the size."""
        return list(self.net.stages)


class AttentionPool(nn.Module):
    """Self-attention of the pixels, and one vector of the whole image.

    Attributes:
        mean_token: Whether the mean of the pixels is a key too, as in CLIP, or only a query.
    """

    def __init__(self, channels: int, width: int, heads: int, mean_token: bool = False):
        super().__init__()
        self.heads, self.mean_token = heads, mean_token
        self.positions = nn.Parameter(
            torch.randn(1 + GRID**2, channels) * channels**-0.5
        )  # the first is that of the mean
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.project = nn.Linear(channels, width)
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor, vector: bool = True) -> tuple[Tensor, Tensor | None]:
        """Returns the map and the vector.

        Args:
            x: (B, C, h, w).
            vector: Whether to compute the vector, which may need another query.

        Returns:
            (B, width, h, w), at least 0, and (B, width) or None.
        """
        size_hw = x.shape[-2:]
        grid = self.positions[1:].mT.unflatten(-1, (GRID, GRID)).unsqueeze(0)
        grid = F.interpolate(grid.float(), size_hw, mode="bicubic", align_corners=False)
        pixels = (x + grid).flatten(2).mT  # (B, N, C)
        mean = x.mean((-2, -1)).unsqueeze(1) + self.positions[0]  # (B, 1, C)
        memory = torch.cat([mean, pixels], dim=1) if self.mean_token else pixels
        queries = torch.cat([mean, pixels], dim=1) if self.mean_token or vector else pixels
        pooled = self.project(attend(self.query(queries), self.key(memory), self.value(memory), self.heads))
        count = pixels.shape[1]
        attended = pooled[:, -count:].mT.unflatten(-1, size_hw)
        return F.relu(attended + self.shortcut(x)), pooled[:, 0] if vector else None
