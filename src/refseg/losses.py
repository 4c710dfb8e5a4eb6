"""Losses that two or more networks use."""

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

IGNORED = 255  # target of a pixel that does not count


# Weights of background and referent for drawn scenes, where a referent covers a twentieth of the image. With the
# papers' own, for photographs, a network says "nothing" everywhere for a long time.
SMALL_REFERENTS = (0.5, 4.0)
SMALL_THRESHOLD = 0.75  # such weights make probabilities too large; on val of drawn clips IoU is best near it


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: tuple[float, float] = (0.9, 1.1)) -> Tensor:
    """Two-class cross-entropy of mask logits, averaged with the weight of each pixel's class.

    A softmax over background and referent depends on the difference of their logits alone, so this is the loss of a
    two-channel head (`torch.nn.functional.cross_entropy` with class weights).

    Args:
        logits: (M, 1, H, W) referent minus background.
        target: (M, H, W) 1 or True on the referent, 0 elsewhere, or how much of a pixel it covers; 255 does not count.
        weights: of background and referent.
    """
    logits = logits[:, 0].float()
    counted = target != IGNORED
    referent = (target * counted).to(logits.dtype)
    weight = (referent * (weights[1] - weights[0]) + weights[0]) * counted
    loss = F.binary_cross_entropy_with_logits(logits, referent, weight, reduction="sum")
    return loss / mean_over_processes(weight.sum())


def mean(values: Tensor) -> Tensor:
    """The mean of values, one an expression, of all processes: their losses together are what one would compute."""
    return values.sum() / mean_over_processes(torch.tensor(float(values.numel()), device=values.device))


def divisor(count: Tensor | int, like: Tensor) -> Tensor:
    """What a sum over so many things of this process is divided by: the mean of the counts of all processes.

    Their losses together are then what one would compute. It is one thing in all where there is none.
    """
    processes = distributed.get_world_size() if together() else 1
    amount = torch.as_tensor(count, dtype=torch.float32, device=like.device)
    return mean_over_processes(amount).clamp(min=1 / processes)


def mean_over_processes(amount: Tensor) -> Tensor:
    """The mean of a number of each process of a training, so that a ratio to it is what one process would compute."""
    if not together():
        return amount
    amount = amount.detach().clone()
    distributed.all_reduce(amount)
    return amount / distributed.get_world_size()


def from_all_processes(rows: Tensor) -> tuple[Tensor, int]:
    """The rows (M, C) of all processes, one below another, and the number of this one's first; gradients go back."""
    if not together():
        return rows, 0
    from torch.distributed.nn.functional import all_reduce

    counts = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    counts[distributed.get_rank()] = len(rows)
    distributed.all_reduce(counts)
    start, count = int(counts[: distributed.get_rank()].sum()), int(counts.sum())
    return all_reduce(F.pad(rows, (0, 0, start, count - start - len(rows)))), start


def together() -> bool:
    """Are there several processes, or one that could have company?"""
    return distributed.is_available() and distributed.is_initialized()
