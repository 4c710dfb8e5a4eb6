"""Network and Output: the interface of every network."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from refseg.batch import Batch
from refseg.blocks.view import View
from refseg.config import Config
from refseg.readers.reading import Reading
from refseg.samples import AnnotatedObjects

ABSENT = -20.0  # logit of the impossible: the mask of an empty slot, existence in an image without objects


@dataclass
class Candidates:
    """Boxes that a detector considered for one expression, the best first.

    Attributes:
        places: (N, 4), left, top, right, bottom in parts of the image's sides.
        scores: (N,), in [0, 1].
        meant: (N,) bool, True on those that are meant if anything is.
    """

    places: Tensor
    scores: Tensor
    meant: Tensor


@dataclass
class Output:
    """Predictions for M expressions on B images, with at most Q objects (or queries) per image.

    Attributes:
        logits: (M, 1, h, w) mask logits at the network's resolution; above 0 means "referent".
        exists: (M,) logit of the expression having a referent.
        scores: (M, Q) logit of each object being a referent.
        masks: (B, Q, h', w') mask logits of the objects.
        valid: (B, Q) bool, False on padding.
        centres: (B, Q, 3) x, y and radius in pixels of the network's input.
        referents: M tensors (N, h, w), the mask logits of each referent, where they depend on the expression.
        readings: how each of the M expressions was read.
        candidates: the boxes that were considered for each of the M expressions.
    """

    logits: Tensor
    exists: Tensor
    scores: Tensor | None = None
    masks: Tensor | None = None
    valid: Tensor | None = None
    centres: Tensor | None = None
    referents: Sequence[Tensor] | None = None
    readings: Sequence[Reading] | None = None
    candidates: Sequence[Candidates] | None = None

    def float(self) -> "Output":
        """Returns the output with all logits in float32."""
        tensors = ("logits", "exists", "scores", "masks", "centres")
        cast = {name: value.float() for name in tensors if (value := getattr(self, name)) is not None}
        referents = None if self.referents is None else [some.float() for some in self.referents]
        return replace(self, **cast, referents=referents)


class Network(nn.Module, ABC):
    """Base class of the networks: `forward` is inference, `loss` is for training.

    `encode_image` and `encode_words` are independent of each other; `fuse` joins them, many expressions per image.

    Attributes:
        config: settings of this network.
        exists_threshold_logit: `Output.exists` above which an expression has a referent; set by the checkpoint.
        presets: named settings.
        idea, supervision: one sentence each for model cards, on the method and on the training labels.
        reads_erased: whether training needs `Batch.erased`.
        needs_objects: whether training needs `Batch.objects`.
        training_only: name prefixes of the weights that only training needs.
        full_precision_parts: name prefixes of layers that compute outside of autocast.
        compute_dtype: precision of inference; layers compute in another one than float32 by autocast.
        knows_objects: whether it finds objects without words: its `Output` has scores and masks of objects, its
            features have an id map (`id_map`), and `chosen` gives the objects that an expression refers to.
        gives_readings: whether its `Output` says how it read each expression.
        exports_any_size: whether it is exported for images of any size, in the place of one.
        threshold: probability above which a pixel belongs to the referent; logits of the output are 0 there.
        frames: length K of the input clips (B, K, 3, H, W); 1 for a network of images.
        expressions_at_once: expressions that are fused together; None if that depends on the size of the images.
    """

    presets: ClassVar[Mapping[str, Any]] = {}
    idea: ClassVar[str]
    supervision: ClassVar[str] = "the mask of each expression and nothing else"
    reads_erased: ClassVar[bool] = False
    needs_objects: ClassVar[bool] = False
    knows_objects: ClassVar[bool] = False
    gives_readings: ClassVar[bool] = False
    exports_any_size: ClassVar[bool] = False
    training_only: tuple[str, ...] = ()
    full_precision_parts: tuple[str, ...] = ()
    compute_dtype: torch.dtype = torch.float32
    config: Config
    exists_threshold_logit: float = 0.0
    threshold: float = 0.5
    frames: int = 1
    expressions_at_once: int | None = None
    _batch_norm_frozen = False

    def at_threshold(self, exists_threshold_logit: float) -> Self:
        """Returns a shallow copy, sharing all weights, with another existence threshold.

        A threshold for a single call is set this way, since other threads may use this network at the same time.
        """
        network = copy(self)
        network.exists_threshold_logit = exists_threshold_logit
        return network

    @property
    def annotated(self) -> int:
        """Index of the clip's frame whose mask is predicted."""
        return self.frames // 2

    def accepts_offsets(self, offsets: Sequence[int]) -> bool:
        """Whether clips of frames at these offsets from the predicted frame are valid input."""
        return len(offsets) == self.frames and offsets[self.annotated] == 0

    def image_shape(self, size_hw: tuple[int, int]) -> tuple[int, ...]:
        """Returns the input shape of one image of this size: (3, H, W), or (K, 3, H, W) for clips."""
        image = (3, *size_hw)
        return image if self.frames == 1 else (self.frames, *image)

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """Computes the word-independent features of images (B, 3, H, W), once for all expressions."""

    @property
    def object_classes(self) -> tuple[int, ...]:
        """Number of classes of each attribute of the objects that training needs (`Dataset.object_classes`)."""
        return ()

    @property
    def needs_annotations(self) -> bool:
        """Whether images are encoded with the objects that a data set annotates in them (`encode_annotated`)."""
        return False

    def encode_annotated(self, image: Tensor, annotated: Sequence[AnnotatedObjects]) -> Any:
        """Computes `encode_image` of images (B, 3, H, W) with all objects that are annotated in each."""
        raise NotImplementedError

    @property
    def encodes_frames(self) -> bool:
        """Whether frames are encoded independently of their clip (`encode_frames`, `join_frames`)."""
        return False

    def encode_frames(self, image: Tensor) -> Sequence[Any]:
        """Computes the features of each of the frames (N, 3, H, W), for use in any clip."""
        raise NotImplementedError

    def join_frames(self, clips: Sequence[Sequence[Any]]) -> Any:
        """Joins the features of K frames per clip into those that `encode_image` computes for the clips."""
        raise NotImplementedError

    @abstractmethod
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, L, D); `word_mask` (M, L) is True on words and False on padding."""

    @abstractmethod
    def fuse(self, image_features: Any, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts the referents of M expressions; `image_of_expression` (M,) int64 indexes the B images."""

    def familiarity_features(self, image_features: Any) -> Tensor | None:
        """Returns the map (B, C, h, w) of the image features that familiarity is measured on, None without one."""
        return None

    def chosen(self, output: Output) -> Tensor | None:
        """Returns the referents (M, Q) bool among the objects; None for networks that know no objects."""
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Computes the losses of a training batch: "loss" is minimised, the others are logged."""

    def forward(self, image: Tensor, tokens: Tensor, word_mask: Tensor) -> Output:
        """Predicts the referent of one expression per image.

        Args:
            image: (B, 3, H, W), or clips (B, K, 3, H, W), normalised by the network's preprocessing.
            tokens: (B, L), ids from the network's own tokenizer.
            word_mask: (B, L), True on words and False on padding.
        """
        one_each = torch.arange(tokens.shape[0], device=tokens.device)
        return self.fuse(self.encode_image(image), self.encode_words(tokens, word_mask), word_mask, one_each)

    def answer(self, logits: Tensor) -> Output:
        """Returns the output of a network whose mask alone tells whether there is a referent.

        Existence is the largest logit; at or below `exists_threshold_logit` the mask is emptied. With the default of 0
        nothing changes.

        Args:
            logits: (M, 1, h, w), whose sigmoid is the probability of a pixel.
        """
        logits = logits - math.log(self.threshold / (1 - self.threshold))
        exists = logits.flatten(1).amax(1)
        excess = exists.clamp(min=0) * (exists <= self.exists_threshold_logit)
        return Output(logits - excess[:, None, None, None], exists)

    def views(self) -> Sequence[View]:
        """Returns the attention maps and weights that can be shown, in the order of the forward pass."""
        return ()

    def components(self) -> Mapping[str, Sequence[nn.Module]]:
        """Returns the modules behind each row of the paper's table of costs, if it has one, for `inspection.flops`."""
        return {}

    def parts(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Returns the parameters by part of the network; a recipe sets a learning rate for each part."""
        parts = {
            name: list(part.parameters())
            for name, part in self.named_children()
            if name in ("image_encoder", "word_encoder")
        }
        theirs = {id(parameter) for part in parts.values() for parameter in part}
        return {**parts, "fusion": [parameter for parameter in self.parameters() if id(parameter) not in theirs]}

    def image_encoder_weights(self) -> dict[str, Tensor]:
        """Returns weights to initialise the image encoders of other networks from (`training.initial_weights`)."""
        return self.get_submodule("image_encoder").state_dict()

    def freeze_batch_norm(self) -> None:
        """Makes batch norms use their stored statistics in training too; scale and shift are still trained."""
        self._batch_norm_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Sets training or evaluation mode; frozen layers and frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            frozen = [not parameter.requires_grad for parameter in module.parameters()]
            if (frozen and all(frozen)) or (self._batch_norm_frozen and isinstance(module, _BatchNorm)):
                module.eval()
        return self


def chosen_objects(output: Output, exists_threshold_logit: float) -> Tensor:
    """Returns the objects (M, Q) bool whose score is above 0, none where existence is not above its threshold."""
    assert output.scores is not None
    return (output.scores > 0) & (output.exists - exists_threshold_logit > 0).unsqueeze(1)


class CalledInParts(nn.Module):
    """A block whose layers the network also calls one by one: those that read no words, once per image.

    Its own `forward` is then not all that it computes, so training never shards or checkpoints it as one block.
    """


def pad_words(tokens: Tensor, word_mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Pads or cuts tokens and word_mask (M, L) to (M, length), with 0 and False on padding.

    For networks that read padding as some published ones do, so that their output does not depend on its amount.
    """
    mask = pad_mask(word_mask, length)
    tokens = F.pad(tokens, (0, max(length - tokens.shape[1], 0)))[:, :length]
    return tokens.masked_fill(~mask, 0), mask


def pad_mask(word_mask: Tensor, length: int) -> Tensor:
    """Pads or cuts word_mask (M, L) to (M, length), with False on padding."""
    return F.pad(word_mask, (0, max(length - word_mask.shape[1], 0)))[:, :length]
