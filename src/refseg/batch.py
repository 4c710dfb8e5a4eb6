"""Batches of a training step."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass
class Objects:
    """True objects of B images in training, N being the largest count among them.

    Attributes:
        id_map: (B, H, W) int64, 0 = background, k = object k (column k - 1 of the others).
        centres: (B, N, 2) float, x and y in pixels of the image.
        radii: (B, N) float, pixels.
        attributes: (B, N, A) int64, class index of each attribute.
        present: (B, N) bool, False on padding.
    """

    id_map: Tensor
    centres: Tensor
    radii: Tensor
    attributes: Tensor
    present: Tensor


@dataclass
class Batch:
    """A training batch of B images and M expressions.

    Attributes:
        image: (B, 3, H, W) float, normalised; (B, K, 3, H, W) for a network that takes clips.
        tokens, word_mask: (M, L) int64 and bool.
        image_of_expression: (M,) int64, index of each expression's image.
        targets: (M, N) bool, true objects that each expression refers to; all False without referent. N is 1 if no
            objects are known: all referents are one.
        objects: the true objects; None if the data set does not have them.
        truth: (M, H, W) float, share of each pixel in the referents; None if `objects` and `targets` tell it.
        steps: (M, S, N) bool, sets of true objects that the program of each expression goes through before its answer;
            None if the data set has no programs.
        types: (M,) int64, form of each expression, for validation by form.
        erased: (M, L) int64, tokens with one phrase erased, for networks that learn to recover it.
        ids: ids of the expressions in their data set.
    """

    image: Tensor
    tokens: Tensor
    word_mask: Tensor
    image_of_expression: Tensor
    targets: Tensor
    objects: Objects | None = None
    truth: Tensor | None = None
    steps: Tensor | None = None
    types: Tensor | None = None
    erased: Tensor | None = None
    ids: tuple[str, ...] = ()

    def masks(self) -> Tensor:
        """Returns the true masks (M, H, W) bool: visible pixels of each expression's referents."""
        if self.truth is not None:
            return self.truth > 0.5
        assert self.objects is not None
        is_referent = F.pad(self.targets, (1, 0))  # column 0: background
        id_map = self.objects.id_map[self.image_of_expression]
        return is_referent.gather(1, id_map.flatten(1)).view_as(id_map)

    def soft_masks(self) -> Tensor:
        """Returns the true masks (M, H, W) float, between 0 and 1 at partly covered pixels."""
        return self.masks().float() if self.truth is None else self.truth


@dataclass
class CachedObjectBatch:
    """A batch for the chooser alone: cached objects of the finder, S images and M expressions.

    Attributes:
        found_tokens: (S, Q, D), `valid`: (S, Q), `pairs`: (S, Q, Q, P), outputs of the network's image side.
        matched: (S, Q) int64, the true object of each found one; -1 for none.
        tokens, word_mask: (M, L).
        image_of_expression: (M,) int64.
        targets: (M, N) bool.
        steps: (M, S, N) bool or None, as in `Batch`.
    """

    found_tokens: Tensor
    valid: Tensor
    pairs: Tensor
    matched: Tensor
    tokens: Tensor
    word_mask: Tensor
    image_of_expression: Tensor
    targets: Tensor
    steps: Tensor | None = None
