"""Changed pictures: kinds of change with five severities each, whose masks, objects and words change along.

Read with  colours_and_sharpness.py (pixels stay), places.py (pixels move or are hidden), kept_sentences.py (which
           sentences still mean the same), changed_sample.py (the sample).
"""

from collections.abc import Callable
from dataclasses import dataclass

from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.errors import InvalidInput, choose_one
from refseg.robustness import PROTOCOL
from refseg.robustness.pictures import colours_and_sharpness as colours
from refseg.robustness.pictures import places
from refseg.robustness.pictures.change import Change
from refseg.robustness.pictures.changed_sample import ChangedSample
from refseg.robustness.pictures.kept_sentences import kept_sentences
from refseg.samples import Sample

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class PictureKind:
    """A kind of change of pictures.

    Attributes:
        about: what it does, in one line.
        plan: returns the change of pictures of a size (height, width), by severity and a seed.
        severities: that it has.
    """

    about: str
    plan: Callable[[tuple[int, int], int, int], Change]
    severities: tuple[int, ...] = SEVERITIES


PICTURE_KINDS: dict[str, PictureKind] = {
    "jpeg": PictureKind("JPEG of quality 25 to 7", colours.jpeg),
    "blur": PictureKind("Gaussian blur, sigma of 1 to 6 pixels where the shorter side has 224", colours.blur),
    "noise": PictureKind("Gaussian noise, standard deviation 8 to 38 % of the range", colours.noise),
    "brightness": PictureKind("brighter by 10 to 50 % of the range", colours.brightness),
    "contrast": PictureKind("40 to 5 % of the contrast left", colours.contrast),
    "resolution": PictureKind("60 to 25 % of the pixels of each side left", colours.resolution),
    "crop": PictureKind("4 to 20 % cut off at each side", places.crop),
    "padding": PictureKind("grey of 10 to 50 % of the size added at each side", places.padding),
    "mirror": PictureKind("mirrored, left and right swapped in the sentences", places.mirror, (1,)),
    "rotation": PictureKind("turned by 3 to 20 degrees", places.rotation),
    "occlusion": PictureKind("5 to 30 % covered by grey squares", places.occlusion),
    "colour_shift": PictureKind("a warm or cold cast of 10 to 50 %", colours.colour_shift),
    "greyscale": PictureKind("80 to 0 % of the colour left", colours.greyscale),
}
"""Kinds of changed pictures by name."""


def change_picture(sample: Sample, kind: str, severity: int) -> ChangedSample:
    """Changes the picture of a sample, a function of protocol, image id, kind and severity alone.

    Args:
        sample: an image with its expressions.
        kind: of PICTURE_KINDS.
        severity: of the kind's severities, 1 the mildest.

    Raises:
        InvalidInput: for an unknown kind, or a severity that it does not have.
    """
    if kind not in PICTURE_KINDS:
        raise InvalidInput(f"unknown kind of picture {kind!r}; {choose_one(kind, PICTURE_KINDS)}")
    severities = PICTURE_KINDS[kind].severities
    if severity not in severities:
        choice = choose_one(severity, map(str, severities))
        raise InvalidInput(f"severity {severity} of {kind} is not allowed; {choice}")
    seed = SeededRandom(PROTOCOL, sample.image_id, kind, severity).below(2**32)
    change = PICTURE_KINDS[kind].plan(sample.size_hw, severity, seed)
    return ChangedSample(sample, change, kept_sentences(sample, change), f"{kind}/{severity}")
