"""Protocol "mevis": J, F and J&F of expressions about clips, whose referents are merged.

Source         H. Ding et al. "MeViS: A Large-scale Benchmark for Video Segmentation with Motion Expressions". ICCV
               2023: `tools/metrics.py`, `tools/eval_mevis.py`.
Masks          label images; every label but 0 and 255 is of the one mask. No void.
J, F           those of "davis", of all frames.
All            mean over the frames of an expression, then over expressions. One without an answer counts 0.
"""

from collections.abc import Sequence

import numpy as np

from refseg.protocols.davis import VOID, Labels, Values, check_sizes, region_and_contour, with_mean


def expression(prediction: Labels | None, truth: Labels) -> tuple[Values, Values]:
    """J and F (T,) of labels (T, H, W); None is an expression without an answer.

    Raises:
        InvalidInput: if the sizes differ.
    """
    if prediction is None:
        return np.zeros(len(truth)), np.zeros(len(truth))
    check_sizes(prediction, truth)
    ours, theirs = ((labels > 0) & (labels != VOID) for labels in (prediction, truth))
    return region_and_contour(ours, theirs)


def summarize(expressions: Sequence[tuple[Values, Values]]) -> dict[str, float]:
    """J, F and J&F of what `expression` gave for each."""
    if not expressions:
        return {}
    j, f = (float(np.mean([values[measure].mean() for values in expressions])) for measure in (0, 1))
    return with_mean({"J": j, "F": f})
