"""One image: answers to its expressions, under several protocols at once, to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refseg.datasets.drawn_scenes.dataset import SIZES, Scene
from refseg.datasets.drawn_scenes.objects import SIZE
from refseg.evaluation.error_types import kind_of_mask
from refseg.evaluation.rows import ImageAnswers, Row, Score, scores_of
from refseg.lazy import LazyModule
from refseg.masks.rle import encode_rle
from refseg.protocols.protocol import Protocol
from refseg.protocols.standard import Standard
from refseg.protocols.video_protocol import Scoring
from refseg.samples import Expression, Sample
from refseg.text.expression_types import main_type

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

EXPRESSIONS_AT_ONCE = 2  # expressions whose masks are in memory together: those of few fit into the cache
STANDARD = Standard()
SHARES = {"under 1 %": 0.01, "1 to 5 %": 0.05, "5 to 20 %": 0.2, "over 20 %": 1.0}
"""Sizes of referents where the data set has no words for them: up to which share of the image."""

Predict = Callable[[Protocol, slice], "Tensor"]


def with_standard(protocols: Iterable[Scoring]) -> list[Any]:
    """These protocols and, if it is not among them, `standard`: kinds of error and curves are read from its masks."""
    protocols = list(protocols)
    return protocols if any(p.name == STANDARD.name for p in protocols) else [*protocols, STANDARD]


def score_image(
    index: int,
    sample: Sample,
    predict: Predict,
    predicts_none: Tensor,
    exists: Sequence[float | None],
    seconds: float,
    protocols: Sequence[Protocol],
    keep_masks: bool = False,
    unfamiliar: bool | None = None,
) -> ImageAnswers:
    """The rows of one image with M expressions.

    Args:
        index: of the image in the data set.
        sample: the image.
        predict: the masks of some of its expressions, as a protocol compares them.
        predicts_none: (M,) bool, True where the answer is that it refers to nothing.
        exists: M probabilities that it refers to something.
        seconds: that each answer took.
        protocols: `standard` among them.
        keep_masks: keep the answers as run-length codes.
        unfamiliar: as in `ImageAnswers`.
    """
    rows: list[Row] = []
    masks: list[dict[str, Any]] = []
    with torch.inference_mode():
        has_target = torch.tensor([bool(expression.targets) for expression in sample.expressions])
        for start in range(0, len(sample.expressions), EXPRESSIONS_AT_ONCE):
            where = slice(start, min(start + EXPRESSIONS_AT_ONCE, len(sample.expressions)))
            truths: dict[Any, Tensor] = {}
            scores: dict[str, list[Score]] = {}
            answers, answered, own = torch.empty(0), torch.empty(0), torch.empty(0)
            for protocol in protocols:
                truth = getattr(protocol.truth, "__func__", protocol.truth)  # protocols that share it share its result
                if truth not in truths:
                    known = [protocol.truth(sample, i) for i in range(where.start, where.stop)]
                    truths[truth] = torch.from_numpy(np.stack(known))
                predicted = predict(protocol, where)
                if protocol.name == STANDARD.name:
                    answered = predicted
                if protocol.leaves_out_ignored:
                    predicted = _without_ignored(predicted, sample, where)
                counts = protocol.count(predicted, truths[truth], has_target[where], predicts_none[where])
                scores[protocol.name] = list(scores_of(counts, protocol.ious(counts)))
                if protocol.name == STANDARD.name:
                    answers, own = predicted, truths[truth]
            for m in range(where.stop - where.start):
                i, answer, truth_mask = where.start + m, answers[m].numpy(), own[m].numpy()
                score, true = scores[STANDARD.name][m], int(np.count_nonzero(truth_mask))
                error = kind_of_mask(sample, i, answer, truth_mask, score.intersection, score.union, true)
                each = {name: of_all[m] for name, of_all in scores.items()}
                rows.append(row(sample, i, true, exists[i], seconds, error, each))
                if keep_masks:
                    masks.append({"id": rows[-1].id, "exists": exists[i], **encode_rle(answered[m].numpy())})
    return ImageAnswers(index, rows, unfamiliar, masks=masks)


def _without_ignored(masks: Tensor, sample: Sample, where: slice) -> Tensor:
    """Empties the masks of some expressions where the sample is not scored."""
    ignored = {k: sample.ignored(i) for k, i in enumerate(range(where.start, where.stop))}
    if all(mask is None for mask in ignored.values()):
        return masks
    masks = masks.clone()
    for k, mask in ignored.items():
        if mask is not None:
            masks[k] &= ~torch.from_numpy(mask).to(masks.device)
    return masks


def row(
    sample: Sample,
    i: int,
    true: int,
    exists: float | None,
    seconds: float,
    error: str,
    scores: dict[str, Score],
    cause: str = "",
    perfect: tuple[int, int] | None = None,
) -> Row:
    """The row of expression i of a sample, whose truth has `true` pixels."""
    expression = sample.expressions[i]
    return Row(
        id=sample.expression_id(i),
        image_id=sample.image_id,
        expression=expression.text,
        type=expression.type or main_type(expression.text),
        kind=expression.kind,
        part=sample.part,
        size=_size(sample, expression, true),
        referents=len(expression.targets),
        exists=exists,
        seconds=seconds,
        error=error,
        scores=scores,
        cause=cause,
        perfect=perfect,
        area=true,
    )


def _size(sample: Sample, expression: Expression, true: int) -> str:
    if not expression.targets:
        return ""
    if isinstance(sample, Scene):
        sizes = {SIZES[sample.attributes[number - 1, SIZE]] for number in expression.targets}
        return sizes.pop() if len(sizes) == 1 else "mixed"
    height, width = sample.size_hw
    return next(name for name, most in SHARES.items() if true <= most * height * width)
