"""Stored scenes of several tiers as one store, one of each tier in turn."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.drawn_scenes.stored_scenes import StoredScenes

OF_EXPRESSIONS = ("referents", "steps", "types", "kinds")
MAPPED = ("images", "id_maps")


class InTurn:
    """Mapped arrays of equal length as one: row i is row i // K of array i % K; nothing is copied before it is read."""

    def __init__(self, arrays: Sequence[NDArray[Any]]):
        self.arrays = arrays
        self.dtype, self.shape = arrays[0].dtype, (len(arrays) * len(arrays[0]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Reads rows (R,) in their order."""
        read = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for k, array in enumerate(self.arrays):
            mine = rows % len(self.arrays) == k
            read[mine] = array[rows[mine] // len(self.arrays)]
        return read


def mix_tiers(stores: Sequence[StoredScenes]) -> StoredScenes:
    """Returns stores of equally many scenes as one: scene i is scene i // K of store i % K."""
    if len(stores) == 1:
        return stores[0]
    mixed: dict[str, Any] = {name: InTurn([getattr(store, name) for store in stores]) for name in MAPPED}
    for name in ("centres", "radii", "attributes", "counts"):
        arrays = np.stack([getattr(store, name) for store in stores], axis=1)
        mixed[name] = arrays.reshape(-1, *arrays.shape[2:])
    sentences = np.stack([np.diff(store.first) for store in stores], axis=1).ravel()
    before = np.cumsum([0, *(len(store.texts) for store in stores[:-1])])  # sentences of the stores before
    begins = np.stack([store.first[:-1] + add for store, add in zip(stores, before, strict=True)], axis=1).ravel()
    first = np.concatenate([[0], np.cumsum(sentences)])
    order = np.arange(first[-1]) + np.repeat(begins - first[:-1], sentences)
    for name in OF_EXPRESSIONS:
        mixed[name] = np.concatenate([getattr(store, name) for store in stores])[order]
    texts = [text for store in stores for text in store.texts]
    mixed |= {"first": first, "texts": [texts[number] for number in order]}
    assert mixed.keys() == {field.name for field in fields(StoredScenes)}
    return StoredScenes(**mixed)
