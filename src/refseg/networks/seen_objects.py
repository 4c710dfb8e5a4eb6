"""What the pixels of an image show, told without words: teaches an image encoder before a network learns to read."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.samples import Objects


class SeenObjects(nn.Module):
    """On each of some maps, whether the middle of a cell shows an object, and what that one is or does.

    Args:
        channels: of the maps.
        classes: attributes of objects with their numbers of classes, in the order of `Objects.attributes`.
    """

    def __init__(self, channels: Sequence[int], classes: Mapping[str, int]):
        super().__init__()
        self.classes = dict(classes)
        self.heads = nn.ModuleList([nn.Conv2d(width, 1 + sum(self.classes.values()), 1) for width in channels])

    def loss(self, maps: Sequence[Tensor], objects: Objects) -> dict[str, Tensor]:
        """Cross-entropies over all maps (B, C, h, w), and by attribute in how many cells with objects it is right."""
        total, right, count = maps[0].new_zeros(()), maps[0].new_zeros(len(self.classes)), 0
        for x, head in zip(maps, self.heads, strict=True):
            ids = F.interpolate(objects.id_map[:, None].float(), x.shape[-2:], mode="nearest-exact")[:, 0].long()
            logits = head(x).float().permute(0, 2, 3, 1)
            there = ids > 0
            total = total + F.binary_cross_entropy_with_logits(logits[..., 0], there.float())
            image, row, column = there.nonzero(as_tuple=True)
            if not len(image):
                continue
            true = objects.attributes[image, ids[image, row, column] - 1].unbind(1)
            told = logits[image, row, column, 1:].split(list(self.classes.values()), dim=-1)
            total = total + torch.stack([F.cross_entropy(*pair) for pair in zip(told, true, strict=True)]).sum()
            right += torch.stack([(one.argmax(-1) == truth).sum() for one, truth in zip(told, true, strict=True)])
            count += len(image)
        return {"loss": total / len(maps), **dict(zip(self.classes, right / max(count, 1), strict=True))}
