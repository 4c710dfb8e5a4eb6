"""YOLOv4-tiny, a small object detector.

Paper      C.-Y. Wang, A. Bochkovskiy, H.-Y. M. Liao. "Scaled-YOLOv4: Scaling Cross Stage Partial Network". CVPR 2021.
           https://arxiv.org/abs/2011.08036 (Sec. 4.2); its definition is darknet's `yolov4-tiny.cfg`.
Read with  that file from top to bottom: modules are defined in its order, which is that of its weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refseg.encoders.darknet import leaky_relu

ANCHORS_WH = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))  # pixels of the network's input
ANCHORS_OF_HEADS = (3, 4, 5), (1, 2, 3)  # as in the file: anchor 0 is used by none
SCALE_XY = 1.05
STRIDE = 32  # sides of the input are multiples of it


class YoloV4Tiny(nn.Module):
    """YOLOv4-tiny for any number of classes; `width` is 32 in the paper."""

    anchors_wh: Tensor  # (6, 2)

    def __init__(self, classes: int, width: int = 32):
        super().__init__()
        outputs = 3 * (5 + classes)
        self.stem = nn.Sequential(conv(3, width, 3, stride=2), conv(width, 2 * width, 3, stride=2))
        self.stages = nn.ModuleList([CrossStage(2**i * width) for i in (1, 2, 3)])
        self.top = nn.Sequential(conv(16 * width, 16 * width, 3), conv(16 * width, 8 * width, 1))
        self.coarse = nn.Sequential(conv(8 * width, 16 * width, 3), nn.Conv2d(16 * width, outputs, 1))
        self.lateral = conv(8 * width, 4 * width, 1)
        self.fine = nn.Sequential(conv(12 * width, 8 * width, 3), nn.Conv2d(8 * width, outputs, 1))
        self.register_buffer("anchors_wh", torch.tensor(ANCHORS_WH, dtype=torch.float32), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Finds boxes in images of sides that are multiples of 32.

        Args:
            image: (B, 3, H, W), RGB in [0, 1].

        Returns:
            Boxes (B, N, 4), left, top, right, bottom in parts of the image's sides, and scores (B, N, classes).
        """
        x = self.stem(image)  # (B, 64, H / 4, W / 4)
        for stage in self.stages:
            x, inner = stage(x)
            x = F.max_pool2d(x, 2)
        top = self.top(x)  # (B, 256, H / 32, W / 32)
        raised = F.interpolate(self.lateral(top), scale_factor=2.0)  # (B, 128, H / 16, W / 16)
        heads = self.coarse(top), self.fine(torch.cat([raised, inner], 1))
        decoded = [
            decode(head, self.anchors_wh[list(some)], (image.shape[3], image.shape[2]))
            for head, some in zip(heads, ANCHORS_OF_HEADS, strict=True)
        ]
        boxes, scores = zip(*decoded, strict=True)
        return torch.cat(boxes, 1), torch.cat(scores, 1)


class CrossStage(nn.Module):
    """Cross-stage partial block of two convolutions on half of the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.enter = conv(channels, channels, 3)
        self.first = conv(channels // 2, channels // 2, 3)
        self.second = conv(channels // 2, channels // 2, 3)
        self.join = conv(channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, h, w) to the block's map (B, 2 C, h, w) and its inner one (B, C, h, w)."""
        x = self.enter(x)
        first = self.first(x.chunk(2, 1)[1])
        inner = self.join(torch.cat([self.second(first), first], 1))
        return torch.cat([x, inner], 1), inner


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Returns convolution, batch norm and leaky ReLU, padded on all sides."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), leaky_relu())


def decode(head: Tensor, anchors_wh: Tensor, input_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Computes boxes and scores of one head, as darknet's layer `yolo`.

    Args:
        head: (B, 3 * (5 + classes), h, w); for each anchor x, y, width, height, objectness and the classes.
        anchors_wh: (3, 2) in pixels of the input.
        input_wh: width and height of the input in pixels.

    Returns:
        Boxes (B, 3 h w, 4) in parts of the sides, and scores (B, 3 h w, classes): objectness times class.
    """
    batch, _, height, width = head.shape
    head = head.view(batch, len(anchors_wh), -1, height, width).permute(0, 1, 3, 4, 2)  # (B, 3, h, w, 5 + classes)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=head.device), torch.arange(width, device=head.device), indexing="ij"
    )
    cells = torch.stack([columns, rows], -1)  # (h, w, 2)
    offsets = head[..., :2].sigmoid() * SCALE_XY - (SCALE_XY - 1) / 2
    centres = (offsets + cells) / head.new_tensor([width, height])
    halves = head[..., 2:4].exp() * anchors_wh[:, None, None] / head.new_tensor(input_wh) / 2
    boxes = torch.cat([centres - halves, centres + halves], -1)
    scores = head[..., 4:5].sigmoid() * head[..., 5:].sigmoid()
    return boxes.flatten(1, 3), scores.flatten(1, 3)
