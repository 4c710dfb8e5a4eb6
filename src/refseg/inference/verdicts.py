"""Verdicts: mask and probability of existence as one decision, in words."""

from typing import Literal

from refseg.counting import counted
from refseg.masks.pictures import UNFAMILIAR

DecidedBy = Literal["mask", "existence threshold", "empty mask", "unknown thing"]
"""What made the answer: a mask with pixels, the threshold of existence that emptied it, a mask without a pixel, or that
the expression names a thing which the finder does not know, or none at all."""


def decided_by(found: bool, exists: float, exists_threshold: float, reason: str = "") -> DecidedBy:
    """Returns what made the answer.

    Args:
        found: Whether the mask has any pixel.
        exists: probability that the expression refers to anything.
        exists_threshold: probability above which there is a mask.
        reason: why nothing was looked for, if nothing was (`Reading.reason`).
    """
    if found:
        return "mask"
    if reason:
        return "unknown thing"
    return "empty mask" if exists > exists_threshold else "existence threshold"


def verdict(count: int, exists: float, exists_threshold: float, reason: str = "", familiar: bool = True) -> str:
    """Returns the answer to one expression in words; of an unfamiliar image, that it is no answer.

    >>> verdict(2, 0.993, 0.9), verdict(1, 0.3, 0.5)
    ('2 objects, exists 99.3%', '1 object, although exists 30.0% is below the threshold 50.0%')
    >>> verdict(0, 0.772, 0.9)
    'nothing matches: exists 77.2% is below the threshold 90.0%'
    >>> verdict(0, 0.772, 0.5)
    'nothing matches: no object was chosen, although exists 77.2%'
    >>> verdict(0, 0.0, 0.5, "'window' is not a thing that this finder knows")
    "'window' is not a thing that this finder knows, so nothing was looked for"
    >>> verdict(1, 0.9, 0.5, familiar=False)
    'no answer: unfamiliar to these weights (1 object, exists 90.0%)'
    """
    if not familiar:
        return f"{UNFAMILIAR} ({verdict(count, exists, exists_threshold, reason)})"
    below = f"exists {exists:.1%} is below the threshold {exists_threshold:.1%}"
    if count:
        doubt = f"exists {exists:.1%}" if exists > exists_threshold else f"although {below}"
        return f"{counted(count, 'object')}, {doubt}"
    if reason:
        return f"{reason}, so nothing was looked for"
    if decided_by(False, exists, exists_threshold) == "empty mask":
        return f"nothing matches: no object was chosen, although exists {exists:.1%}"
    return f"nothing matches: {below}"


class FramesVerdict:
    """The answers to one expression in the frames of a video, as one verdict in words; `str` gives it.

    >>> verdict = FramesVerdict()
    >>> for found, exists in ((True, 0.99), (False, 0.2)):
    ...     verdict.add(found, exists, 0.9)
    >>> print(verdict)
    found in 1 of 2 frames, exists 20.0% to 99.0%
    >>> verdict.add(True, 0.95, 0.9, familiar=False)
    >>> print(verdict)
    found in 2 of 3 frames, exists 20.0% to 99.0%; 1 of 3 frames is unlike what these weights know
    """

    def __init__(self) -> None:
        self.frames = self.found = self.empty_masks = self.unfamiliar = 0
        self.reason = ""
        self.least, self.most, self.threshold = 1.0, 0.0, 0.5

    def add(self, found: bool, exists: float, exists_threshold: float, reason: str = "", familiar: bool = True) -> None:
        """Adds a frame; the arguments are those of `verdict`, `found` in the place of the number of objects."""
        self.frames, self.found, self.unfamiliar = self.frames + 1, self.found + found, self.unfamiliar + (not familiar)
        self.empty_masks += decided_by(found, exists, exists_threshold) == "empty mask"
        self.least, self.most = min(self.least, exists), max(self.most, exists)
        self.threshold, self.reason = exists_threshold, reason

    @property
    def is_answer(self) -> bool:
        """Whether it was found in any frame, and not all frames are unfamiliar."""
        return self.found > 0 and self.unfamiliar < self.frames

    def __str__(self) -> str:
        answer = self._answer()
        if not self.unfamiliar:
            return answer
        if self.unfamiliar == self.frames:
            return f"{UNFAMILIAR} ({answer})"
        are = "is" if self.unfamiliar == 1 else "are"
        return f"{answer}; {counted(self.unfamiliar, 'frame', self.frames)} {are} unlike what these weights know"

    def _answer(self) -> str:
        span = f"exists {self.least:.1%} to {self.most:.1%}"
        if self.found:
            return f"found in {self.found} of {self.frames} frames, {span}"
        if self.reason:
            return verdict(0, 0.0, self.threshold, self.reason)
        why = f"{span} is below the threshold {self.threshold:.1%}"
        if self.empty_masks:
            why = f"no object was chosen, although exists reaches {self.most:.1%}"
        return f"nothing matches in {self.frames} frames: {why}"
