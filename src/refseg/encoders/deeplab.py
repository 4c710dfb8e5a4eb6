"""DeepLab's ResNet at stride 8, in the layout of its authors' Caffe models, with which CMPC is initialised.

Source     L.-C. Chen et al. "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and
           Fully Connected CRFs". TPAMI 2018. https://arxiv.org/abs/1606.00915
Departs    The classifier is omitted. Padding is TensorFlow's "SAME", as in CMPC's release: the larger part of uneven
           padding is at the right and bottom.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from timm.models.resnet import Bottleneck
from timm.models.resnet import ResNet as TimmResNet
from torch import Tensor, nn

from refseg.blocks.same_padding import pad_same
from refseg.encoders.configs import DeepLabConfig
from refseg.encoders.image_encoder import ImageEncoder

EPS = 1e-3  # of batch norms


class DeepLab(ImageEncoder):
    """A ResNet with strides on the first 1 x 1 convolutions and 3 x 3 dilated by 2 and 4 in the last two stages."""

    def __init__(self, config: DeepLabConfig):
        super().__init__()
        self.stem_channels = 64
        self.channels = 256, 512, 1024, 2048
        self.strides = 4, 8, 8, 8
        self.net = net = TimmResNet(Bottleneck, config.depths, num_classes=0, global_pool="", output_stride=8)
        net.conv1.padding = 0
        net.layer2[0].conv1.stride, net.layer2[0].conv2.stride = (2, 2), (1, 1)
        for stage, dilation in ((net.layer3, 2), (net.layer4, 4)):
            stage[0].conv2.dilation = stage[0].conv2.padding = dilation, dilation
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = EPS
        self._stages = [nn.Sequential(Pool(), net.layer1), net.layer2, net.layer3, net.layer4]  # registered in net

    def stem(self, image: Tensor) -> Tensor:
        """Returns the stem's map (B, 64, H / 2, W / 2)."""
        net = self.net
        return net.act1(net.bn1(net.conv1(pad_same(image, (7, 7), (2, 2)))))

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four stages; the first one pools."""
        return self._stages


class Pool(nn.Module):
    """Max pooling of 3 x 3 at stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Pools a non-negative map (B, C, h, w) to (B, C, h / 2, w / 2)."""
        return F.max_pool2d(pad_same(x, (3, 3), (2, 2)), 3, 2)
