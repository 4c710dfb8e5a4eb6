"""Metrics in words, for whoever reads tables of them."""

from collections.abc import Iterable

MEANINGS = {
    "oIoU": "all intersections over all unions, so large referents weigh more; expressions with a referent",
    "mIoU": "mean IoU of the expressions with a referent",
    "Prec@X": "share of the expressions with a referent whose IoU is X or more, in tables P@X (P@.5: 0.5)",
    "Acc": "share of the expressions without a referent that are answered with nothing, by protocol dmmi",
    "gIoU": "mean IoU of all expressions; of one without a referent 1 if the answer is empty, else 0",
    "cIoU": "all intersections over all unions, of all expressions",
    "N-acc": "share of the expressions without a referent that are answered with nothing; always answering so wins it",
    "T-acc": "share of the expressions with a referent that are answered with a mask, right or wrong",
    "J": "IoU of the masks of frames, averaged over objects",
    "F": "agreement of the outlines of masks in frames, averaged over objects",
    "J&F": "mean of J and F",
    "mAP": "average precision over thresholds of IoU; which ones, and what is ranked, the protocol says",
}
"""By metric, what it is; protocols differ in details, which docs/protocols.md tells."""


def meanings(metrics: Iterable[str]) -> list[str]:
    """Returns a line for each of these metrics that has a meaning here, each once.

    >>> meanings(["mIoU", "Prec@0.5", "Prec@0.9"])[1]
    'Prec@X: share of the expressions with a referent whose IoU is X or more, in tables P@X (P@.5: 0.5)'
    """
    names = dict.fromkeys("Prec@X" if name.startswith("Prec@") else name for name in metrics)
    return [f"{name}: {MEANINGS[name]}" for name in names if name in MEANINGS]
