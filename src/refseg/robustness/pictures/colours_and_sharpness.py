"""Changes that leave every pixel where it is: noise, blur, JPEG, resolution, light, colours.

Read with  D. Hendrycks, T. Dietterich. "Benchmarking Neural Network Robustness to Common Corruptions and
           Perturbations". ICLR 2019: severities of noise, brightness, contrast, JPEG and pixelation, and the standard
           deviations of the blur. The arithmetic is written from the paper; greyscale and colour shift are ours.

Lengths in pixels hold for a shorter side of 224 (`change.REFERENCE`) and grow with the image, so that a network that
resizes its input sees the same change of a large picture as of a small one.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

from refseg.array_types import RgbImage
from refseg.preprocessing.images import open_image
from refseg.robustness.pictures.change import Change, scaled_length, to_bytes

Size = tuple[int, int]

JPEG_QUALITY = (25, 18, 15, 10, 7)
BLUR_SIGMA = (1.0, 2.0, 3.0, 4.0, 6.0)  # pixels
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, of colours from 0 to 1
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the largest of red, green and blue
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of the difference to the mean
RESOLUTION = (0.6, 0.5, 0.4, 0.3, 0.25)  # what is left of each side
CAST = (0.1, 0.2, 0.3, 0.4, 0.5)  # red brighter and blue darker by this share, or the other way round
COLOUR_LEFT = (0.8, 0.6, 0.4, 0.2, 0.0)  # what is left of the difference to grey


def jpeg(size_hw: Size, severity: int, seed: int) -> Change:
    """Compresses the picture; blocks have 8 pixels at any size of the image, as in files."""

    def draw(image: RgbImage) -> RgbImage:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY[severity - 1])
        with open_image(file) as compressed:
            return np.array(compressed.convert("RGB"))

    return Change(draw)


def blur(size_hw: Size, severity: int, seed: int) -> Change:
    """Blurs the picture by a Gaussian."""
    sigma = scaled_length(BLUR_SIGMA[severity - 1], size_hw)
    return Change(lambda image: np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))))


def noise(size_hw: Size, severity: int, seed: int) -> Change:
    """Adds Gaussian noise; its grains are squares of one pixel, of larger images of several."""
    grain = max(1, round(scaled_length(1.0, size_hw)))

    def draw(image: RgbImage) -> RgbImage:
        height, width = image.shape[:2]
        rng = np.random.default_rng(seed)
        grains = rng.standard_normal((-(-height // grain), -(-width // grain), 3), np.float32)
        added = grains.repeat(grain, 0).repeat(grain, 1)[:height, :width] * np.float32(NOISE[severity - 1])
        return to_bytes(image / np.float32(255) + added)

    return Change(draw)


def brightness(size_hw: Size, severity: int, seed: int) -> Change:
    """Raises the value of each pixel; hue and saturation stay."""

    def draw(image: RgbImage) -> RgbImage:
        pixels = image / np.float32(255)
        value = pixels.max(-1, keepdims=True)
        brighter = np.minimum(value + np.float32(BRIGHTNESS[severity - 1]), 1)
        return to_bytes(np.where(value > 0, pixels * (brighter / np.maximum(value, 1e-6)), brighter))

    return Change(draw)


def contrast(size_hw: Size, severity: int, seed: int) -> Change:
    """Draws the pixels towards the mean of the picture."""

    def draw(image: RgbImage) -> RgbImage:
        pixels = image / np.float32(255)
        mean = pixels.mean((0, 1), keepdims=True)
        return to_bytes((pixels - mean) * np.float32(CONTRAST[severity - 1]) + mean)

    return Change(draw)


def resolution(size_hw: Size, severity: int, seed: int) -> Change:
    """Reduces the picture and enlarges it again: larger pixels."""
    height, width = size_hw
    share = RESOLUTION[severity - 1]
    small = max(1, round(width * share)), max(1, round(height * share))

    def draw(image: RgbImage) -> RgbImage:
        reduced = Image.fromarray(image).resize(small, Image.Resampling.BOX)
        return np.array(reduced.resize((width, height), Image.Resampling.BOX))

    return Change(draw)


def colour_shift(size_hw: Size, severity: int, seed: int) -> Change:
    """Gives the picture a warm or a cold cast, as a wrong white balance does."""
    cast = CAST[severity - 1] * (1 if seed % 2 else -1)
    gains = np.array([1 + cast, 1, 1 - cast], np.float32) / np.float32(255)
    return Change(lambda image: to_bytes(image * gains))


def greyscale(size_hw: Size, severity: int, seed: int) -> Change:
    """Takes the colours out, at severity 5 all of them."""
    left = COLOUR_LEFT[severity - 1]

    def draw(image: RgbImage) -> RgbImage:
        grey = Image.fromarray(image).convert("L").convert("RGB")
        return np.array(Image.blend(grey, Image.fromarray(image), left))

    return Change(draw)
