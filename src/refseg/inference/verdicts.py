"""Verdicts: mask and probability of existence as one decision, in words."""

from collections.abc import Iterable
from typing import Literal

DecidedBy = Literal["mask", "existence threshold", "empty mask"]
"""What made the answer: a mask with pixels, the threshold of existence that emptied it, or a mask without a pixel."""


def decided_by(found: bool, exists: float, exists_threshold: float) -> DecidedBy:
    """Returns what made the answer.

    Args:
        found: Whether the mask has any pixel.
        exists: probability that the expression refers to anything.
        exists_threshold: probability above which there is a mask.
    """
    if found:
        return "mask"
    return "empty mask" if exists > exists_threshold else "existence threshold"


def verdict(count: int, exists: float, exists_threshold: float) -> str:
    """Returns the answer to one expression in words.

    >>> verdict(2, 0.993, 0.9), verdict(1, 0.3, 0.5)
    ('2 objects, exists 99.3%', '1 object, although exists 30.0% is below the threshold 50.0%')
    >>> verdict(0, 0.772, 0.9)
    'nothing matches: exists 77.2% is below the threshold 90.0%'
    >>> verdict(0, 0.772, 0.5)
    'no object found; the sentence alone says 77.2%'
    """
    below = f"exists {exists:.1%} is below the threshold {exists_threshold:.1%}"
    if count:
        doubt = f"exists {exists:.1%}" if exists > exists_threshold else f"although {below}"
        return f"{count} object{'s' if count > 1 else ''}, {doubt}"
    if decided_by(False, exists, exists_threshold) == "empty mask":
        return f"no object found; the sentence alone says {exists:.1%}"
    return f"nothing matches: {below}"


def frames_verdict(answers: Iterable[tuple[bool, float, float]]) -> str:
    """Returns the answers to one expression in all frames of a video in words.

    Args:
        answers: for each frame found, exists and exists_threshold, as of `decided_by`.

    >>> frames_verdict([(True, 0.99, 0.9), (True, 0.95, 0.9), (False, 0.2, 0.9)])
    'found in 2 of 3 frames, exists 20.0% to 99.0%'
    >>> frames_verdict([(False, 0.1, 0.9), (False, 0.8, 0.9)])
    'nothing matches in 2 frames: exists 10.0% to 80.0% is below the threshold 90.0%'
    >>> frames_verdict([(False, 0.1, 0.5), (False, 0.8, 0.5)])
    'no object found in 2 frames; the sentence alone says up to 80.0%'
    """
    given = list(answers)
    found, exists = sum(one[0] for one in given), [one[1] for one in given]
    if not given:
        return "no frame is answered"
    span = f"exists {min(exists):.1%} to {max(exists):.1%}"
    if found:
        return f"found in {found} of {len(given)} frames, {span}"
    if any(decided_by(*one) == "empty mask" for one in given):
        return f"no object found in {len(given)} frames; the sentence alone says up to {max(exists):.1%}"
    return f"nothing matches in {len(given)} frames: {span} is below the threshold {given[0][2]:.1%}"
