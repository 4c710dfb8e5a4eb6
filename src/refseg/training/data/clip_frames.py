"""What each training step sees of a data set of videos: which clips, which of their frames, which frames around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.batch import Objects
from refseg.counting import counted
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.transform import Preprocessing
from refseg.samples import Clip, Sample
from refseg.text.vocabulary import split_words


def with_words(sample: Sample | Clip) -> NDArray[np.int64]:
    """Places of the expressions of an image or a clip that have a word."""
    return np.array([i for i, expression in enumerate(sample.expressions) if split_words(expression.text)], np.int64)


def described(ids: list[str]) -> str:
    """How many expressions these are, and the first of them; "" if there are none."""
    first = ", ".join(ids[:3])
    return f"{counted(len(ids), 'expression')} ({first}{', ...' if len(ids) > 3 else ''})" if ids else ""


class ClipItems:
    """What an epoch goes through: `items[i]` is a clip's number and the numbers of those of its expressions asked.

    Expressions without a word are left out: `left_out` says which, "" if there are none.
    """

    def __init__(self, clips: Any, kind: str, check_words: bool = True):
        """Groups expressions; a referent is the expressions of a clip that have the same targets.

        Args:
            clips: the data set.
            kind: as `recipe.FileData.item`.
            check_words: whether expressions may have no word, so that all of them have to be read.
        """
        self.left_out = ""
        self.clips, self._items = clips, None
        if kind != "image" or check_words:
            self._items, wordless = _groups(clips, kind)
            self.left_out = described(wordless)

    def __len__(self) -> int:
        return len(self.clips) if self._items is None else len(self._items)

    def __getitem__(self, number: int) -> tuple[int, NDArray[np.int64]]:
        if self._items is None:
            return number, np.arange(len(self.clips[number].expressions))
        return self._items[number]


def _groups(clips: Any, kind: str) -> tuple[list[tuple[int, NDArray[np.int64]]], list[str]]:
    """Expressions that are asked together, and ids of those without a word."""
    groups: dict[tuple[int, Any], list[int]] = {}
    wordless = []
    for number, clip in enumerate(clips):
        for index, expression in enumerate(clip.expressions):
            if not split_words(expression.text):
                wordless.append(expression.id)
                continue
            key = {"image": None, "expression": index}.get(kind, expression.targets)
            groups.setdefault((number, key), []).append(index)
    return [(number, np.array(members)) for (number, _), members in groups.items()], wordless


def one_frame(
    clip: Clip, asked: NDArray[np.int64], rng: np.random.Generator, most: int | None = None
) -> AnnotatedFrame:
    """A frame with the truth of the first of the expressions that has any, and those that have it there, too.

    Of these at most so many: the masks of others are not drawn.

    Raises:
        InvalidInput: if there is no such frame.
    """
    frames = [clip.annotated_frames(index) for index in asked]
    annotated = next(filter(None, frames), None)
    if annotated is None:
        texts = ", ".join(repr(clip.expressions[index].text) for index in asked)
        raise InvalidInput(f"clip {clip.clip_id} has no annotated frame for {texts}; train on a split that has masks")
    t = annotated[int(rng.integers(len(annotated)))]
    there = [int(index) for index, known in zip(asked, frames, strict=True) if t in known]
    return AnnotatedFrame(clip, t, there[:most])


def objects_of(samples: list[Sample], flips: list[bool]) -> Objects | None:
    """Returns the objects of images or frames, at their own size, mirrored where `flips` says so; None if unknown."""
    known = [sample.known_objects(mirrored) for sample, mirrored in zip(samples, flips, strict=True)]
    objects = [one for one in known if one is not None]
    if len(objects) < len(samples):
        return None
    attributes, circles = (
        torch.nn.utils.rnn.pad_sequence([torch.from_numpy(values) for values in column], batch_first=True)
        for column in ([one.attributes for one in objects], [one.circles for one in objects])
    )
    counts = torch.tensor([len(one.attributes) for one in objects])
    return Objects(
        id_map=torch.from_numpy(np.stack([one.id_map for one in objects])).long(),
        centres=circles[..., :2],
        radii=circles[..., 2],
        attributes=attributes,
        present=torch.arange(attributes.shape[1]) < counts[:, None],
    )


def targets_of(meant: Sequence[Sequence[int]], objects: Objects | None) -> Tensor:
    """Returns which objects each of M expressions refers to, (M, N) bool; (M, 1) where objects are not known.

    Args:
        meant: numbers of each expression's objects, from 1, () without referent.
        objects: of all images.
    """
    if objects is None:
        return torch.tensor([[bool(numbers)] for numbers in meant], dtype=torch.bool).view(-1, 1)
    targets = torch.zeros(len(meant), objects.present.shape[1], dtype=torch.bool)
    for row, numbers in zip(targets, meant, strict=True):
        row[[number - 1 for number in numbers]] = True
    return targets


def seen(sample: Sample, preprocessing: Preprocessing) -> tuple[Tensor, Geometry]:
    """What a network sees of an image, (3, h, w), or of a clip around one of its frames, (K, 3, h, w)."""
    offsets = preprocessing.clip.offsets
    if not isinstance(sample, AnnotatedFrame) or len(offsets) == 1:
        return preprocessing(sample.image)
    numbers = preprocessing.clip.around(sample.t, len(sample.clip))
    frames = {t: preprocessing(sample.clip.frame(t)) for t in dict.fromkeys(numbers)}
    return torch.stack([frames[t][0] for t in numbers]), frames[sample.t][1]
