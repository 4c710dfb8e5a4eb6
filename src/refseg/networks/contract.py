"""The contract that every network fulfils: what goes in, what comes out, under which names."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from refseg.config import Config


@dataclass
class Output:
    """What a network says about M expressions on B images; at most Q objects (or queries) an image.

    Attributes:
        logits: (M, 1, h, w) mask logits at the network's resolution; above 0 means "referent".
        exists: (M,) logit that the expression refers to anything, from a network with such a head.
        scores: (M, Q) logit of each object being meant.
        masks: (B, Q, h', w') mask logits of the objects.
        valid: (B, Q) bool, False on padding.
        centres: (B, Q, 3) x, y and radius in pixels of the network's input.
    """

    logits: Tensor
    exists: Tensor | None = None
    scores: Tensor | None = None
    masks: Tensor | None = None
    valid: Tensor | None = None
    centres: Tensor | None = None


class Network(nn.Module, ABC):
    """A network for referring segmentation: `forward` is inference, `loss` is what only training needs.

    `encode_image` and `encode_words` do not depend on each other; `fuse` joins them, many expressions to an image.
    """

    config: Config

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """Everything about images (B, 3, H, W) that does not depend on words; computed once for all expressions."""

    @abstractmethod
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L); `word_mask` (M, L) is True on words and False on padding."""

    @abstractmethod
    def fuse(self, image_features: Any, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Answers M expressions; `image_of_expression` (M,) int64 says on which of the B images each is asked."""

    @abstractmethod
    def loss(self, batch: Any) -> Mapping[str, Tensor]:
        """Named losses of a training batch; "loss" is the one to minimise, the others are for the log."""

    def forward(self, image: Tensor, tokens: Tensor, word_mask: Tensor) -> Output:
        """One expression per image: the three steps in a row.

        Args:
            image: (B, 3, H, W), normalised as the network's preprocessing says.
            tokens: (B, L), ids from the network's own tokenizer.
            word_mask: (B, L), True on words and False on padding.
        """
        one_each = torch.arange(len(tokens), device=tokens.device)
        return self.fuse(self.encode_image(image), self.encode_words(tokens, word_mask), word_mask, one_each)

    def parts(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The parameters by the part of the network that they belong to; a recipe trains parts at their own rates."""
        return {"network": self.parameters()}

    def freeze_batch_norm(self) -> None:
        """From now on batch norms use their stored statistics, in training too; nothing to do without such layers."""
