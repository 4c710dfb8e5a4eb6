"""The contract of data sets: abilities and facts, with defaults."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar


class Dataset:
    """A split of a data set: a sequence of `samples.Sample` or `samples.Clip`.

    Attributes:
        of_clips: whether it holds videos, `samples.Clip`, instead of images, `samples.Sample`.
        split: name of the split; "all" where it was not said.
        split_by: whose division into splits it is; "" where there is only one.
        seed: of drawn data; None for files.
        version: of the generator of drawn data, of which there is any amount; None for files.
        kinds: kinds of expressions, by which validation reports; () reports by none.
        all_have_words: whether each expression is known to have a word, so that none need be read to check it.
        familiar_images: images that a network knows which learnt from this data, for warnings and cards; "" derives
            it from the data set's name.
        object_classes: by attribute of the objects that `known_objects` tells, its number of classes; {} where it tells
            none.
        licence: of weights that are trained on it.
        uncheckable: why `refseg data check` cannot check it; "" where it can.
    """

    of_clips: ClassVar[bool] = False
    split: str = "all"
    split_by: str = ""
    seed: int | None = None
    version: ClassVar[int | None] = None
    kinds: tuple[str, ...] = ()
    all_have_words: bool = False
    familiar_images: ClassVar[str] = ""
    object_classes: ClassVar[Mapping[str, int]] = {}
    licence: ClassVar[str] = "yours to state; the data's own terms hold as well"
    uncheckable: ClassVar[str] = ""

    def sources(self) -> list[Path]:
        """Returns the files of annotations; of drawn data none."""
        return []

    @property
    def selection(self) -> str:
        """Which of its files was read, where there is a choice, and how many expressions that leaves out; else ""."""
        return ""

    @property
    def indexed_parts(self) -> Sequence[Any]:
        """The `IndexedDataset`s of which this is the concatenation; () where there are none."""
        return ()

    @classmethod
    def texts_with_all_words(cls) -> Iterable[str] | None:
        """Returns expressions that hold every word of the data set; None where its words are not limited."""
        return None
