"""The small encoder for drawn clips: that for drawn scenes with temporal shifts in its residual blocks.

Source     Frames are mixed by shifting channels: J. Lin et al. "TSM: Temporal Shift Module for Efficient Video
           Understanding". ICCV 2019. https://arxiv.org/abs/1811.08383
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.encoders.small import Residual, SmallImageEncoder

SHIFTED = 4  # one in so many channels is from the previous frame, one from the next; 8 in the paper


class SmallClipEncoder(SmallImageEncoder):
    """`SmallImageEncoder` for clips, with the same weights."""

    frames_alone = False

    def encode_clips(self, clips: Tensor) -> list[Tensor]:
        """Returns the four maps (B, K, C, h, w) of clips (B, K, 3, H, W)."""
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
    """Shifts some channels of maps (B, K, C, h, w) from the previous and some from the next frame; 0 at the ends."""
    count = x.shape[2] // SHIFTED
    before, after, own = x.split((count, count, x.shape[2] - 2 * count), dim=2)
    nothing = torch.zeros_like(before[:, :1])
    return torch.cat(
        [torch.cat([nothing, before[:, :-1]], dim=1), torch.cat([after[:, 1:], nothing], dim=1), own], dim=2
    )
