"""What a training step gets."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass
class Objects:
    """What is known of the true objects of B images in training, N the largest count among them.

    Attributes:
        id_map: (B, H, W) int64, 0 = background, k = object k (column k - 1 of the others).
        centres: (B, N, 2) float, x and y in pixels of the image.
        radii: (B, N) float, pixels.
        attributes: (B, N, A) int64, one class index per attribute.
        present: (B, N) bool, False on padding.
    """

    id_map: Tensor
    centres: Tensor
    radii: Tensor
    attributes: Tensor
    present: Tensor


@dataclass
class Batch:
    """A training batch: B images and M expressions about them.

    Attributes:
        image: (B, 3, H, W) float, normalised; (B, K, 3, H, W) for a network that takes clips.
        tokens, word_mask: (M, L) int64 and bool.
        image_of_expression: (M,) int64, the image that each expression is about.
        targets: (M, N) bool, which true objects of its image each expression means; a row of False = nothing. N is 1
            where no objects are known: all that an expression means is one.
        objects: the true objects; None where the data set does not know them.
        truth: (M, H, W) float, how much of each pixel is meant; None where `objects` says it.
        types: (M,) int64, the form of each expression, where validation reports by form.
        erased: (M, L) int64, the tokens with one phrase erased, for networks that learn to recover it.
        ids: of the expressions in their data set.
    """

    image: Tensor
    tokens: Tensor
    word_mask: Tensor
    image_of_expression: Tensor
    targets: Tensor
    objects: Objects | None = None
    truth: Tensor | None = None
    types: Tensor | None = None
    erased: Tensor | None = None
    ids: tuple[str, ...] = ()

    def masks(self) -> Tensor:
        """The true masks (M, H, W) bool: visible pixels of all that each expression means."""
        if self.truth is not None:
            return self.truth > 0.5
        assert self.objects is not None
        meant = F.pad(self.targets, (1, 0))  # column 0: background
        id_map = self.objects.id_map[self.image_of_expression]
        return meant.gather(1, id_map.flatten(1)).view_as(id_map)

    def soft_masks(self) -> Tensor:
        """The true masks (M, H, W) float; between 0 and 1 where a pixel is meant in part."""
        return self.masks().float() if self.truth is None else self.truth


@dataclass
class CachedObjectBatch:
    """A batch for the chooser alone: objects that the finder found before, S images and M expressions.

    Attributes:
        found_tokens: (S, Q, D), `valid`: (S, Q), `pairs`: (S, Q, Q, P), as the network's image side gives them.
        matched: (S, Q) int64, the true object that each is, -1 = none.
        tokens, word_mask: (M, L).
        image_of_expression: (M,) int64.
        targets: (M, N) bool.
    """

    found_tokens: Tensor
    valid: Tensor
    pairs: Tensor
    matched: Tensor
    tokens: Tensor
    word_mask: Tensor
    image_of_expression: Tensor
    targets: Tensor
