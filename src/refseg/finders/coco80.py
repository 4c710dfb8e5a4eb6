"""coco80: a finder of COCO's 80 classes in photographs, which needs no GPU.

Network    YOLOv4-tiny (`yolov4_tiny.py`), its input stretched to 416 x 416.
Weights    of its authors (`published.py`): `refseg weights get coco80`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from typing_extensions import override

from refseg.array_types import Box, RgbImage
from refseg.finders.box_masks import BoxMasker, ImageMasker, find_masker, mask_drawer
from refseg.finders.darknet_weights import load_darknet_weights
from refseg.finders.finder import Detection, Finder, check_threshold
from refseg.finders.overlaps import suppress_overlaps
from refseg.finders.published import PUBLISHED_FINDERS, read_published
from refseg.finders.yolov4_tiny import YoloV4Tiny
from refseg.hardware import check_device, check_device_name, choose_device

COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
"""In the order of the weights; darknet's own list has older names for six of them ("sofa", "tvmonitor")."""

SIDE = 416  # pixels of the network's input
MAX_IOU = 0.45  # of two objects of a class
MAX_CANDIDATES, MAX_OBJECTS = 1000, 100  # before and after the suppression of overlaps


class Coco80(Finder):
    """Finds objects of COCO's 80 classes.

    Args:
        network: with its weights.
        threshold: lowest score; darknet's own default.
        masker: "grabcut", "ellipse", "box", or a function of image and box.
        device: the network's.
    """

    name: ClassVar[str] = "coco80"
    classes = COCO_CLASSES

    def __init__(
        self,
        network: YoloV4Tiny,
        threshold: float = 0.25,
        masker: str | BoxMasker = "grabcut",
        device: str = "cpu",
    ):
        self.network, self.device = network.to(device).eval(), device
        self.threshold = check_threshold(threshold)
        self.masker = find_masker(masker) if isinstance(masker, str) else masker

    @classmethod
    def load(
        cls,
        threshold: float = 0.25,
        masker: str | BoxMasker = "grabcut",
        device: str = "cpu",
        file: Path | None = None,
    ) -> Self:
        """Loads the finder with its authors' weights.

        Args:
            threshold: lowest score.
            masker: "grabcut", "ellipse", "box", or a function of image and box.
            device: "cpu", "cuda", ..., or "auto".
            file: the authors' file; by default that of `refseg weights get coco80`.

        Raises:
            InvalidInput: for an unknown masker or device, a threshold outside of [0, 1], or another or damaged file.
            MissingFile: if there is no such file.
        """
        check_threshold(threshold)
        if isinstance(masker, str):
            masker = find_masker(masker)
        check_device_name(device)
        entry = PUBLISHED_FINDERS[cls.name]
        content = read_published(entry, file)
        device = choose_device(device)
        check_device(device)
        network = YoloV4Tiny(len(COCO_CLASSES))
        load_darknet_weights(network, content, str(file or entry.path), entry.way_out)
        return cls(network, threshold, masker, device)

    @property
    @override
    def networks(self) -> Sequence[Any]:
        """Those of the masker; its own stays where it was loaded."""
        return self.masker.networks if isinstance(self.masker, ImageMasker) else ()

    @override
    @torch.inference_mode()
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        threshold = self.threshold if threshold is None else check_threshold(threshold)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None]
        stretched = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear")  # of bytes, and rounded, as darknet does it
        draw = mask_drawer(self.masker, image)
        boxes, scores = (values[0].float().cpu().numpy() for values in self.network(stretched.float() / 255))
        return [
            Detection(box, COCO_CLASSES[label], score, self.name, partial(draw, box))
            for box, label, score in _select(boxes, scores, threshold, (image.shape[1], image.shape[0]))
        ]


def _select(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, size_wh: tuple[int, int]
) -> list[tuple[Box, int, float]]:
    """Returns box, class and score of objects, the highest score first.

    Args:
        boxes: (N, 4) in parts of the image's sides.
        scores: (N, classes).
        threshold: lowest score.
        size_wh: width and height of the image in pixels.
    """
    places, labels = np.nonzero(scores >= threshold)
    values = scores[places, labels]
    best = np.argsort(-values, kind="stable")[:MAX_CANDIDATES]
    places, labels, values = places[best], labels[best], values[best]
    kept = suppress_overlaps(boxes[places].astype(np.float64), labels, MAX_IOU)
    sides = boxes[places[kept]].astype(np.float64).clip(0, 1) * np.array(size_wh * 2)
    chosen = zip(sides.tolist(), labels[kept].tolist(), values[kept].tolist(), strict=True)
    within = [(box, label, score) for box, label, score in chosen if box[2] - box[0] >= 1 and box[3] - box[1] >= 1]
    return [((x0, y0, x1, y1), label, score) for (x0, y0, x1, y1), label, score in within[:MAX_OBJECTS]]
