"""The annotated frame of a video that a row of an evaluation is about."""

from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.evaluation.rows import Row
from refseg.samples import Clip


def find_frame(clip: Clip, row: Row) -> AnnotatedFrame | None:
    """Returns the frame with the row's expression alone; None if it is not annotated in this clip."""
    frames = {clip.frame_name(t): t for t in range(len(clip))}
    numbers = {clip.expression_id(number): number for number in range(len(clip.expressions))}
    t, number = frames.get(row.frame), numbers.get(row.id)
    if t is None or number is None or t not in clip.annotated_frames(number):
        return None
    return AnnotatedFrame(clip, t, [number])
