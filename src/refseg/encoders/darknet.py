"""DarkNet-53, the image encoder of YOLOv3, with the three pairs of convolutions that follow it.

Source     J. Redmon, A. Farhadi. "YOLOv3: An Incremental Improvement". 2018. https://arxiv.org/abs/1804.02767
Departs    As in Keras, with which the published networks were trained: batch norms have an epsilon of 0.001, initial
           weights are Glorot's.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from refseg.encoders.configs import DarkNetConfig
from refseg.encoders.image_encoder import ImageEncoder

EPS = 1e-3  # of batch norms
SLOPE = 0.1  # of the leaky ReLU


class DarkNet(ImageEncoder):
    """DarkNet-53: the stem and each stage halve the size; the last stage ends with the pairs of YOLOv3."""

    def __init__(self, config: DarkNetConfig):
        super().__init__()
        width = config.width
        self.stem_channels = 2 * width
        self.channels = 4 * width, 8 * width, 16 * width, 32 * width
        self.strides = 4, 8, 16, 32
        stages = [halving(2**i * width, count) for i, count in enumerate(config.blocks)]
        stages[0].insert(0, dbl(3, width, 3))
        top = self.channels[-1]
        for _ in range(config.pairs):
            stages[-1] += [dbl(top, top // 2, 1), dbl(top // 2, top, 3)]
        self.net = nn.ModuleList([nn.Sequential(*stage) for stage in stages])

    def stem(self, image: Tensor) -> Tensor:
        """Returns the stem's map (B, C, H / 2, W / 2)."""
        return self.net[0](image)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages."""
        return list(self.net[1:])


class Residual(nn.Module):
    """Residual block of a narrow and a wide convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(dbl(channels, channels // 2, 1), dbl(channels // 2, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Updates a map (B, C, h, w)."""
        return x + self.layers(x)


def halving(inputs: int, blocks: int) -> list[nn.Module]:
    """Returns layers that halve the map and double its channels; the padding is at the top and left."""
    outputs = 2 * inputs
    down = [nn.ZeroPad2d((1, 0, 1, 0)), dbl(inputs, outputs, 3, stride=2)]
    return [*down, *(Residual(outputs) for _ in range(blocks))]


def dbl(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Returns convolution, batch norm and leaky ReLU; padded only if the stride is 1."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=False)
    nn.init.xavier_uniform_(conv.weight)
    return nn.Sequential(conv, batch_norm(outputs), leaky_relu())


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Returns a batch norm with Keras' epsilon."""
    return nn.BatchNorm2d(channels, eps=EPS, momentum=0.01)


def leaky_relu() -> nn.LeakyReLU:
    """Returns DarkNet's leaky ReLU."""
    return nn.LeakyReLU(SLOPE, inplace=True)
