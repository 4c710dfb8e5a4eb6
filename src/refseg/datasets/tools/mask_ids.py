"""Ids of a data set's masks: the names under which `refseg score` finds what another program wrote."""

from collections.abc import Iterable, Iterator

from refseg.datasets.storage.annotated_frames import iter_annotated_frames
from refseg.samples import Clip, Sample


def mask_id(clip: Clip, number: int, t: int) -> str:
    """Returns the id of the mask of expression `number` in frame t."""
    return f"{clip.expression_id(number)}/{clip.frame_name(t)}"


def mask_ids(samples: Iterable[Sample | Clip]) -> Iterator[dict[str, str]]:
    """Yields id, image and expression of each mask; of videos those of the frames that are scored.

    Where no truth is published, these are all frames.
    """
    for sample in samples:
        if isinstance(sample, Clip):
            frames = [(frame.t, tuple(frame.asked)) for frame in iter_annotated_frames(sample)]
            everything = tuple(range(len(sample.expressions)))
            for t, asked in frames or [(t, everything) for t in range(len(sample))]:
                for number in asked:
                    text = sample.expressions[number].text
                    image = f"{sample.clip_id}/{sample.frame_name(t)}"
                    yield {"id": mask_id(sample, number, t), "image": image, "expression": text}
        else:
            for number, expression in enumerate(sample.expressions):
                id = sample.expression_id(number)
                yield {"id": id, "image": sample.image_id, "expression": expression.text}
