"""Masks of objects of which only the boxes are known, by the colours in and around the box.

Paper      C. Rother, V. Kolmogorov, A. Blake. "GrabCut: Interactive Foreground Extraction Using Iterated Graph Cuts".
           SIGGRAPH 2004.
Departs    Within the box, pixels are more likely of the object the nearer they are to its centre, where GrabCut knows
           only inside and outside; colours are counts over a palette, not Gaussian mixtures; labels are found by mean
           field, not by a cut. Nothing is random. docs/results.md compares it with OpenCV's GrabCut.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.array_types import Box, Mask, RgbImage
from refseg.errors import InvalidInput, choose_one, shown
from refseg.finders.model_maskers import MODEL_MASKERS
from refseg.finders.named_folder import split_folder

BoxMasker = Callable[[RgbImage, Box], Mask]
"""Draws the mask (H, W) of the object in a box, at the size of the image (H, W, 3)."""

LONGEST_SIDE = 96  # pixels at which colours are looked at
MARGIN = 0.15  # of the box, on each side
CENTRE_LOGIT, FALL = 2.0, 2.5  # of the prior: logit at the centre, exponent of its fall; it is 0 on the ellipse
OUTSIDE_LOGIT = -8.0
COLOURS, COLOUR_ROUNDS = 24, 6  # size of the palette, rounds of k-means
ROUNDS, FIELD_ROUNDS = 5, 6  # rounds of colour models, rounds of mean field in each
SMOOTHNESS = 1.0  # weight of neighbours
PSEUDO_COUNT = 8.0  # pixels of the whole crop's colours that each model starts with
SMALLEST_SHARE = 0.2  # of the ellipse; a smaller mask is the ellipse
SMALLEST_SIDE = 8.0  # pixels of a box; in a smaller one nothing can be told by colours
NEIGHBOURS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.7071), (1, -1, 0.7071))  # rows down, columns right, weight


class _Link(NamedTuple):
    """The pairs of neighbours in one direction: slices of the ones and the others, and the weight of each pair."""

    ones: tuple[slice, slice]
    others: tuple[slice, slice]
    weight: NDArray[np.float32]


def grabcut_mask(image: RgbImage, box_xyxy: Box) -> Mask:
    """Draws the mask of the object in a box by its colours; where they tell nothing, the ellipse.

    Raises:
        InvalidInput: if the box is empty or outside of the image.
    """
    ellipse = ellipse_mask(image, box_xyxy)
    x0, y0, x1, y1 = box_xyxy
    if min(x1 - x0, y1 - y0) < SMALLEST_SIDE:
        return ellipse
    height, width = image.shape[:2]
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    right, bottom = min(width, int(np.ceil(x1 + across))), min(height, int(np.ceil(y1 + down)))
    scale = min(1.0, LONGEST_SIDE / max(right - left, bottom - top))
    size_wh = max(2, round((right - left) * scale)), max(2, round((bottom - top) * scale))
    crop = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    pixels = np.asarray(crop.resize(size_wh, Image.Resampling.BILINEAR), np.float32)  # (h, w, 3)

    columns = left + (np.arange(size_wh[0]) + 0.5) * (right - left) / size_wh[0]
    rows = top + (np.arange(size_wh[1]) + 0.5) * (bottom - top) / size_wh[1]
    logits = _segment(pixels, _prior(rows, columns, box_xyxy))

    mask = np.zeros((height, width), np.bool_)
    enlarged = Image.fromarray(logits).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    mask[top:bottom, left:right] = np.asarray(enlarged) > 0
    mask &= box_mask(image, box_xyxy)
    return mask if np.count_nonzero(mask) >= SMALLEST_SHARE * np.count_nonzero(ellipse) else ellipse


def ellipse_mask(image: RgbImage, box_xyxy: Box) -> Mask:
    """Draws the ellipse in a box; errors as of `grabcut_mask`."""
    check_box(image, box_xyxy)
    (height, width), (x0, y0, x1, y1) = image.shape[:2], box_xyxy
    rows, columns = (
        np.arange(max(0, int(start)), min(side, int(np.ceil(end))))
        for start, end, side in ((y0, y1, height), (x0, x1, width))
    )
    inside = _radius(rows + 0.5, columns + 0.5, box_xyxy) <= 1
    if not inside.any():
        return box_mask(image, box_xyxy)
    mask = np.zeros((height, width), np.bool_)
    mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = inside
    return mask


def box_mask(image: RgbImage, box_xyxy: Box) -> Mask:
    """Draws the box itself, a pixel at least; errors as of `grabcut_mask`."""
    check_box(image, box_xyxy)
    (height, width), (x0, y0, x1, y1) = image.shape[:2], box_xyxy
    left, top = (min(max(round(start), 0), side - 1) for start, side in ((x0, width), (y0, height)))
    mask = np.zeros((height, width), np.bool_)
    mask[top : max(round(y1), top + 1), left : max(round(x1), left + 1)] = True
    return mask


MASKERS: dict[str, BoxMasker] = {"grabcut": grabcut_mask, "ellipse": ellipse_mask, "box": box_mask}


class ImageMasker(ABC):
    """A masker that encodes an image once for all of its boxes; it is a `BoxMasker`, too."""

    @property
    @abstractmethod
    def networks(self) -> Sequence[Any]:
        """Its networks, for moving them to another device."""

    @abstractmethod
    def for_image(self, image: RgbImage) -> Callable[[Box], Mask]:
        """Returns the masker of one image, which is encoded when a mask is first drawn."""

    def __call__(self, image: RgbImage, box_xyxy: Box) -> Mask:
        """Draws the mask (H, W) of the object in a box."""
        return self.for_image(image)(box_xyxy)


def mask_drawer(masker: BoxMasker, image: RgbImage) -> Callable[[Box], Mask]:
    """Returns a masker of the boxes of one image."""
    return masker.for_image(image) if isinstance(masker, ImageMasker) else partial(masker, image)


def find_masker(name: str) -> BoxMasker:
    """Returns the masker of this name; of an open model with an own folder, if wanted ("sam2=FOLDER").

    Raises:
        InvalidInput: if there is none.
        MissingFile: if it is an open model that is not on this machine.
    """
    model, folder = split_folder(name)
    if model in MODEL_MASKERS:
        load = import_module("refseg.adapters.model_masker").ModelMasker.load
        found: BoxMasker = load(model, folder)
        return found
    if name not in MASKERS:
        raise InvalidInput(f"unknown masker {shown(name)}; {choose_one(name, [*MASKERS, *MODEL_MASKERS])}")
    return MASKERS[name]


def check_box(image: RgbImage, box_xyxy: Box) -> None:
    """Raises InvalidInput if a box is empty or outside of the image."""
    (height, width), (x0, y0, x1, y1) = image.shape[:2], box_xyxy
    if not (max(x0, 0) < min(x1, width) and max(y0, 0) < min(y1, height)):  # NaN too
        sides = ", ".join(f"{side:g}" for side in box_xyxy)
        raise InvalidInput(f"the box ({sides}) is empty or outside of the image of {width} x {height} pixels")


def _radius(rows: NDArray[np.floating], columns: NDArray[np.floating], box_xyxy: Box) -> NDArray[np.float64]:
    """Returns the distance of each pixel (h, w) from the centre of a box; it is 1 on the ellipse in the box."""
    x0, y0, x1, y1 = box_xyxy
    return np.hypot((2 * columns - x0 - x1) / (x1 - x0), ((2 * rows - y0 - y1) / (y1 - y0))[:, None])


def _prior(rows: NDArray[np.floating], columns: NDArray[np.floating], box_xyxy: Box) -> NDArray[np.float32]:
    """Returns the logit of each pixel (h, w) before its colour is known."""
    x0, y0, x1, y1 = box_xyxy
    inside = ((rows >= y0) & (rows <= y1))[:, None] & (columns >= x0) & (columns <= x1)
    within = CENTRE_LOGIT * (1 - _radius(rows, columns, box_xyxy) ** FALL)
    return np.where(inside, within, OUTSIDE_LOGIT).astype(np.float32)


def _segment(pixels: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Computes logits (h, w) from the colours of pixels (h, w, 3), starting from prior logits."""
    colours, links = _nearest_colours(pixels.reshape(-1, 3)), _links(pixels)
    outside = prior == OUTSIDE_LOGIT
    everywhere = np.bincount(colours, minlength=COLOURS) / len(colours)
    logits = prior
    for _ in range(ROUNDS):
        share = (1 / (1 + np.exp(-logits))).ravel()
        inner, outer = (
            np.bincount(colours, of, COLOURS) + PSEUDO_COUNT * everywhere + 1e-9 for of in (share, 1 - share)
        )
        evidence = np.log(inner / inner.sum()) - np.log(outer / outer.sum())
        unary = prior + evidence.astype(np.float32)[colours].reshape(prior.shape)
        for _ in range(FIELD_ROUNDS):
            belief = np.tanh(logits / 2)
            logits = unary.copy()
            for ones, others, weight in links:
                logits[ones] += weight * belief[others]
                logits[others] += weight * belief[ones]
            logits[outside] = OUTSIDE_LOGIT
    return logits


def _nearest_colours(pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns for each pixel (N, 3) its colour in a palette by k-means, which starts from quantiles of red."""
    quantiles = ((np.arange(COLOURS) + 0.5) * len(pixels) / COLOURS).astype(np.int64)
    palette = pixels[np.argsort(pixels[:, 0], kind="stable")[quantiles]]
    for _ in range(COLOUR_ROUNDS):
        nearest = _nearest(pixels, palette)
        counts = np.bincount(nearest, minlength=COLOURS)
        sums = np.stack([np.bincount(nearest, pixels[:, channel], COLOURS) for channel in range(3)], 1)
        means = sums / np.maximum(counts, 1)[:, None]
        palette = np.where(counts[:, None] > 0, means, palette).astype(np.float32)
    return _nearest(pixels, palette)


def _nearest(pixels: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = (pixels @ (2 * palette.T) - (palette**2).sum(1)).argmax(1)
    return nearest


def _links(pixels: NDArray[np.float32]) -> list[_Link]:
    """Returns the links of neighbours, weaker where their colours differ, as GrabCut's Eq. (11)."""
    height, width = pixels.shape[:2]
    pairs = []
    for down, right, weight in NEIGHBOURS:
        start, end = max(0, -right), width - max(0, right)
        ones = slice(0, height - down), slice(start, end)
        others = slice(down, height), slice(start + right, end + right)
        pairs.append((ones, others, weight, ((pixels[ones] - pixels[others]) ** 2).sum(-1)))
    mean = np.concatenate([difference.ravel() for *_, difference in pairs]).mean()
    return [
        _Link(ones, others, np.float32(SMOOTHNESS * weight) * np.exp(-difference / (2 * mean + 1e-6)))
        for ones, others, weight, difference in pairs
    ]
