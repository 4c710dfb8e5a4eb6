import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from refseg.errors import InvalidInput
from refseg.finders.darknet_weights import HEADER, darknet_order, load_darknet_weights
from refseg.finders.yolov4_tiny import ANCHORS_WH, YoloV4Tiny, decode

CLASSES, WIDTH = 2, 4
OUTPUTS = 3 * (5 + CLASSES)
BLOCK = [("half",), ("conv", 0.5, 3, 1), ("conv", 0.5, 3, 1), ("route", -1, -2), ("conv", 1, 1, 1), ("route", -6, -1)]
LAYERS = [  # of yolov4-tiny.cfg; filters in parts of what the width of 32 there makes of them
    ("conv", 1, 3, 2),
    ("conv", 2, 3, 2),
    *[
        layer
        for channels in (2, 4, 8)
        for layer in [
            ("conv", channels, 3, 1),
            *[(name, rest[0] * channels, *rest[1:]) if name == "conv" else (name, *rest) for name, *rest in BLOCK],
            ("max",),
        ]
    ],
    ("conv", 16, 3, 1),
    ("conv", 8, 1, 1),
    ("conv", 16, 3, 1),
    ("head",),
    ("yolo", 3, 4, 5),
    ("route", -4),
    ("conv", 4, 1, 1),
    ("up",),
    ("route", -1, 23),
    ("conv", 8, 3, 1),
    ("head",),
    ("yolo", 1, 2, 3),
]


def darknet(numbers: np.ndarray, image: torch.Tensor) -> list[torch.Tensor]:
    """The heads' maps, as darknet computes them from the numbers of its file and the layers of its cfg."""
    numbers, maps = torch.from_numpy(numbers), [image]

    def take(*shape: int) -> torch.Tensor:
        nonlocal numbers
        count = math.prod(shape)
        given, numbers = numbers[:count], numbers[count:]
        return given.view(shape)

    outputs = []
    for number, (kind, *rest) in enumerate(LAYERS):
        x = maps[-1]
        if kind in ("conv", "head"):
            filters, size, stride = (int(rest[0] * WIDTH), rest[1], rest[2]) if kind == "conv" else (OUTPUTS, 1, 1)
            bias = take(filters)
            if kind == "conv":
                scale, mean, variance = take(filters), take(filters), take(filters)
            x = F.conv2d(x, take(filters, x.shape[1], size, size), stride=stride, padding=size // 2)
            if kind == "conv":
                x = (x - mean[:, None, None]) / (variance + 0.00001).sqrt()[:, None, None]
                x = x * scale[:, None, None] + bias[:, None, None]
                x = torch.where(x > 0, x, 0.1 * x)
            else:
                x = x + bias[:, None, None]
        elif kind == "half":
            x = x[:, x.shape[1] // 2 :]
        elif kind == "route":
            x = torch.cat([maps[1 + (place if place >= 0 else number + place)] for place in rest], 1)
        elif kind == "max":
            x = F.max_pool2d(x, 2, 2)
        elif kind == "up":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        elif kind == "yolo":
            outputs.append(x)
        maps.append(x)
    assert not len(numbers), "every number is used"
    return outputs


def random_weights(network: nn.Module, seed: int = 0) -> bytes:
    """A file's content with numbers at which no layer dies."""
    rng = np.random.default_rng(seed)
    numbers = [rng.normal(0, 1 / math.sqrt(max(1, t[0].numel())), t.numel()) for t in darknet_order(network)]
    content = np.abs(np.concatenate(numbers)).astype("<f4")  # variances are positive
    signs = np.concatenate(
        [np.ones(t.numel()) if t.ndim == 1 else rng.choice([-1, 1], t.numel()) for t in darknet_order(network)]
    )
    return HEADER.pack(0, 2, 5, 0) + (content * signs).astype("<f4").tobytes()


def tiny() -> tuple[YoloV4Tiny, bytes]:
    network = YoloV4Tiny(CLASSES, WIDTH).eval()
    content = random_weights(network)
    load_darknet_weights(network, content, "the file", "take another")
    return network, content


def test_heads_equal_those_of_the_definition():
    network, content = tiny()
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    coarse, fine = darknet(np.frombuffer(content, "<f4", offset=HEADER.size).copy(), image)
    assert coarse.shape[2:] == (2, 3) and fine.shape[2:] == (4, 6) and coarse.std() > 0
    parts = [
        decode(head, torch.tensor(ANCHORS_WH, dtype=torch.float32)[list(some)], (96, 64))
        for head, some in ((coarse, (3, 4, 5)), (fine, (1, 2, 3)))
    ]
    with torch.inference_mode():
        boxes, scores = network(image)
    torch.testing.assert_close(boxes, torch.cat([part[0] for part in parts], 1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores, torch.cat([part[1] for part in parts], 1), atol=1e-5, rtol=1e-4)


def test_boxes_and_scores_are_decoded_as_in_darknet():
    height, width = 2, 3
    head = torch.randn(1, OUTPUTS, height, width, generator=torch.Generator().manual_seed(1))
    anchors = torch.tensor([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]])
    boxes, scores = decode(head, anchors, (96, 64))

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    place = 0
    for anchor in range(3):
        for row in range(height):
            for column in range(width):
                x, y, w, h, objectness, *classes = (
                    head[0].view(3, 5 + CLASSES, height, width)[anchor, :, row, column].tolist()
                )
                middle_x = (column + sigmoid(x) * 1.05 - 0.5 * (1.05 - 1)) / width
                middle_y = (row + sigmoid(y) * 1.05 - 0.5 * (1.05 - 1)) / height
                wide = math.exp(w) * anchors[anchor, 0].item() / 96
                high = math.exp(h) * anchors[anchor, 1].item() / 64
                expected = [middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2]
                assert boxes[0, place].tolist() == pytest.approx(expected, abs=1e-5)
                assert scores[0, place].tolist() == pytest.approx(
                    [sigmoid(objectness) * sigmoid(one) for one in classes], abs=1e-6
                )
                place += 1
    assert place == boxes.shape[1] == scores.shape[1]


def test_the_published_file_has_the_size_of_the_network():
    from refseg.finders.published import PUBLISHED_FINDERS

    with torch.device("meta"):
        network = YoloV4Tiny(80)
    numbers = sum(tensor.numel() for tensor in darknet_order(network))
    assert PUBLISHED_FINDERS["coco80"].size == HEADER.size + 4 * numbers


def test_a_batch_equals_its_members():
    network, _ = tiny()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, alone = network(images), [network(image[None]) for image in images]
    for k in range(2):
        torch.testing.assert_close(together[k], torch.cat([one[k] for one in alone]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "the file has 0 bytes"),
        (lambda content: content[:-4], "bytes, weights of this network have .*; take another"),
        (lambda content: content + b"\0", "bytes, weights of this network have"),
        (lambda content: HEADER.pack(7, 2, 5, 0) + content[HEADER.size :], r"no weights of darknet 0.2 \(version 7.2"),
        (lambda content: HEADER.pack(0, 1, 0, 0) + content[HEADER.size :], r"version 0.1"),
        (lambda content: content[:-4] + b"\0\0\xc0\x7f", "not finite"),
    ],
)
def test_damaged_weights_are_refused_and_change_nothing(damage, message):
    network, content = tiny()
    before = [tensor.clone() for tensor in darknet_order(network)]
    with pytest.raises(InvalidInput, match=message):
        load_darknet_weights(network, damage(content), "the file", "take another")
    assert all(torch.equal(*pair) for pair in zip(before, darknet_order(network), strict=True))
