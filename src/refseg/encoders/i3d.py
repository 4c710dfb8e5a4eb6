"""I3D: an Inception with filters inflated in time, for clips.

Source     J. Carreira, A. Zisserman. "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset". CVPR 2017.
           https://arxiv.org/abs/1705.07750. Widths are those of Inception-v1: C. Szegedy et al. "Going Deeper with
           Convolutions". CVPR 2015. https://arxiv.org/abs/1409.4842
Departs    The classifier is omitted. Layers have their published names. Padding is TensorFlow's "SAME" in time and
           space. Norms shift, but do not scale, as in TensorFlow; the scales of a PyTorch port are folded into its
           convolutions (`conversion.i3d`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.same_padding import pad_same
from refseg.encoders.image_encoder import ImageEncoder

EPS = 1e-3  # of batch norms
FRAMES_PER_STEP = 8  # of the last map
MIXED = {  # name -> widths: 1 x 1; before 3 x 3, 3 x 3; before the second 3 x 3, the second 3 x 3; after pooling
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class I3D(ImageEncoder):
    """Encodes clips (B, 3, K, H, W) to four maps (B, C, k, h, w), the last with a step per 8 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.stem_channels = 64
        self.channels = 192, 480, 832, 1024
        self.strides = 4, 8, 16, 32
        self.frame_strides = 2, 2, 4, FRAMES_PER_STEP
        self.frames_alone = False
        self.net = net = nn.ModuleDict(
            {
                "Conv3d_1a_7x7": Unit(3, 64, kernel=7, stride=2),
                "Conv3d_2b_1x1": Unit(64, 64),
                "Conv3d_2c_3x3": Unit(64, 192, kernel=3),
            }
        )
        inputs = 192
        for name, widths in MIXED.items():
            net[name] = block = Mixed(inputs, widths)
            inputs = block.outputs
        stages = (
            [Pool((1, 3, 3), (1, 2, 2)), net["Conv3d_2b_1x1"], net["Conv3d_2c_3x3"]],
            [Pool((1, 3, 3), (1, 2, 2)), *(net[name] for name in MIXED if "_3" in name)],
            [Pool((3, 3, 3), (2, 2, 2)), *(net[name] for name in MIXED if "_4" in name)],
            [Pool((2, 2, 2), (2, 2, 2)), *(net[name] for name in MIXED if "_5" in name)],
        )
        self._stages = [nn.Sequential(*layers) for layers in stages]  # registered in net

    def stem(self, image: Tensor) -> Tensor:
        """Maps clips (B, 3, K, H, W) to (B, 64, K / 2, H / 2, W / 2)."""
        return self.net["Conv3d_1a_7x7"](image)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages; each one pools."""
        return self._stages

    def encode_clips(self, clips: Tensor) -> list[Tensor]:
        """Returns the four maps (B, k, C, h, w) of clips (B, K, 3, H, W), K / k frames per step."""
        return [x.transpose(1, 2) for x in self(clips.transpose(1, 2))]


class Unit(nn.Module):
    """Convolution, norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0  # otherwise it depends on the size
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm3d(outputs, EPS, affine=False)
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, k, h, w) to its size divided by the stride."""
        if self.conv.stride != (1, 1, 1):
            x = pad_same(x, self.conv.kernel_size, self.conv.stride)
        return F.relu(self.norm(self.conv(x)) + self.shift.view(-1, 1, 1, 1))


class Mixed(nn.Module):
    """An Inception block of four parallel branches."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]):
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(inputs, b0)
        self.b1a, self.b1b = Unit(inputs, b1a), Unit(b1a, b1b, kernel=3)
        self.b2a, self.b2b = Unit(inputs, b2a), Unit(b2a, b2b, kernel=3)
        self.b3b = Unit(inputs, b3b)
        self.outputs = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, k, h, w) to (B, C', k, h, w)."""
        pooled = F.max_pool3d(x, 3, 1, padding=1)
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class Pool(nn.Module):
    """Max pooling."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pools a non-negative map (B, C, k, h, w) to its size divided by the stride."""
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)
