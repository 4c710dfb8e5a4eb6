"""A data set by name in one call."""

from collections.abc import Sequence
from typing import Any

from refseg.datasets import build
from refseg.samples import Clip, Sample


def load_dataset(name: str, *, split: str, **settings: Any) -> Sequence[Sample] | Sequence[Clip]:
    """Opens a split of a data set, of images or of videos.

    Args:
        name: name of the data set.
        split: name of the split; "all" takes everything.
        settings: other settings of the data set: root, split_by, count, ...

    Raises:
        MissingFile: if files of the data set are missing.
        InvalidInput: for an unknown name, a wrong setting, or damaged files.

    Examples:
        >>> from refseg.datasets.load import load_dataset
        >>> scenes = load_dataset("drawn_scenes", split="val", count=2)
        >>> len(scenes), scenes[0].image_id
        (2, 'val-base-0')
    """
    dataset: Sequence[Sample] | Sequence[Clip] = build(name, split=split, **settings)
    return dataset
