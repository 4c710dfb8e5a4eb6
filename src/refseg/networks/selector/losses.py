"""Losses of Selector: of its finder (centres, offsets, masks, attributes), and of its chooser (choice, program)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.batch import Objects
from refseg.blocks.autocast import full_precision
from refseg.distributed import mean_count
from refseg.networks.selector.config import PROGRAM_BLOCKS, SelectorConfig
from refseg.networks.selector.finder import FoundObjects, Maps
from refseg.networks.selector.maps import gather_cells, length_unit, true_cells


class FinderLoss(nn.Module):
    """Loss of the finder: centres, sizes, masks and attributes."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config
        self.dense = nn.Conv2d(config.fine, sum(config.attributes) + 1, 1)  # attributes and foreground of each pixel

    def forward(
        self,
        maps: Maps,
        found: FoundObjects,
        matched: Tensor,
        attributes: nn.Module | None,
        objects: Objects,
        dense_weight: float,
    ) -> dict[str, Tensor]:
        """Computes the loss, and its parts for the log.

        Args:
            maps: of the images.
            found: objects in them.
            matched: (B, Q) index of the true object of each, -1 = none.
            attributes: head that predicts attribute logits from tokens.
            objects: the true objects.
            dense_weight: weight of the per-pixel loss.
        """
        image, slot = (matched >= 0).nonzero(as_tuple=True)  # K matched objects
        number = matched[image, slot]
        dense = self.dense(maps.fine)
        with full_precision(dense):
            parts = {
                "centre": self.centres(maps, objects),
                "offset": self.offsets(maps, objects),
                "masks": self.masks(found.masks[image, slot], objects.id_map, image, number),
                "dense": self.pixels(dense.float(), objects),
            }
        if attributes is not None:
            predicted = attributes(found.tokens[image, slot])
            parts["attributes"] = attribute_loss(
                predicted.float(), objects.attributes[image, number], self.config, 1.5, 0.02
            )
        total = sum((v for k, v in parts.items() if k != "dense"), start=dense_weight * parts["dense"])
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def centres(self, maps: Maps, objects: Objects) -> Tensor:
        """Computes the focal loss of the score map, whose target is 1 in cells with a true centre."""
        score = maps.centre[:, 0].flatten(1)  # (B, cells)
        rows, columns = maps.centre.shape[-2:]
        cells = true_cells(objects, rows, columns)
        holds = torch.zeros_like(score).scatter_reduce(1, cells, objects.present.float(), "amax")
        p = score.sigmoid()
        weight = torch.where(holds > 0, 1.5 * (1 - p).square(), 0.5 * p.square())
        loss = F.binary_cross_entropy_with_logits(score, holds, reduction="none")
        return 4 * (weight * loss).sum() / mean_count(objects.present.sum(), loss)

    def offsets(self, maps: Maps, objects: Objects) -> Tensor:
        """Computes the smooth L1 loss of offset and size in the 3 x 3 cells around each true centre."""
        rows, columns = maps.centre.shape[-2:]
        u = length_unit(maps.size_hw)
        middle = true_cells(objects, rows, columns)
        step = torch.tensor([-1, 0, 1], device=middle.device)
        row = (middle // columns)[..., None] + step.repeat_interleave(3)  # (B, N, 9)
        column = (middle % columns)[..., None] + step.repeat(3)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        inside = inside & objects.present[..., None]
        cells = torch.where(inside, row * columns + column, 0).flatten(1)
        guess = gather_cells(maps.centre[:, 1:], cells).unflatten(1, row.shape[1:])  # (B, N, 9, 3)
        x, y = objects.centres.float().unsqueeze(-2).unbind(-1)  # (B, N, 1)
        size = (objects.radii.float().clamp(min=1e-3) / (self.config.reference_radius * u)).log()
        truth = torch.stack([(x - 3.5) / 8 - column, (y - 3.5) / 8 - row, size.unsqueeze(-1).expand_as(row)], dim=-1)
        weight = inside * torch.tensor([0.3] * 4 + [1.0] + [0.3] * 4, device=middle.device)
        loss = F.smooth_l1_loss(guess, truth, beta=0.1, reduction="none").sum(-1)
        return (torch.where(inside, loss, 0) * weight).sum() / mean_count(weight.sum(), loss)

    def masks(self, logits: Tensor, id_map: Tensor, image: Tensor, number: Tensor) -> Tensor:
        """Computes the mask loss of logits (K, h, w) for objects `number` of images `image`."""
        truth = (id_map.short()[image] == (number + 1).short()[:, None, None]).float()
        if self.config.mask_stride > 1:
            truth = F.avg_pool2d(truth, self.config.mask_stride)
        return mask_loss(logits, truth)

    def pixels(self, dense: Tensor, objects: Objects) -> Tensor:
        """Computes the loss of foreground and its attributes at every fourth pixel.

        Args:
            dense: (B, sum(attributes) + 1, H/4, W/4) logits.
            objects: the true objects.
        """
        ids = objects.id_map[:, 2::4, 2::4]
        loss = F.binary_cross_entropy_with_logits(dense[:, -1], (ids > 0).float())
        if not self.config.attributes:
            return loss
        image, row, column = (ids > 0).nonzero(as_tuple=True)
        classes = objects.attributes[image, ids[image, row, column] - 1]
        return loss + attribute_loss(dense.movedim(1, -1)[image, row, column, :-1], classes, self.config, 2.0)


class MaskLoss(torch.autograd.Function):
    """`mask_loss` with its gradient written out, since masks are the largest tensors of training."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor) -> Tensor:
        """Computes the loss with one sigmoid and one logarithm per pixel."""
        p = logits.sigmoid()
        entropy = logits.clamp(min=0).sum() - (logits * truth).sum() - torch.maximum(p, 1 - p).log_().sum()
        both = 2 * (p * truth).sum((-2, -1), keepdim=True) + 1  # (K, 1, 1)
        size = (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)[..., None, None]
        pixels, masks = mean_count(truth.numel(), truth), mean_count(len(truth), truth)
        ctx.save_for_backward(p, truth, both, size, pixels, masks)
        return 8 * entropy / pixels + (1 - both / size).sum() / masks

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Computes the gradient with respect to the logits."""
        p, truth, both, size, pixels, masks = ctx.saved_tensors
        dice = torch.addcmul(both / size.square(), truth, -2 / size) / masks
        entropy = (p - truth).mul_(8 / pixels)
        return torch.addcmul(entropy, dice, p - p.square()).mul_(gradient), None


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Computes 8 * cross-entropy + Dice loss of masks (K, h, w), with targets in [0, 1]; 0 without masks."""
    loss: Tensor = MaskLoss.apply(logits, truth)
    return loss


def attribute_loss(
    logits: Tensor, classes: Tensor, config: SelectorConfig, first: float, smoothing: float = 0
) -> Tensor:
    """Computes the cross-entropy of logits (K, sum of classes) and classes (K, A), the first weighted by `first`."""
    loss = logits.new_zeros(())
    for i, group in enumerate(logits.split(config.attributes, dim=-1)):
        entropy = F.cross_entropy(group, classes[:, i], label_smoothing=smoothing, reduction="sum")
        loss = loss + (0.5 if i else first) * entropy
    return loss / mean_count(len(logits), logits)


def chooser_loss(scores: Tensor, exists: Tensor, wanted: Tensor, there: Tensor, refers: Tensor) -> dict[str, Tensor]:
    """Computes the cross-entropies of the choice among objects and of existence, and their weighted sum.

    Args:
        scores: (M, Q) logits of objects.
        exists: (M,) logits of existence.
        wanted: (M, Q) bool, True on referents.
        there: (M, Q) bool, False on padding.
        refers: (M,) bool, whether the expression has a referent.
    """
    with full_precision(scores):
        choice = F.binary_cross_entropy_with_logits(scores, wanted.float(), reduction="none")
        choice = (choice * there).sum() / mean_count(there.sum(), choice)
        existence = F.binary_cross_entropy_with_logits(exists, refers.float(), reduction="sum")
        existence = existence / mean_count(len(exists), exists)
    return {"loss": 3 * choice + 0.3 * existence, "choice": choice.detach(), "exists": existence.detach()}


class ProgramLoss(nn.Module):
    """Loss of the sets of objects that an expression's program goes through before its answer.

    The objects are asked after the first block whether they are named, or named as an anchor; after the second whether
    all of the noun phrase describes them, and whether they are an anchor. Only training knows programs.
    """

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(config.width) for _ in range(PROGRAM_BLOCKS)])
        self.heads = nn.ModuleList([nn.Linear(config.width, 2) for _ in range(PROGRAM_BLOCKS)])

    def forward(self, states: list[Tensor]) -> Tensor:
        """Computes logits (M, Q, S) of the sets, from the objects (M, Q, D) after each block."""
        asked = zip(self.norms, self.heads, states[:PROGRAM_BLOCKS], strict=True)
        return torch.cat([head(norm(state)) for norm, head, state in asked], -1)

    def loss(self, logits: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
        """Computes the cross-entropy of logits (M, Q, S) and sets (M, S, Q), of the objects that are there (M, Q)."""
        with full_precision(logits):
            loss = F.binary_cross_entropy_with_logits(logits.float().mT, wanted.float(), reduction="none")
            return (loss * there[:, None]).sum() / mean_count(there.sum(), loss)
