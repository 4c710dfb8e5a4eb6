"""What the pixels of an image show, told without words: teaches an image encoder before a network learns to read.

It stands in for the labels of ImageNet or Kinetics that the papers' image encoders were taught by.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.batch import Batch, Objects
from refseg.distributed import mean_count
from refseg.networks.network import Network
from refseg.training.pretraining import PretrainingHeads

OBJECT_PRETRAINING = "object_pretraining"  # the objective of a stage that teaches this
LAST = 3  # maps of the image encoder; the first is too early to say what it sees


class ObjectHeads(PretrainingHeads):
    """On the last maps of an image encoder, whether the middle of a cell shows an object, and what it is or does.

    Args:
        channels: of all maps of the image encoder.
        classes: of a data set, `Dataset.object_classes`, in the order of `Objects.attributes`.
    """

    part: ClassVar[str] = "image_encoder"
    teaches: ClassVar[str] = "what objects are"

    def __init__(self, channels: Sequence[int], classes: Mapping[str, int]):
        super().__init__()
        self.classes = dict(classes)
        self.heads = nn.ModuleList([nn.Conv2d(width, 1 + sum(classes.values()), 1) for width in channels[-LAST:]])

    @override
    @classmethod
    def of(cls, network: Network, classes: Mapping[str, int]) -> Self:
        encoder: Any = network.image_encoder
        return cls(encoder.channels, classes)

    @override
    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """Of a network's image encoder; of clips, in the frame that is answered."""
        encoder: Any = network.image_encoder
        if network.frames == 1:
            maps = encoder(batch.image)
        elif encoder.frames_alone:
            maps = encoder(batch.image[:, network.annotated])
        else:
            maps = [x[:, x.shape[1] // 2] for x in encoder.encode_clips(batch.image)]
        assert batch.objects is not None
        return self.of_maps(maps[-LAST:], batch.objects)

    def of_maps(self, maps: Sequence[Tensor], objects: Objects) -> dict[str, Tensor]:
        """Cross-entropies over all maps (B, C, h, w), and by attribute in how many cells with objects it is right."""
        total, right, count = maps[0].new_zeros(()), maps[0].new_zeros(len(self.classes)), 0
        for x, head in zip(maps, self.heads, strict=True):
            ids = F.interpolate(objects.id_map[:, None].float(), x.shape[-2:], mode="nearest-exact")[:, 0].long()
            logits = head(x).float().permute(0, 2, 3, 1)
            there = ids > 0
            total = total + F.binary_cross_entropy_with_logits(logits[..., 0], there.float())
            image, row, column = there.nonzero(as_tuple=True)
            true = objects.attributes[image, ids[image, row, column] - 1].unbind(1)
            told = logits[image, row, column, 1:].split(list(self.classes.values()), dim=-1)
            count_here = mean_count(len(image), x)  # of all processes
            for one, truth in zip(told, true, strict=True):
                total = total + F.cross_entropy(one, truth, reduction="sum") / count_here
            right += torch.stack([(one.argmax(-1) == truth).sum() for one, truth in zip(told, true, strict=True)])
            count += len(image)
        return {"loss": total / len(maps), **dict(zip(self.classes, right / max(count, 1), strict=True))}
