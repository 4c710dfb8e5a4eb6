"""Selector for videos: finds the objects of each frame, follows them, and chooses among them by what they are and do.

Idea       The finder is Selector's, of single images, and looks at each frame once, however many clips it is in. The
           objects of the middle frame are followed to the others by their places; how they move, grow and turn there
           joins what they look like, and the chooser reads the expression as in an image.
Read with  `selector`, of which this is the second half; `motion` (from frame to frame).
Limits     An object is followed by its place alone, each by itself: two that pass close to each other are mixed up if
           they move further than they are apart from one of the clip's frames to the next, and what moves further
           than `follow_distance` is lost.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.autocast import full_precision
from refseg.blocks.view import View
from refseg.distributed import mean_count
from refseg.errors import InvalidInput
from refseg.networks.selector.config import SelectorVideoConfig
from refseg.networks.selector.finder import FoundObjects
from refseg.networks.selector.motion import Appearance, FrameObjects, Motion
from refseg.networks.selector.selector import Selector


class SelectorVideo(Selector):
    """Finder, motion and chooser for clips (B, K, 3, H, W); predicts masks of their middle frame."""

    idea = (
        "It finds the objects of each frame without words, follows them through the clip, then chooses among them by "
        "what they are and do: words can never change a mask, and what is not found cannot be chosen"
    )
    supervision = (
        "more than a referring data set gives: true centres of all objects, and what each of them does (the finder "
        "was taught before, on images)"
    )
    config: SelectorVideoConfig

    def __init__(self, config: SelectorVideoConfig, vocabulary_size: int):
        super().__init__(config, vocabulary_size)
        self.frames = config.frames
        self.appearance = Appearance(config) if config.appearance else None
        self.motion = Motion(config)
        self.motion_norm = nn.LayerNorm(config.width)
        self.motion_head = nn.Linear(config.width, config.motions)
        self.training_only += ("motion_head.",)

    @property
    def object_classes(self) -> tuple[int, ...]:
        """Number of classes of each attribute of the objects, of motion last."""
        return (*self.config.attributes, self.config.motions)

    def encode_image(self, image: Tensor) -> FoundObjects:
        """Finds the objects in the middle frames of normalised clips (B, K, 3, H, W), with what they do.

        Raises:
            InvalidInput: for single images, or another number of frames than the network's.
        """
        if image.ndim != 5 or image.shape[1] != self.frames:
            given = "single images" if image.ndim != 5 else f"clips of {image.shape[1]}"
            raise InvalidInput(f"this network takes clips of {self.frames} frames, not {given}")
        frames = self.find_objects(image.transpose(0, 1).flatten(0, 1))
        return self.join_steps(frames.split(image.shape[0]))

    @property
    def encodes_frames(self) -> bool:
        """True: the finder reads single frames."""
        return True

    def encode_frames(self, image: Tensor) -> list[FrameObjects]:
        """Finds the objects of each of the frames (N, 3, H, W)."""
        return self.find_objects(image).split(1)

    def join_frames(self, clips: Sequence[Sequence[FrameObjects]]) -> FoundObjects:
        """Joins the objects of K frames per clip into those that `encode_image` computes for the clips."""
        return self.join_steps([FrameObjects.join(step) for step in zip(*clips, strict=True)])

    def find_objects(self, frames: Tensor) -> FrameObjects:
        """Finds the objects of frames (N, 3, H, W), each by itself; the finder learns nothing from it."""
        with torch.no_grad():
            found = self.finder(frames)
        looks = found.tokens[..., :0] if self.appearance is None else self.appearance(frames, found.centres)
        return FrameObjects(**vars(found), appearances=looks)

    def join_steps(self, steps: Sequence[FrameObjects]) -> FoundObjects:
        """Returns the objects in the middle one of K frames, each of B clips, with what they do."""
        found = steps[len(steps) // 2]
        return replace(found, tokens=self.motion_norm(found.tokens + self.motion(steps)))

    # Training ------------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the losses of the choice and of what the objects do; the finder stays as it is."""
        objects = batch.objects
        assert objects is not None
        found = self.encode_image(batch.image)
        matched = self.match(found, objects)
        losses = self.choose_from(found, matched, batch)
        image, slot = (matched >= 0).nonzero(as_tuple=True)
        told, true = self.motion_head(found.tokens[image, slot]), objects.attributes[image, matched[image, slot], -1]
        with full_precision(told):
            motion = F.cross_entropy(told.float(), true, reduction="sum") / mean_count(len(true), told)
        right = (told.argmax(-1) == true).float().mean() if len(true) else told.new_ones(())
        total = losses["loss"] + self.config.motion_weight * motion
        return {**losses, "loss": total, "motion": motion.detach(), "motions right": right}

    def find_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the finder's loss in the middle frames."""
        return super().find_loss(replace(batch, image=batch.image[:, self.annotated]))

    def views(self) -> list[View]:
        """Returns the objects' attention to words."""
        return [view for view in super().views() if view.kind == "words"]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters of the finder, of the motion, and of the chooser."""
        own = nn.ModuleList([self.motion, self.motion_norm, self.motion_head])
        if self.appearance is not None:
            own.append(self.appearance)
        return {**super().parts(), "motion": list(own.parameters())}
