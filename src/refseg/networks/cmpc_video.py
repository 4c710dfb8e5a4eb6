"""CMPC for videos: perceives entities in some frames, and reasons about actions over time.

Paper      S. Liu et al. "Cross-Modal Progressive Comprehension for Referring Segmentation". TPAMI 2021.
           https://arxiv.org/abs/2105.07175
Read with  `cmpc`, of which this is the second half: `VideoLevel` has the parts of `cmpc.Level` and beside them
           `ActionReasoning` (Eqs. 13 to 15 and 19 to 21) with its `TemporalGraph` (Eqs. 16 to 18).
Departs    As `cmpc` does. Where the paper and the authors' release differ, this is the release: pixels attend to the
           frames before they are related to each other, on the graph's output, with weights of their own. But the
           defaults of `skip` and `output_sentence` are the paper's.
           Where pixels are compared with few vectors, those are projected back, with the same product.
           The paper only names I3D: here each level has as many steps of time as its map.
           The network does not know the order of frames: over an encoder of single frames, a clip and its reverse have
           the same mask. `small_clips`, for drawn clips, reads neighbouring frames.
Notation   As in `cmpc`; K frames of a clip or steps of a level; the mask is predicted for number K // 2.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from refseg.blocks.view import View
from refseg.encoders.configs import ClipEncoderConfig
from refseg.errors import InvalidInput
from refseg.networks.cmpc import (
    CMPC,
    LEVELS,
    SMALL,
    CMPCConfig,
    EncodedExpression,
    GraphLayer,
    ImageFeatures,
    Level,
    LevelFeatures,
    RelationReasoning,
    dense,
    l2_normalize,
    weighted,
)

TYPES = ("entity", "attribute", "relation", "action", "unnecessary")


class CMPCVideoConfig(CMPCConfig):
    """Every choice of the network; the defaults are those of the paper's Table 6, row 5, with three rounds of TGFE."""

    image_encoder: ClipEncoderConfig = Field("deeplab_resnet101", validate_default=True)  # type: ignore[assignment]
    frames: int = Field(5, ge=2, le=256)  # of a clip; the authors take 0, 4, 8, 12 and 15 of 16
    output_sentence: Literal["entities", "necessary"] = "necessary"
    temporal_graph: Literal["none", "direct", "words"] = "direct"  # between frames; none: no action reasoning; Table 7

    @property
    def reasons(self) -> bool:
        """Whether there is relation-aware or action-aware reasoning."""
        return super().reasons or self.temporal_graph != "none"


PRESETS = {
    "cmpc_video": CMPCVideoConfig(),
    "cmpc_video_i3d": CMPCVideoConfig(image_encoder="i3d", frames=8),
    "cmpc_video_release": CMPCVideoConfig(exchange_rounds=2, skip="visual", resize="corner", reduction="sum", l2=5e-4),
    "cmpc_video_small": CMPCVideoConfig(**SMALL | {"image_encoder": "small_clips", "frames": 3}),
}


class CMPCVideo(CMPC):
    """CMPC for clips (B, K, 3, H, W); predicts masks of their middle frame."""

    idea = "Finds what the expression names in some frames, then relates it over space and over time"
    presets = PRESETS
    types = TYPES
    config: CMPCVideoConfig

    def __init__(self, config: CMPCVideoConfig, vocabulary_size: int):
        super().__init__(config, vocabulary_size)
        self.frames = config.frames
        self._check(config.frames)

    def level(self, channels: int, words: int) -> "VideoLevel":
        """Builds one level for a stage's map."""
        return VideoLevel(self.config, channels, words)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes word-independent features of normalised clips (B, K, 3, H, W), for any K that the encoder takes.

        Raises:
            InvalidInput: for single images, or a number of frames that does not fit the encoder.
        """
        if image.ndim != 5:
            raise InvalidInput(f"this network takes clips of {self.frames} frames, not single images")
        self._check(image.shape[1])
        size_hw = image.shape[-2], image.shape[-1]
        if self.config.temporal_graph == "none" and self.image_encoder.frames_alone:
            image = middle_frame(image)
        features = self.levels_of(self.image_encoder.encode_clips(image), size_hw)
        return replace(features, coarse=middle_frame(features.coarse).squeeze(1))

    @property
    def encodes_frames(self) -> bool:
        """Whether the image encoder reads single frames."""
        return self.image_encoder.frames_alone

    def encode_frames(self, image: Tensor) -> list[ImageFeatures]:
        """Computes the features of each of the frames (N, 3, H, W), as those of a clip of one frame."""
        features = self.encode_image(image.unsqueeze(1))
        each = torch.arange(len(image), device=image.device).split(1)
        return [
            ImageFeatures(
                {name: level.expand_to_expressions(one) for name, level in features.levels.items()},
                features.size_hw,
                features.coarse[one],
            )
            for one in each
        ]

    def join_frames(self, clips: Sequence[Sequence[ImageFeatures]]) -> ImageFeatures:
        """Joins the features of K frames per clip into those that `encode_image` computes for the clips."""
        if self.config.temporal_graph == "none":
            clips = [[clip[len(clip) // 2]] for clip in clips]
        coarse = torch.cat([clip[len(clip) // 2].coarse for clip in clips])
        return ImageFeatures({name: _joined(clips, name) for name in self.levels}, clips[0][0].size_hw, coarse)

    def views(self) -> list[View]:
        """Returns the views of images, action attention in each frame, and the frames that pixels attend to."""
        views = super().views()
        for name, level in self.levels.items():
            assert isinstance(level, VideoLevel)
            if level.act is None:
                continue
            stride = self.image_encoder.frame_strides[LEVELS[name]]
            steps = range(self.frames // stride)
            for step in steps:
                title = f"{name}: action in frame {step * stride}"
                read = partial(_step, step)
                views.append(View(title, level.act.pixels, read, "map", "Eqs. 13, 14", frame=step * stride))
            labels = [str(step * stride) for step in steps]
            views.append(View(f"{name}: frames", level.act.frames, _mean, "weights", "Eqs. 19, 20", labels))
        return views

    def _check(self, frames: int) -> None:
        stride = self.image_encoder.frame_strides[-1]
        if frames < 1 or frames % stride:
            raise InvalidInput(f"a clip of {frames} frames; this image encoder takes {stride}, or a multiple of it")


class VideoLevel(Level):
    """One level of a clip: entities in every frame, relations in the middle one, actions across all."""

    def __init__(self, config: CMPCVideoConfig, channels: int, words: int):
        graph = config.temporal_graph
        super().__init__(config, channels, words, more=graph != "none")
        self.act = ActionReasoning(config.width, words, graph) if graph != "none" else None

    def project_image(self, x: Tensor, size_hw: Sequence[int]) -> LevelFeatures:
        """Computes word-independent features of a stage's maps (B, K, _, h', w'), at this size.

        Without action reasoning they are those of the middle step alone.
        """
        if self.act is None:
            x = middle_frame(x)
        steps, clips = super().project_image(x.flatten(0, 1), size_hw), x.shape[:2]
        pixels = None if steps.pixels is None else middle_frame(steps.pixels.unflatten(0, clips)).squeeze(1)
        return LevelFeatures(pixels, steps.projected.unflatten(0, clips))

    def forward(self, features: LevelFeatures, expression: EncodedExpression) -> Tensor:
        """Computes the level's output (M, h, w, F) from the features of M expressions' clips."""
        named = self.perceive(features.projected, expression.entities)  # (M, K, h, w, C)
        middle = middle_frame(named).squeeze(1)
        maps = [middle if features.pixels is None else features.pixels]
        if self.reason is not None:
            maps.append(self.reason(middle, expression))
        if self.act is not None:
            maps.append(self.act(named, middle, expression))
        return self.join(maps, expression.output)


class ActionReasoning(nn.Module):
    """Action-aware reasoning: frames pooled by action attention, a graph over them, and attention back to pixels.

    Attributes:
        pixels: identity called with the attention over pixels (M, K, h, w), for views.
        frames: identity called with the attention over frames (M, N, K), for views.
    """

    def __init__(self, width: int, words: int, graph: Literal["direct", "words"]):
        super().__init__()
        self.pixel = dense(width, width)
        self.action = dense(words, width)
        self.graph = {"direct": TemporalGraph, "words": WordGraph}[graph](width, words)
        self.place = dense(width, width)
        self.context = dense(width, width)
        self.scale = width**-0.5
        self.pixels, self.frames = nn.Identity(), nn.Identity()

    def forward(self, named: Tensor, middle: Tensor, expression: EncodedExpression) -> Tensor:
        """Computes action features (M, h, w, C) from entities (M, K, h, w, C) and those of the middle frame."""
        size_hw = named.shape[2:4]
        vertices = self.graph(self.gather(named.flatten(2, 3), expression, size_hw), expression)
        scores = compare(middle.flatten(1, 2), self.place, self.context(vertices)) * self.scale  # Eq. 19
        shares = self.frames(scores.float().softmax(-1))  # Eq. 20
        return l2_normalize(shares.to(vertices.dtype) @ vertices).unflatten(1, size_hw)  # Eq. 21

    def gather(self, pixels: Tensor, expression: EncodedExpression, size_hw: Sequence[int]) -> Tensor:
        """Pools the pixels (M, K, N, C) of each frame by action attention: (M, K, C)."""
        assert expression.types is not None
        action = self.action(weighted(expression.words, expression.types["action"]))
        scores = compare(pixels, self.pixel, action[:, None, None]).squeeze(-1) * self.scale  # Eq. 13
        shares = self.pixels(scores.float().softmax(-1).unflatten(-1, size_hw)).flatten(-2)  # Eq. 14
        return (shares.to(pixels.dtype).unsqueeze(-2) @ pixels).squeeze(-2)  # Eq. 15


class TemporalGraph(nn.Module):
    """A complete graph over frames."""

    def __init__(self, width: int, words: int):
        super().__init__()
        self.query = dense(width, width)
        self.key = dense(width, width)
        self.layer = GraphLayer(width)
        self.scale = width**-0.5

    def forward(self, vertices: Tensor, expression: EncodedExpression) -> Tensor:
        """Propagates frames (M, K, C) through the graph."""
        edges = self.edges(vertices)
        return l2_normalize(self.layer(vertices, edges.to(vertices.dtype) @ vertices))  # Eq. 18

    def edges(self, vertices: Tensor) -> Tensor:
        """Computes edge weights (M, K, K) among frames (M, K, C); rows sum to 1."""
        return (self.query(vertices) @ self.key(vertices).mT * self.scale).float().softmax(-1)  # Eqs. 16, 17


class WordGraph(RelationReasoning):
    """A graph over frames whose edges lead through action words."""

    def __init__(self, width: int, words: int):
        super().__init__(width, words, layers=1, through="action")

    def forward(self, vertices: Tensor, expression: EncodedExpression) -> Tensor:
        """Propagates frames (M, K, C) through the graph."""
        return super().forward(vertices.unsqueeze(1), expression).squeeze(1)


def compare(x: Tensor, layer: nn.Linear, others: Tensor) -> Tensor:
    """Computes `layer(x) @ others.mT` (..., N, K) for many x (..., N, C) and few others (..., K, C)."""
    return x @ (others @ layer.weight).mT + (others @ layer.bias).unsqueeze(-2)


def middle_frame(x: Tensor) -> Tensor:
    """Returns the middle frame or step (B, 1, ...) of (B, K, ...)."""
    return x[:, x.shape[1] // 2].unsqueeze(1)


def _joined(clips: Sequence[Sequence[ImageFeatures]], name: str) -> LevelFeatures:
    """Joins the features of single frames at one level into those of clips."""
    levels = [[frame.levels[name] for frame in clip] for clip in clips]
    projected = torch.cat([torch.cat([frame.projected for frame in clip], dim=1) for clip in levels])
    pixels = [clip[len(clip) // 2].pixels for clip in levels]
    given = [x for x in pixels if x is not None]
    return LevelFeatures(torch.cat(given) if given else None, projected)


def _step(number: int, attention: Tensor) -> Tensor:
    return attention[:, number]


def _mean(attention: Tensor) -> Tensor:
    return attention.flatten(0, 1).mean(0)
