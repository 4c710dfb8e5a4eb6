"""Protocol "mevis": J, F and J&F of expressions about clips, whose referents are merged.

Source         H. Ding et al. "MeViS: A Large-scale Benchmark for Video Segmentation with Motion Expressions". ICCV
               2023: `tools/metrics.py`, `tools/eval_mevis.py`.
Masks          label images; all labels but 0 and 255 form one mask. No void.
J, F           those of "davis", of all frames.
All            mean over the frames of an expression, then over expressions. One without a prediction counts 0.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from refseg.array_types import LabelImage
from refseg.protocols.davis import VOID, check_sizes, fits_of, region_and_contour
from refseg.protocols.video_protocol import Fit, FrameAnswers, Values, VideoProtocol, averaged
from refseg.samples import Clip


class MeViS(VideoProtocol):
    """J and F over all frames, with all referents of an expression as one mask."""

    name = "mevis"
    about = "J and F of expressions in all frames, their referents merged; both masks empty: 1"

    def score_frame(self, answers: FrameAnswers) -> dict[int, Fit]:
        """Computes the fit of each prediction."""
        return dict(enumerate(fits_of(answers.masks, answers.truths)))

    def score_clip(self, clip: Clip, frames: Sequence[Mapping[int, Fit]]) -> Sequence[Mapping[int, Fit]]:
        """Returns the fits of the frames unchanged."""
        return frames

    def score_track(self, region: Values, contour: Values) -> dict[str, float]:
        """Averages J and F over frames."""
        return {"J": float(region.mean()), "F": float(contour.mean())}


def expression(prediction: LabelImage | None, truth: LabelImage) -> tuple[Values, Values]:
    """Computes J and F (T,) of labels (T, H, W); None is an expression without a prediction.

    Raises:
        InvalidInput: if the sizes differ.
    """
    if prediction is None:
        return np.zeros(len(truth)), np.zeros(len(truth))
    check_sizes(prediction, truth)
    ours, theirs = ((labels > 0) & (labels != VOID) for labels in (prediction, truth))
    return region_and_contour(ours, theirs)


def summarize(expressions: Sequence[tuple[Values, Values]]) -> dict[str, float]:
    """Averages the results of `expression` to J, F and J&F."""
    return averaged([("", MeViS().score_track(*values)) for values in expressions])
