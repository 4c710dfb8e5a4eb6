"""Images and frames of clips as a network takes them, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refseg.checkpoints import bundled
from refseg.errors import InvalidInput
from refseg.networks.network import Network
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.transform import ClipSampling, Preprocessing
from refseg.samples import AnnotatedObjects


@dataclass
class NetworkInput:
    """An image or frame as the network takes it, (3, h, w).

    Attributes:
        features: of a frame, once they are encoded.
        annotated: all objects of the image, for networks that need them (`Network.needs_annotations`).
    """

    pixels: Tensor
    geometry: Geometry
    features: Any = None
    annotated: AnnotatedObjects | None = None


def sampling_of(network: Network, preprocessing: Preprocessing) -> ClipSampling:
    """Returns which frames make the clips of a network.

    Raises:
        InvalidInput: if they are not as many as it takes.
    """
    sampling = preprocessing.clip
    if not network.accepts_offsets(sampling.offsets):
        raise InvalidInput(
            f"these weights take clips of {network.frames} frames and answer number {network.annotated}, but the "
            f"offsets of preprocessing.clip in their config.json are {list(sampling.offsets)}; mend those"
        )
    return sampling


@torch.inference_mode()
def encode(network: Network, clips: Sequence[Sequence[NetworkInput]]) -> Any:
    """Computes `Network.encode_image` of clips of K frames, or of images (K is 1).

    Where the network encodes frames one by one, a frame that many clips have is encoded once.

    Raises:
        InvalidInput: for images, if the network takes clips.
    """
    device, images = next(network.parameters()).device, len(clips[0]) == 1
    if images and network.frames > 1:
        raise InvalidInput(
            f"these weights take clips of {network.frames} frames, not single images; give a video, or weights for "
            f"images, such as {bundled.FOR_IMAGES}"
        )
    annotated = [clip[0].annotated for clip in clips if clip[0].annotated is not None]
    if len(annotated) == len(clips):
        return network.encode_annotated(torch.stack([clip[0].pixels for clip in clips]).to(device), annotated)
    if images or not network.encodes_frames:
        batch = torch.stack([torch.stack([frame.pixels for frame in clip]) for clip in clips]).to(device)
        return network.encode_image(batch[:, 0] if images else batch)
    frames = {id(frame): frame for clip in clips for frame in clip}
    new = [frame for frame in frames.values() if frame.features is None]
    if new:
        batch = torch.stack([frame.pixels for frame in new]).to(device)
        for frame, features in zip(new, network.encode_frames(batch), strict=True):
            frame.features = features
    return network.join_frames([[frame.features for frame in clip] for clip in clips])
