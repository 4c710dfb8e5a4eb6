"""Rows to metrics, for protocols of answers, of ranked answers and of whole videos."""

from collections.abc import Iterable, Sequence

import numpy as np

from refseg.evaluation.rows import Row, counts_of
from refseg.protocols.a2d import A2D, Candidate, Judged, ranked
from refseg.protocols.refsegformer import RefCounts, RefSegformer, by_ref, ref_of
from refseg.protocols.video_protocol import Scoring, Track, VideoProtocol

SURE = 1.0  # the score of an answer whose unknown probability of existence


def summarize(rows: Sequence[Row], protocol: Scoring) -> dict[str, float]:
    """Computes a protocol's metrics of those rows that it counts."""
    if isinstance(protocol, VideoProtocol):
        return protocol.summarize(list(tracks_of(rows, protocol.name).values()))
    if isinstance(protocol, A2D):
        return ranked([_judged(row) for row in rows if protocol.name in row.scores])
    if isinstance(protocol, RefSegformer):
        return refs_of(rows, protocol.name).summarize()
    return protocol.summarize(counts_of(rows, protocol.name))


def refs_of(rows: Iterable[Row], protocol: str) -> RefCounts:
    """Adds up the counts of the expressions of each ref."""
    rows = [row for row in rows if protocol in row.scores]
    return by_ref(counts_of(rows, protocol), [ref_of(row.id) for row in rows])


def tracks_of(rows: Iterable[Row], protocol: str) -> dict[tuple[str, str], Track]:
    """J and F of each expression through its video, by the video's and the expression's id."""
    through: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if protocol in row.scores:
            through.setdefault((row.image_id, row.id), []).append(row)
    return {
        ids: Track(
            of_frames[0].annotator,
            np.array([row.scores[protocol].iou for row in of_frames], np.float64),
            np.array([row.scores[protocol].contour for row in of_frames], np.float64),
            np.array([row.area > 0 for row in of_frames], np.bool_),
            np.array([row.scores[protocol].has_prediction for row in of_frames], np.bool_),
        )
        for ids, of_frames in through.items()
    }


def _judged(row: Row) -> Judged:
    score = row.scores[A2D.name]
    sure = SURE if row.exists is None else row.exists
    area = score.intersection + score.union - row.area
    return Judged(row.key, row.area, [Candidate(sure, score.intersection, score.union, area)])
