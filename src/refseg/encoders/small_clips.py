"""The small encoder for drawn clips: that for drawn scenes, whose residual blocks look at the frames beside.

Source     Frames are mixed by shifting channels: J. Lin et al. "TSM: Temporal Shift Module for Efficient Video
           Understanding". ICCV 2019. https://arxiv.org/abs/1811.08383
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.encoders.small import Residual, SmallImageEncoder

SHARE = 4  # one of so many channels comes from the frame before, another from the one after; there they are 8


class SmallClipEncoder(SmallImageEncoder):
    """As `SmallImageEncoder`, with the same weights."""

    frames_alone = False

    def of_clips(self, clips: Tensor) -> list[Tensor]:
        """The four maps (B, K, C, h, w) of clips (B, K, 3, H, W)."""
        maps, x = [], self.stem(clips.flatten(0, 1))
        for stage in self.stages:
            for layer in stage:  # type: ignore[attr-defined]  # a sequence
                if isinstance(layer, Residual):
                    beside = shifted(x.unflatten(0, clips.shape[:2])).flatten(0, 1)
                    x = F.relu(x + layer.second(layer.first(beside)))
                else:
                    x = layer(x)
            maps.append(x.unflatten(0, clips.shape[:2]))
        return maps


def shifted(x: Tensor) -> Tensor:
    """Maps (B, K, C, h, w) with some channels from the frame before and some from the one after; 0 at the ends."""
    count = x.shape[2] // SHARE
    before, after, own = x.split((count, count, x.shape[2] - 2 * count), dim=2)
    nothing = torch.zeros_like(before[:, :1])
    return torch.cat(
        [torch.cat([nothing, before[:, :-1]], dim=1), torch.cat([after[:, 1:], nothing], dim=1), own], dim=2
    )
