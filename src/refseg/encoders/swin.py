"""Swin Transformer through timm, equal to the one that the published networks use.

Source     Z. Liu et al. "Swin Transformer". ICCV 2021. https://arxiv.org/abs/2103.14030
Departs    timm shifts a map and then pads it to whole windows; here it is padded first, as in the authors' release, on
           which the published networks build. The results differ wherever the padding differs from the shift.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from refseg.encoders.configs import SwinConfig
from refseg.encoders.image_encoder import ImageEncoder


class Swin(ImageEncoder):
    """Patch embedding and four stages; a stage merges patches at its start, so that it takes the previous fused map."""

    def __init__(self, config: SwinConfig):
        super().__init__()
        self.stem_channels = config.width
        self.channels = config.width, 2 * config.width, 4 * config.width, 8 * config.width
        self.strides = 4, 8, 16, 32
        self.net = SwinTransformer(
            img_size=32 * config.window,
            embed_dim=config.width,
            depths=config.depths,
            num_heads=config.heads,
            window_size=config.window,
            always_partition=True,  # otherwise maps that are smaller than a window are not shifted
            strict_img_size=False,
            num_classes=0,
            global_pool="",
            drop_path_rate=config.drop_path,
        )
        self.net.norm = nn.Identity()
        self.net.patch_embed.dynamic_img_pad = True
        for stage in self.net.layers:
            for block in stage.blocks:
                block.__class__ = PadFirstBlock
        self._stages = [ChannelsFirst(stage) for stage in self.net.layers]  # a list: the layers are registered in net

    def stem(self, image: Tensor) -> Tensor:
        """Embeds patches to (B, E, H / 4, W / 4); the image is padded with zeros to whole patches."""
        return self.net.patch_embed(image).permute(0, 3, 1, 2)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages, from and to (B, C, h, w)."""
        return self._stages


class ChannelsFirst(nn.Module):
    """Wraps a channels-last stage of timm for maps (B, C, h, w), without copies."""

    def __init__(self, stage: nn.Module):
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C', h', w')."""
        return self.stage(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PadFirstBlock(SwinTransformerBlock):
    """A block that pads its map to whole windows before the shift."""

    def _attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        (window_height, window_width), (down, right) = self.window_size, self.shift_size
        x = F.pad(x, (0, 0, 0, -width % window_width, 0, -height % window_height))
        padded_height, padded_width = x.shape[1:3]
        if down or right:
            x = torch.roll(x, (-down, -right), (1, 2))
        windows = window_partition(x, self.window_size).flatten(1, 2)
        windows = self.attn(windows, mask=self._shift_mask(x))
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, padded_height, padded_width)
        if down or right:
            x = torch.roll(x, (down, right), (1, 2))
        return x[:, :height, :width]

    def _shift_mask(self, x: Tensor) -> Tensor | None:
        """Returns the attention mask of the windows of a shifted map (B, H, W, C), cached by size."""
        if torch.compiler.is_compiling():
            return self.get_attn_mask(x)
        key = *x.shape[1:3], x.device, x.dtype
        kept = self.__dict__.get("_kept_mask")
        if kept is None or kept[0] != key:
            with torch.inference_mode(False):  # tensors of inference mode cannot be used in training
                like = torch.empty(1, *x.shape[1:3], 1, device=x.device, dtype=x.dtype)
                kept = self.__dict__["_kept_mask"] = key, self.get_attn_mask(like)
        return kept[1]
