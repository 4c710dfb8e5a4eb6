import torch

from refseg.encoders import build_image_encoder
from refseg.encoders.configs import DeepLabConfig
from refseg.encoders.deeplab import EPS


def encoder(depths=(2, 2, 2, 2)):
    torch.manual_seed(0)
    return build_image_encoder(DeepLabConfig(depths=depths)).eval()


@torch.no_grad()
def test_all_stages_from_the_second_on_have_stride_8():
    network = encoder()
    for height, width in ((64, 96), (70, 33)):
        maps = network(torch.randn(1, 3, height, width))
        wanted = [(-(-height // stride), -(-width // stride)) for stride in network.strides]
        assert [tuple(x.shape[-2:]) for x in maps] == wanted
        assert [x.shape[1] for x in maps] == list(network.channels)


def test_strides_are_on_the_first_convolution_and_every_block_of_the_last_stages_is_dilated():
    net = encoder().net
    assert net.layer2[0].conv1.stride == (2, 2) and net.layer2[0].conv2.stride == (1, 1)
    for stage, dilation in ((net.layer1, 1), (net.layer2, 1), (net.layer3, 2), (net.layer4, 4)):
        for block in stage:
            assert block.conv2.dilation == block.conv2.padding == (dilation, dilation)
    assert net.bn1.eps == net.layer4[1].bn3.eps == EPS
