"""ImageEncoder: the interface of image encoders, a stem and four stages, between which a network may fuse words."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from refseg.errors import InvalidInput


class ImageEncoder(nn.Module, ABC):
    """Encodes an image to four maps, each half the size of the previous one.

    Attributes:
        stem_channels: channels of the stem's map.
        channels: of the four stages' maps.
        strides: of the four stages' maps, in pixels of the image.
        frame_strides: of the four stages' maps of a clip, in frames.
        frames_alone: Whether a frame's maps do not depend on the other frames of its clip.
    """

    stem_channels: int
    channels: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    frame_strides: tuple[int, int, int, int] = (1, 1, 1, 1)
    frames_alone: bool = True

    @abstractmethod
    def stem(self, image: Tensor) -> Tensor:
        """Maps normalised images (B, 3, H, W) to the input of the first stage."""

    @property
    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """The four stages; stage i maps the previous map to (B, channels[i], H / strides[i], W / strides[i])."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Returns the four maps of images (B, 3, H, W), finest first."""
        maps, x = [], self.stem(image)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def encode_clips(self, clips: Tensor) -> list[Tensor]:
        """Returns the four maps (B, K, C, h, w) of clips (B, K, 3, H, W), by default of each frame alone."""
        return [x.unflatten(0, clips.shape[:2]) for x in self(clips.flatten(0, 1))]


def check_third_map(encoder: ImageEncoder) -> None:
    """Checks that the third map has half the resolution of the second, for networks that fuse them.

    Raises:
        InvalidInput: if it has not, as where dilation takes the place of strides.
    """
    if encoder.strides[2] != 2 * encoder.strides[1]:
        given = ", ".join(f"1/{stride}" for stride in encoder.strides)
        raise InvalidInput(
            f"the maps of this image_encoder are at {given} of the image, and this network needs the third at half the "
            "resolution of the second; choose resnet101, resnet101_stride16 or swin_base"
        )
