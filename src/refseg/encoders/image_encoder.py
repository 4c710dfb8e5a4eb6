"""What every image encoder offers: a stem and four stages, between which a network may weave words."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class ImageEncoder(nn.Module, ABC):
    """An image as four maps, each half the size of the one before.

    Attributes:
        stem_channels: channels of what `stem` gives.
        channels: of the four stages' maps.
        strides: of the four stages' maps, in pixels of the image.
        frame_strides: of the four stages' maps of a clip, in frames.
        frames_alone: are a frame's maps the same in every clip?
    """

    stem_channels: int
    channels: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    frame_strides: tuple[int, int, int, int] = (1, 1, 1, 1)
    frames_alone: bool = True

    @abstractmethod
    def stem(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised, as the first stage takes them."""

    @property
    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """Stage i takes the map of the one before and gives (B, channels[i], H / strides[i], W / strides[i])."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """The four maps of images (B, 3, H, W), finest first."""
        maps, x = [], self.stem(image)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def of_clips(self, clips: Tensor) -> list[Tensor]:
        """The four maps (B, K, C, h, w) of clips (B, K, 3, H, W), here of each frame by itself."""
        return [x.unflatten(0, clips.shape[:2]) for x in self(clips.flatten(0, 1))]
