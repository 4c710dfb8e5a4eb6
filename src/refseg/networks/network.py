"""The contract that every network fulfils: what goes in, what comes out, under which names."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from refseg.batch import Batch
from refseg.blocks.view import View
from refseg.config import Config

ABSENT = -20.0  # logit of what cannot be: the mask of a slot without object, existence in an image without objects


@dataclass
class Output:
    """What a network says about M expressions on B images; at most Q objects (or queries) an image.

    Attributes:
        logits: (M, 1, h, w) mask logits at the network's resolution; above 0 means "referent".
        exists: (M,) logit that the expression refers to anything.
        scores: (M, Q) logit of each object being meant.
        masks: (B, Q, h', w') mask logits of the objects.
        valid: (B, Q) bool, False on padding.
        centres: (B, Q, 3) x, y and radius in pixels of the network's input.
    """

    logits: Tensor
    exists: Tensor
    scores: Tensor | None = None
    masks: Tensor | None = None
    valid: Tensor | None = None
    centres: Tensor | None = None


class Network(nn.Module, ABC):
    """A network for referring segmentation: `forward` is inference, `loss` is what only training needs.

    `encode_image` and `encode_words` do not depend on each other; `fuse` joins them, many expressions to an image.

    Attributes:
        config: its settings.
        exists_threshold_logit: existence above which an expression refers to something; a checkpoint sets it.
        presets: its settings by the names that they are known by.
        idea, supervision: how it answers and what it learns from, a sentence each, for cards.
        reads_erased: whether training needs `Batch.erased`.
        training_only: prefixes of the names of weights that only training needs.
        knows_objects: whether it finds objects without words: its `Output` has scores and masks of objects, its
            features have an id map (`id_map`), and `chosen` says which objects an expression means.
        threshold: probability of a pixel above which it is the referent's; the logits of an answer are 0 there.
        frames: K of the clips (B, K, 3, H, W) that it takes in the place of images; 1: it takes images.
    """

    presets: ClassVar[Mapping[str, Any]] = {}
    idea: ClassVar[str]
    supervision: ClassVar[str] = "the mask of each expression and nothing else"
    reads_erased: ClassVar[bool] = False
    knows_objects: ClassVar[bool] = False
    training_only: tuple[str, ...] = ()
    config: Config
    exists_threshold_logit: float = 0.0
    threshold: float = 0.5
    frames: int = 1
    _batch_norm_frozen = False

    def at_threshold(self, exists_threshold_logit: float) -> Self:
        """Returns a network of the same weights with another threshold of existence; this one stays as it is.

        A threshold that holds for one call is given this way: other threads answer with this network meanwhile.
        """
        network = copy(self)
        network.exists_threshold_logit = exists_threshold_logit
        return network

    @property
    def annotated(self) -> int:
        """Which frame of a clip is the one whose mask is the answer."""
        return self.frames // 2

    def accepts_offsets(self, offsets: Sequence[int]) -> bool:
        """Are these, counted from the frame that is answered, the frames of a clip that the network takes?"""
        return len(offsets) == self.frames and offsets[self.annotated] == 0

    def image_shape(self, size_hw: tuple[int, int]) -> tuple[int, ...]:
        """The shape of one image of this size as the network takes it: (3, H, W), or (K, 3, H, W) of a clip."""
        image = (3, *size_hw)
        return image if self.frames == 1 else (self.frames, *image)

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """Everything about images (B, 3, H, W) that does not depend on words; computed once for all expressions."""

    @property
    def encodes_frames(self) -> bool:
        """Can a frame be encoded once for all clips that have it, by `encode_frames` and `join_frames`?"""
        return False

    def encode_frames(self, image: Tensor) -> Sequence[Any]:
        """What each of the frames (N, 3, H, W) adds to the features of any clip."""
        raise NotImplementedError

    def join_frames(self, clips: Sequence[Sequence[Any]]) -> Any:
        """What `encode_image` gives for clips, of what `encode_frames` gives for their K frames each."""
        raise NotImplementedError

    @abstractmethod
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L); `word_mask` (M, L) is True on words and False on padding."""

    @abstractmethod
    def fuse(self, image_features: Any, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Answers M expressions; `image_of_expression` (M,) int64 says on which of the B images each is asked."""

    def familiarity_features(self, image_features: Any) -> Tensor | None:
        """The map (B, C, h, w) of what `encode_image` gives that tells familiar images; None if there is none."""
        return None

    def chosen(self, output: Output) -> Tensor | None:
        """Which objects (M, Q) the expressions mean, of a network that knows objects; None of another."""
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Named losses of a training batch; "loss" is the one to minimise, the others are for the log."""

    def forward(self, image: Tensor, tokens: Tensor, word_mask: Tensor) -> Output:
        """One expression per image: the three steps in a row.

        Args:
            image: (B, 3, H, W), or clips (B, K, 3, H, W), normalised as the network's preprocessing says.
            tokens: (B, L), ids from the network's own tokenizer.
            word_mask: (B, L), True on words and False on padding.
        """
        one_each = torch.arange(len(tokens), device=tokens.device)
        return self.fuse(self.encode_image(image), self.encode_words(tokens, word_mask), word_mask, one_each)

    def answer(self, logits: Tensor) -> Output:
        """The output of a network that says with its mask alone, (M, 1, h, w), whether there is a referent.

        Existence is the largest logit; below `exists_threshold_logit` the mask is emptied. At first that is 0: nothing
        changes.

        Args:
            logits: (M, 1, h, w), whose sigmoid is the probability of a pixel.
        """
        logits = logits - math.log(self.threshold / (1 - self.threshold))
        exists = logits.flatten(1).amax(1)
        excess = exists.clamp(min=0) * (exists <= self.exists_threshold_logit)
        return Output(logits - excess[:, None, None, None], exists)

    def views(self) -> Sequence[View]:
        """What the network attends to, in the order of its forward pass."""
        return ()

    def components(self) -> Mapping[str, Sequence[nn.Module]]:
        """The modules behind each row of the paper's table of costs, where it has one, for `inspection.flops`."""
        return {}

    def parts(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The parameters by the part of the network that they belong to; a recipe trains parts at their own rates."""
        parts = {
            name: list(part.parameters())
            for name, part in self.named_children()
            if name in ("image_encoder", "word_encoder")
        }
        theirs = {id(parameter) for part in parts.values() for parameter in part}
        return {**parts, "fusion": [parameter for parameter in self.parameters() if id(parameter) not in theirs]}

    def image_encoder_weights(self) -> dict[str, Tensor]:
        """What the image encoders of other networks may start from, see `training.initial_weights`."""
        return self.get_submodule("image_encoder").state_dict()

    def freeze_batch_norm(self) -> None:
        """From now on batch norms use their stored statistics in training too (their scale and shift still learn)."""
        self._batch_norm_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; layers that do not learn and frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            still = [not parameter.requires_grad for parameter in module.parameters()]
            if (still and all(still)) or (self._batch_norm_frozen and isinstance(module, _BatchNorm)):
                module.eval()
        return self


class CalledInParts(nn.Module):
    """A block whose layers the network also calls one by one: those that read no words, once per image.

    Its own `forward` is then not all that it computes, so training never shards or checkpoints it as one block.
    """


def pad_words(tokens: Tensor, word_mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Tokens and word_mask (M, L) as (M, length), 0 and False where there is no word.

    For networks that read padding as well, as some published ones do: their answer would depend on the amount of it.
    """
    mask = pad_mask(word_mask, length)
    tokens = F.pad(tokens, (0, max(length - tokens.shape[1], 0)))[:, :length]
    return tokens.masked_fill(~mask, 0), mask


def pad_mask(word_mask: Tensor, length: int) -> Tensor:
    """Word_mask (M, L) as (M, length), False where there is no word."""
    return F.pad(word_mask, (0, max(length - word_mask.shape[1], 0)))[:, :length]
