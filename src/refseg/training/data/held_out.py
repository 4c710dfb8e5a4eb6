"""Validation images that are held out of the training images, where a data set has no split for them."""

from typing import Any, Self

import numpy as np

from refseg import datasets
from refseg.counting import counted
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.errors import InvalidInput
from refseg.recipes.recipe import FileData

EVERYTHING = "all"


class HeldOut:
    """A share of a data set's images, drawn with a seed; whole images, so that none is learnt from.

    Args:
        data: the data, whose split `train` has the images.
        seed: of the draw.

    Attributes:
        count: images that are held out.
        total: images there were.

    Raises:
        InvalidInput: if there are fewer than two images, or the data set is none of images in files.
    """

    def __init__(self, data: FileData, seed: int):
        self.data, self.seed = data, seed
        samples = self._open(data.settings.get("count"))
        self.total = len(samples)
        if self.total < 2:
            raise InvalidInput(f"{data.dataset} has one image, which cannot be learnt from and validated on; add some")
        self.count = min(max(1, round(data.held_out * self.total)), self.total - 1)
        drawn = np.random.default_rng((seed, self.total)).permutation(self.total)[: self.count]
        numbers, starts = samples.by_image
        self._image_of = samples.index["expression_image"][numbers[starts[:-1]]]
        self._drawn = np.sort(drawn)

    @classmethod
    def of(cls, data: FileData, seed: int) -> Self | None:
        """Returns the images to hold out; None if the data set has the validation split that the recipe names.

        A data set without the training split either is taken as a whole.
        """
        if not issubclass(datasets.class_of(data.dataset), IndexedDataset):
            raise InvalidInput(f"data.held_out is for data sets of images in files, not {data.dataset}; set it to 0")
        everything: IndexedDataset = datasets.build(data.dataset, split=EVERYTHING, **data.settings)
        if len(everything.expressions_of(data.validation)):
            return None
        split = data.train if len(everything.expressions_of(data.train)) else EVERYTHING
        return cls(data.replace(train=split), seed)

    def images(self, held_out: bool, count: int | None = None) -> Any:
        """Returns the data set with these images alone, or all others; the first `count` of them."""
        samples = self._open(self.data.settings.get("count"))
        numbers = self._drawn if held_out else np.setdiff1d(np.arange(self.total), self._drawn)
        kept = np.zeros(len(samples.index["image_hw"]), np.bool_)
        kept[self._image_of[numbers[: count if held_out else None]]] = True
        samples.keep(kept)
        return samples

    def describe(self) -> str:
        """Returns the line that tells what is held out."""
        data = self.data
        return (
            f"{data.dataset} has no split {data.validation!r}: {counted(self.count, 'image', self.total)} of split "
            f"{data.train!r}, drawn with seed {self.seed}, are held out to validate on"
        )

    def _open(self, count: int | None) -> Any:
        return datasets.build(self.data.dataset, split=self.data.train, **{**self.data.settings, "count": count})
