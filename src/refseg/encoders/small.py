"""A small convolutional encoder for drawn scenes, of Selector's finder and of the papers' small presets."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.convolution import conv_norm
from refseg.encoders.configs import SmallConfig
from refseg.encoders.image_encoder import ImageEncoder


class SmallImageEncoder(ImageEncoder):
    """The stages of Selector's finder, and one more where the strides are the papers', from 4 to 32 or 16.

    Attributes:
        net: stages at 1/2, 1/4, 1/8 and 1/16, which may be initialised from `small_image_encoder`.
        top: stage at 1/32, or at 1/16 again, or None.
    """

    def __init__(self, config: SmallConfig):
        super().__init__()
        channels, self.net = config.finder, small_stages(config.finder)
        if config.finest == 2:
            self.stem_channels, self.channels, self.strides, self.top = 3, channels, (2, 4, 8, 16), None
        else:
            self.stem_channels, self.channels = channels[0], (*channels[1:], config.top)
            self.strides = (4, 8, 16, config.coarsest)
            self.top = nn.Sequential(
                conv_norm(channels[-1], config.top, stride=config.coarsest // 16), Residual(config.top)
            )

    def stem(self, image: Tensor) -> Tensor:
        """Returns the stem's map (B, C, H / 2, W / 2), or the image if that map is the first stage's."""
        return image if self.top is None else self.net[0](image)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages."""
        return tuple(self.net) if self.top is None else (*self.net[1:], self.top)


def small_stages(channels: tuple[int, int, int, int]) -> nn.ModuleList:
    """Builds four stages that halve the map."""
    half, quarter, eighth, sixteenth = channels
    return nn.ModuleList(
        [
            conv_norm(3, half, stride=2),
            nn.Sequential(conv_norm(half, quarter, stride=2), Residual(quarter)),
            nn.Sequential(conv_norm(quarter, eighth, stride=2), Residual(eighth), Residual(eighth)),
            nn.Sequential(conv_norm(eighth, sixteenth, stride=2), Residual(sixteenth), Residual(sixteenth)),
        ]
    )


class Residual(nn.Module):
    """Residual block of two convolutions, initialised as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv_norm(channels, channels)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm)

    def forward(self, x: Tensor) -> Tensor:
        """Updates a map (B, C, h, w)."""
        return F.relu(x + self.second(self.first(x)))
