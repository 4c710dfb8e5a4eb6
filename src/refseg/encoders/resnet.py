"""ResNet through timm, in torchvision's layout (the stride is on the 3 x 3 convolution).

Source     K. He et al. "Deep Residual Learning for Image Recognition". CVPR 2016. https://arxiv.org/abs/1512.03385
"""

from collections.abc import Sequence

from timm.models.resnet import Bottleneck
from timm.models.resnet import ResNet as TimmResNet
from torch import Tensor, nn

from refseg.encoders.configs import ResNetConfig
from refseg.encoders.image_encoder import ImageEncoder


class ResNet(ImageEncoder):
    """A ResNet whose max pooling belongs to the first stage, since CMIRNet uses the map before it."""

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.stem_channels = 64
        self.channels = 256, 512, 1024, 2048
        stride = config.output_stride
        self.strides = 4, 8, min(16, stride), stride
        self.net = TimmResNet(Bottleneck, config.depths, num_classes=0, global_pool="", output_stride=stride)
        first = nn.Sequential(self.net.maxpool, self.net.layer1)
        self._stages = [first, self.net.layer2, self.net.layer3, self.net.layer4]  # a list: registered in net

    def stem(self, image: Tensor) -> Tensor:
        """Returns the stem's map (B, 64, H / 2, W / 2)."""
        return self.net.act1(self.net.bn1(self.net.conv1(image)))

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages; the first one pools."""
        return self._stages
