"""Losses of two or more networks."""

import torch.nn.functional as F
from torch import Tensor

from refseg.distributed import mean_over_processes

IGNORED = 255  # target of ignored pixels


# Weights of background and referent for drawn scenes, where a referent covers a twentieth of the image. With the
# papers' own weights, for photographs, networks predict empty masks for a long time.
SMALL_REFERENTS = (0.5, 4.0)
SMALL_THRESHOLD = 0.75  # such weights raise probabilities; on val of drawn clips IoU is best near it

# The same for networks that always cut at a half, whose masks would cover too much.
SMALL_REFERENTS_AT_HALF = (0.8, 1.6)


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: tuple[float, float] = (0.9, 1.1)) -> Tensor:
    """Computes the two-class cross-entropy of mask logits, averaged with the weight of each pixel's class.

    A softmax over background and referent depends on the difference of their logits alone, so this is the loss of a
    two-channel head (`torch.nn.functional.cross_entropy` with class weights).

    Args:
        logits: (M, 1, H, W) referent minus background.
        target: (M, H, W) 1 or True on the referent, 0 elsewhere, or the covered share of a pixel; 255 is ignored.
        weights: of background and referent.
    """
    logits = logits[:, 0].float()
    counted = target != IGNORED
    referent = (target * counted).to(logits.dtype)
    weight = (referent * (weights[1] - weights[0]) + weights[0]) * counted
    loss = F.binary_cross_entropy_with_logits(logits, referent, weight, reduction="sum")
    return loss / mean_over_processes(weight.sum())
