"""Motion of Selector's objects: each is followed from the middle frame of a clip, and how it changes is described.

In the order of the data: `Appearance` (an object's pixels, at one size), `follow` (the same object in another frame),
`Motion` (places, sizes and appearances over the clip to a token).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.networks.selector.config import SelectorVideoConfig
from refseg.networks.selector.finder import FoundObjects
from refseg.networks.selector.maps import length_unit

MARGIN = 1.25  # radii from an object's centre to the border of its crop


@dataclass
class FrameObjects(FoundObjects):
    """Objects of B frames, before they are followed to others.

    Attributes:
        appearances: (B, Q, A) of each, with how it is turned.
    """

    appearances: Tensor

    def split(self, frames: int) -> list["FrameObjects"]:
        """Splits B frames into parts of this many."""
        columns = [getattr(self, field.name).split(frames) for field in fields(self)]
        return [FrameObjects(*part) for part in zip(*columns, strict=True)]

    @staticmethod
    def join(parts: Sequence["FrameObjects"]) -> "FrameObjects":
        """Joins frames of one size, each with as many slots as the fullest."""
        slots = max(part.valid.shape[1] for part in parts)
        names = [field.name for field in fields(FrameObjects)]
        return FrameObjects(
            *(torch.cat([_with_slots(name, getattr(part, name), slots) for part in parts]) for name in names)
        )


def _with_slots(name: str, values: Tensor, slots: int) -> Tensor:
    """Pads values (B, Q, ...) to this many slots; of pairs (B, Q, Q, P) both axes, of the coarse map none."""
    if name == "coarse":
        return values
    free = slots - values.shape[1]
    padding = [0, 0] * (values.ndim - 2) + [0, free]
    if name == "pairs":
        padding[-4:] = [0, free, 0, free]
    return F.pad(values, padding)


class Appearance(nn.Module):
    """Describes the pixels of each object, cut out at its centre and enlarged to one size."""

    def __init__(self, config: SelectorVideoConfig):
        super().__init__()
        self.side = config.crop
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (config.crop // 4) ** 2, config.appearance),
            nn.LayerNorm(config.appearance),
        )

    def forward(self, images: Tensor, centres: Tensor) -> Tensor:
        """Describes objects (B, Q, A) at centres (B, Q, 3), x, y and radius, of images (B, 3, H, W)."""
        count, slots = centres.shape[:2]
        x, y, radius = (value[..., None, None] for value in centres.to(images.dtype).unbind(-1))  # (B, Q, 1, 1)
        step = torch.linspace(-MARGIN, MARGIN, self.side, device=images.device, dtype=images.dtype)
        height, width = images.shape[-2:]
        columns = ((x + radius * step) * 2 + 1) / width - 1  # (B, Q, 1, S), from -1 to 1
        rows = ((y + radius * step[:, None]) * 2 + 1) / height - 1  # (B, Q, S, 1)
        grid = torch.stack(torch.broadcast_tensors(columns, rows), dim=-1).flatten(1, 2)  # (B, Q S, S, 2)
        crops = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        crops = crops.unflatten(2, (slots, self.side)).transpose(1, 2).flatten(0, 1)
        described: Tensor = self.net(crops)
        return described.unflatten(0, (count, slots))


def follow(places: Tensor, there: FoundObjects, limit: float | Tensor) -> tuple[Tensor, Tensor]:
    """Finds each object in the next frame: the nearest one there.

    Args:
        places: (B, Q, 3) x, y and radius of the objects where they were seen last.
        there: objects of the next frame.
        limit: distance in pixels above which an object is lost.

    Returns:
        the slot (B, Q) int64 of each in the next frame, and whether it was found there (B, Q).
    """
    distance = (places[:, :, None, :2] - there.centres[:, None, :, :2]).square().sum(-1).sqrt()
    nearest, slot = distance.masked_fill(~there.selectable[:, None], torch.inf).min(-1)
    return slot, nearest < limit


class Motion(nn.Module):
    """Describes what each object of the middle frame does in the clip."""

    def __init__(self, config: SelectorVideoConfig):
        super().__init__()
        self.config = config
        read = (config.frames - 1) * 4 + config.frames * config.appearance
        self.net = nn.Sequential(nn.Linear(read, config.width), nn.ReLU(), nn.Linear(config.width, config.width))

    def forward(self, frames: Sequence[FrameObjects]) -> Tensor:
        """Computes tokens (B, Q, D) of the objects in the middle one of K frames, each of B clips."""
        middle = len(frames) // 2
        read = [frames[middle].appearances]
        for way in (range(middle - 1, -1, -1), range(middle + 1, len(frames))):
            read += self.changes([frames[middle], *(frames[k] for k in way)])
        return self.net(torch.cat(read, dim=-1))

    def changes(self, frames: Sequence[FrameObjects]) -> list[Tensor]:
        """Follows the objects of the first frame through the others, and returns what changed and how they look there.

        Where one is lost, it stays where it was seen last, and looks like nothing.
        """
        config, u = self.config, length_unit(frames[0].size_hw)
        first = places = frames[0].centres
        read = []
        for frame in frames[1:]:
            slot, seen = follow(places, frame, config.follow_distance * u)
            seen = seen.unsqueeze(-1)
            places = torch.where(seen, _in_slots(frame.centres, slot), places)
            moved = (places[..., :2] - first[..., :2]) / (config.motion_scale * u)
            before, after = (circles[..., 2:].clamp(min=1).log() for circles in (first, places))  # 0 in a free slot
            grown = (after - before) / config.growth_scale
            looks = _in_slots(frame.appearances, slot) * seen
            read += [moved.to(looks.dtype), grown.to(looks.dtype), seen.to(looks.dtype), looks]
        return read


def _in_slots(values: Tensor, slot: Tensor) -> Tensor:
    """Gathers values (B, Q', C) of slots (B, Q)."""
    return values.gather(1, slot.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
