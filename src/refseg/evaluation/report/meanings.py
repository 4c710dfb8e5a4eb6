"""Metrics in words, for whoever reads tables of them."""

from collections.abc import Iterable

MEANINGS = {
    "oIoU": "all intersections over all unions, so large referents weigh more; expressions as of mIoU",
    "mIoU": "mean IoU of the expressions with a referent; of all of them by protocols cmirnet, cmpc, cris, lavt, vlt",
    "Prec@X": "share of those expressions with an IoU of X or more, above X by a2d and cris; in tables P@X (P@.5: 0.5)",
    "Acc": "share of the expressions without a referent that are answered with nothing, by protocol dmmi",
    "gIoU": "mean IoU of all expressions; of one without a referent 1 if the answer is empty, else 0",
    "cIoU": "all intersections over all unions, of all expressions",
    "N-acc": "share of the expressions without a referent that are answered with nothing; always answering so wins it",
    "T-acc": "share of the expressions with a referent that are answered with a mask, right or wrong",
    "mRR": "share of a referent's sentences about absent things that are answered with nothing, averaged",
    "rIoU": "IoU of a referent with what is answered to sentences about absent things in the union, averaged",
    "See": "share of all expressions of which the answer says rightly whether there is a referent",
    "Acc@X": "share of the expressions whose box has an IoU above X",
    "mAcc": "mean of Acc@X over X from 0.5 to 0.95",
    "J": "IoU of the masks of frames, averaged over objects",
    "F": "agreement of the outlines of masks in frames, averaged over objects",
    "J&F": "mean of J and F",
    "tIoU": "frames in which both masks have a pixel over frames in which either has, averaged over expressions",
    "vIoU": "J added up over the former frames, over the number of the latter, averaged over expressions",
    "mAP": "average precision over thresholds of IoU; which ones, and what is ranked, the protocol says",
}
"""By metric, what it is; protocols differ in details, which docs/protocols.md tells."""


def meanings(metrics: Iterable[str]) -> list[str]:
    """Returns a line for each of these metrics that has a meaning here, each once.

    >>> meanings(["mIoU", "Prec@0.5", "Prec@0.9"])[1]
    'Prec@X: share of those expressions with an IoU of X or more, above X by a2d and cris; in tables P@X (P@.5: 0.5)'
    """
    names = dict.fromkeys(f"{name.partition('@')[0]}@X" if "@" in name else name for name in metrics)
    return [f"{name}: {MEANINGS[name]}" for name in names if name in MEANINGS]
