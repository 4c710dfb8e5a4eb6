"""Selector's finder: image to objects, without words.

In the order of the data: `ObjectFinder.maps` (pyramid, centres), `select_candidates` (cells, best first), `describe`
(masks by dynamic kernels, tokens), `Pairs` (geometry and attributes of one object relative to another).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm
from refseg.blocks.resize import upsample
from refseg.encoders.small import small_stages
from refseg.errors import InvalidInput
from refseg.networks.selector.config import SelectorConfig
from refseg.networks.selector.maps import cell_places, gather_cells, length_unit, pixels


@dataclass
class Maps:
    """Dense maps of B images, before objects are selected.

    Attributes:
        coarse: (B, C, H/8, W/8) features of object centres.
        fine: (B, C, H/4, W/4) appearance, pooled over each object's mask.
        pixels: (B, C, h/2, w/2) features of the masks (h, w), before the pixel shuffle.
        centre: (B, 4, H/8, W/8) float32: score logit, offset x and y, size.
    """

    coarse: Tensor
    fine: Tensor
    pixels: Tensor
    centre: Tensor

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the images."""
        return 8 * self.coarse.shape[-2], 8 * self.coarse.shape[-1]


@dataclass
class Candidates:
    """Cells of the 1/8 map that may hold an object; masks as in `FoundObjects`."""

    cells: Tensor
    valid: Tensor
    selectable: Tensor


@dataclass
class FoundObjects:
    """Objects of B images in Q slots each, the chooser's only input from an image.

    Attributes:
        tokens: (B, Q, D) description of each object.
        valid: (B, Q) bool, True on objects that can be attended to, False on padding.
        selectable: (B, Q) bool, True on objects that can be chosen: as `valid`, but False for the best candidate of an
            image without objects.
        pairs: (B, Q, Q, P) float32; entry (q, k) describes k relative to q.
        masks: (B, Q, h, w) float32 logits at 1 / mask_stride; objects may overlap here.
        centres: (B, Q, 3) float32 x, y and radius in pixels.
        scores: (B, Q) float32 logit of there being an object.
        cells: (B, Q) int64 index into the 1/8 map.
        coarse: (B, C, H/8, W/8) the coarse map.
    """

    tokens: Tensor
    valid: Tensor
    selectable: Tensor
    pairs: Tensor
    masks: Tensor
    centres: Tensor
    scores: Tensor
    cells: Tensor
    coarse: Tensor

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the images."""
        return 8 * self.coarse.shape[-2], 8 * self.coarse.shape[-1]


class ObjectFinder(nn.Module):
    """Finder of objects in images, without words."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config
        half, quarter, eighth, sixteenth = config.stages
        coarse, fine, width = config.coarse, config.fine, config.width
        self.stages = small_stages(config.stages)
        self.coarse = nn.ModuleDict({"16": nn.Conv2d(sixteenth, coarse, 1), "8": nn.Conv2d(eighth, coarse, 1)})
        self.coarse_smooth = conv_norm(coarse, coarse)
        self.down = nn.Conv2d(coarse, fine, 1)
        self.fine = nn.ModuleDict({"4": nn.Conv2d(quarter, fine, 1), "2": nn.Conv2d(4 * half, fine, 1)})
        self.fine_smooth = conv_norm(fine, fine)
        self.pixels = {1: HalfPixels, 2: QuarterPixels}[config.mask_stride](half, fine)
        self.embed = nn.Conv2d({1: half, 2: fine}[config.mask_stride], 4 * config.kernel, 1)
        self.centre = nn.Conv2d(coarse, 4, 1)
        with torch.no_grad():
            assert self.centre.bias is not None
            self.centre.bias[0] = -3.0  # almost every cell is empty

        self.kernel = nn.Linear(coarse, config.kernel + 2)
        self.appearance = nn.Linear(coarse, width)
        self.inside = nn.Linear(fine, width)
        self.geometry = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, width))
        self.norm = nn.LayerNorm(width)
        self.attributes = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, sum(config.attributes)))
            if config.attributes
            else None
        )
        self.pairs = Pairs(config)

    def forward(self, image: Tensor) -> FoundObjects:
        """Finds the objects of normalised images (B, 3, H, W); H and W are multiples of 16."""
        maps = self.maps(image)
        return self.describe(maps, self.select_candidates(maps))

    def maps(self, image: Tensor) -> Maps:
        """Computes encoder, pyramid and dense outputs.

        Raises:
            InvalidInput: if height or width is not a multiple of 16.
        """
        height, width = image.shape[-2:]
        if height % 16 or width % 16:
            raise InvalidInput(f"the image has {height} x {width} pixels; pad both sides to a multiple of 16")
        half = self.stages[0](image)
        quarter = self.stages[1](half)
        eighth = self.stages[2](quarter)
        sixteenth = self.stages[3](eighth)
        coarse = self.coarse_smooth(self.coarse["8"](eighth) + upsample(self.coarse["16"](sixteenth)))
        fine = self.fine["4"](quarter) + self.fine["2"](F.pixel_unshuffle(half, 2)) + upsample(self.down(coarse))
        fine = self.fine_smooth(fine)
        with full_precision(coarse):
            centre = self.centre(coarse.float())
        return Maps(coarse, fine, self.pixels(half, fine), centre)

    @torch.no_grad()
    def select_candidates(self, maps: Maps) -> Candidates:
        """Selects cells, best first; of nearby cells that point to the same object only the best is kept."""
        scores = maps.centre[:, 0].flatten(1)
        scores, cells = scores.topk(min(self.config.candidates, scores.shape[1]))
        centres = self.centres(maps, cells)[..., :2]
        distance = (centres[:, :, None] - centres[:, None]).square().sum(-1).sqrt()
        duplicate = distance < self.config.duplicate_distance * length_unit(maps.size_hw)
        keep: list[Tensor] = []  # greedy: only kept cells suppress others
        for q, good in enumerate((scores > logit(self.config.score_threshold)).unbind(1)):
            suppressed = (duplicate[:, q, :q] & torch.stack(keep, 1)).any(1) if keep else torch.zeros_like(good)
            keep.append(good & ~suppressed)
        selectable = torch.stack(keep, 1)
        best = torch.arange(selectable.shape[1], device=cells.device) == 0
        valid = selectable | best  # at least one object to attend to
        if torch.compiler.is_compiling():  # a fixed number of slots
            return Candidates(cells, valid, selectable)
        first = (~valid).int().argsort(dim=1, stable=True)[:, : int(valid.sum(1).max())]
        return Candidates(cells.gather(1, first), valid.gather(1, first), selectable.gather(1, first))

    def describe(self, maps: Maps, candidates: Candidates) -> FoundObjects:
        """Computes masks, tokens and pairs of the objects in the candidate cells."""
        config, u = self.config, length_unit(maps.size_hw)
        at_cell = gather_cells(maps.coarse, candidates.cells)  # (B, Q, C)
        scores = gather_cells(maps.centre[:, :1], candidates.cells).squeeze(-1)
        centres = self.centres(maps, candidates.cells).detach()
        masks = self.masks(maps, at_cell, centres)

        with full_precision(masks):
            soft = F.avg_pool2d(masks.detach().sigmoid(), 4 // config.mask_stride)  # (B, Q, H/4, W/4)
            area = soft.sum((-2, -1)).unsqueeze(-1)  # (B, Q, 1), in cells at 1/4
            inside = soft.flatten(2) @ maps.fine.flatten(2).mT.float() / (area + 1)  # (B, Q, C)
            height, width = maps.size_hw
            x, y, radius = centres.split(1, dim=-1)
            geometry = torch.cat(
                [
                    (x - width / 2) / (config.geometry_scale * u),
                    (y - height / 2) / (config.geometry_scale * u),
                    (radius - 64 * u) / (config.geometry_scale * u),
                    area.sqrt() / (config.area_scale * u),
                    16 * area / radius.square(),
                    scores.detach().sigmoid().unsqueeze(-1),
                ],
                dim=-1,
            )
        tokens = self.norm(self.appearance(at_cell) + self.inside(inside) + self.geometry(geometry))
        pairs = self.pairs(soft, centres, u, self.attributes, tokens)
        return FoundObjects(
            tokens,
            candidates.valid,
            candidates.selectable,
            pairs,
            masks,
            centres,
            scores,
            candidates.cells,
            maps.coarse,
        )

    def centres(self, maps: Maps, cells: Tensor) -> Tensor:
        """Decodes x, y and radius (B, Q, 3) in pixels in cells (B, Q)."""
        rows, columns = maps.centre.shape[-2:]
        row, column = cell_places(rows, columns, cells)
        offset = gather_cells(maps.centre[:, 1:], cells)
        x = 8 * (column[cells] + offset[..., 0]) + 3.5
        y = 8 * (row[cells] + offset[..., 1]) + 3.5
        size = offset[..., 2].clamp(-self.config.size_range, self.config.size_range)
        return torch.stack([x, y, self.config.reference_radius * length_unit(maps.size_hw) * size.exp()], dim=-1)

    def masks(self, maps: Maps, at_cell: Tensor, centres: Tensor) -> Tensor:
        """Computes mask logits (B, Q, h, w): each object's kernel on the embedding, in a window around its centre.

        The embedding E = pixel_shuffle(embed(pixels)) is not built: the kernels are projected through `embed` instead,
        with the same result at a lower cost for the few objects of an image.
        """
        kernel, bias, narrow = self.kernel(at_cell).split([self.config.kernel, 1, 1], dim=-1)
        kernel = kernel * (2 / math.sqrt(self.config.kernel))
        shuffled = self.embed.weight.flatten(1).unflatten(0, (self.config.kernel, -1))  # (kernel, 4, C)
        through = (kernel @ shuffled.flatten(1)).unflatten(-1, shuffled.shape[1:]).flatten(1, 2)  # (B, 4 Q, C)
        assert self.embed.bias is not None
        offset = kernel @ self.embed.bias.unflatten(0, (self.config.kernel, -1))  # (B, Q, 4)
        match = (through @ maps.pixels.flatten(2)).unflatten(-1, maps.pixels.shape[-2:])
        match = F.pixel_shuffle(match + offset.flatten(1)[..., None, None], 2)  # (B, Q, h, w)
        with full_precision(match):
            x, y, radius = centres.split(1, dim=-1)
            slope = 2.5 * F.softplus(narrow.float()) / radius.square()  # (B, Q, 1)
            rows, columns = (pixels(count, self.config.mask_stride, match) for count in match.shape[-2:])
            row = bias.float() + 2 - slope * (rows - y).square()  # (B, Q, h)
            column = -slope * (columns - x).square()  # (B, Q, w)
            return match + (row.unsqueeze(-1) + column.unsqueeze(-2))


class QuarterPixels(nn.Module):
    """Pixel features of masks at 1/2: the fine map itself."""

    def __init__(self, half: int, fine: int):
        super().__init__()

    def forward(self, half: Tensor, fine: Tensor) -> Tensor:
        """Returns features (B, C, H/4, W/4) of the maps at 1/2 and 1/4."""
        return fine


class HalfPixels(nn.Module):
    """Pixel features of masks at 1/1: first stage and fine map, fused at 1/2."""

    def __init__(self, half: int, fine: int):
        super().__init__()
        self.detail, self.context = nn.Conv2d(half, half, 1), nn.Conv2d(fine, half, 1)
        self.smooth = conv_norm(half, half)

    def forward(self, half: Tensor, fine: Tensor) -> Tensor:
        """Computes features (B, C, H/2, W/2) of the maps at 1/2 and 1/4."""
        return self.smooth(self.detail(half) + upsample(self.context(fine)))


class Pairs(nn.Module):
    """Features of object pairs: direction, distance, size, contact, cover both ways, and agreement of attributes."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config

    @torch.no_grad()
    def forward(
        self, soft: Tensor, centres: Tensor, u: float | Tensor, attributes: nn.Module | None, tokens: Tensor
    ) -> Tensor:
        """Computes pair features (B, Q, Q, P) float32 without gradient.

        Args:
            soft: (B, Q, H/4, W/4) mask probabilities.
            centres: (B, Q, 3) x, y, radius in pixels.
            u: the length unit in pixels.
            attributes: head that predicts attribute logits from tokens.
            tokens: (B, Q, D).
        """
        config = self.config
        with full_precision(soft):
            x, y, radius = centres.unbind(-1)  # (B, Q)
            scale = config.geometry_scale * u
            dx, dy = ((v[:, None] - v[:, :, None]) / scale for v in (x, y))
            size = (radius[:, None] / radius[:, :, None]).log()

            around = F.max_pool2d(soft, 3, stride=1, padding=1)
            rows, columns = (pixels(n, 4, soft) for n in soft.shape[-2:])
            distance = (
                (columns - x[..., None]).square()[:, :, None] + (rows - y[..., None]).square()[..., None]
            ).sqrt()
            disc = ((radius[..., None, None] - distance) / (config.disc_softness * u)).sigmoid()
            both = torch.cat([around, disc], dim=1).flatten(2) @ soft.flatten(2).mT / (config.contact_scale * u * u)
            touch, cover = both.chunk(2, dim=1)  # (B, Q, Q) each

            distance = (dx.square() + dy.square() + 1e-6).sqrt()
            geometry = torch.stack([dx, dy, distance, size, touch, touch.mT, cover, cover.mT], dim=-1)
            geometry = geometry.clamp(-config.pair_range, config.pair_range)
        if not (config.agreement and attributes is not None):
            return geometry
        groups = attributes(tokens).float().split(config.attributes, dim=-1)
        agree = [2 * (p @ p.mT) - 1 for p in (group.softmax(-1) for group in groups)]
        return torch.cat([geometry, torch.stack(agree, dim=-1)], dim=-1)


def pair_features(config: SelectorConfig) -> int:
    """Returns the number of features of a pair of objects."""
    return 8 + (len(config.attributes) if config.agreement else 0)


def logit(probability: float) -> float:
    """Returns the logit of a probability."""
    return math.log(probability / (1 - probability))
