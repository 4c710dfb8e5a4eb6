"""The segmenter of an image where no weights are named: the bundled one for drawn scenes, a reader for photographs."""

from collections.abc import Iterable
from typing import Any

from refseg.checkpoints import bundled
from refseg.errors import RefsegError, another_out
from refseg.finders.installed import installed_finder
from refseg.finders.published import PUBLISHED_FINDERS
from refseg.inference import segmenter as segmenters
from refseg.inference.crf import DenseCRF
from refseg.inference.segmenter import Segmenter


def load_default(
    images: Iterable[Any],
    device: str = "cpu",
    crf: DenseCRF | None = None,
    before: str | None = None,
    precision: str = "f32",
) -> tuple[str, Segmenter, str]:
    """Loads what answers about images: the bundled weights, or a reader if the first image is not like drawn scenes.

    Args:
        images: anything that `read_image` reads; those that cannot be read are passed over, one is looked at.
        device: where the network runs.
        crf: refines masks.
        before: the weights that answered earlier, which are kept if they are one of the two.
        precision: of the bundled network; the reader computes in float32.

    Returns:
        the name of the weights, the segmenter, and a line for the user, "" without need: if it is the reader, or would
        be without `before`.
    """
    segmenter, finder = segmenters.load(bundled.FOR_IMAGES, device, crf, precision=precision), installed_finder()
    if finder is None:
        return bundled.FOR_IMAGES, segmenter, ""
    if before != bundled.FOR_PHOTOGRAPHS and not _shows_photograph(segmenter, images):
        return bundled.FOR_IMAGES, segmenter, ""
    if before == bundled.FOR_IMAGES:
        note = f"{before} goes on, whose answers are there; for {bundled.FOR_PHOTOGRAPHS} give {another_out()}"
        return bundled.FOR_IMAGES, segmenter, note
    known = PUBLISHED_FINDERS[finder].knows
    note = f"no drawn scene, so {bundled.FOR_PHOTOGRAPHS} answers, with the finder {finder}: {known}"
    return bundled.FOR_PHOTOGRAPHS, segmenters.load(bundled.FOR_PHOTOGRAPHS, device, crf), note


def _shows_photograph(segmenter: Segmenter, images: Iterable[Any]) -> bool:
    """Whether the first image that can be read is unlike those that the segmenter knows."""
    for image in images:
        try:
            return segmenter.knows(image) is False
        except RefsegError:  # told when it is to be answered
            continue
    return False
