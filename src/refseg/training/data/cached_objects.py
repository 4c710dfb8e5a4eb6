"""Selector's objects, computed once."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from refseg.batch import FoundBatch
from refseg.training.data.scene_batches import SceneBatches


@dataclass(frozen=True)
class FoundScenes:
    """What the image side gave for the first N scenes, in half precision: `FoundBatch` says what each is."""

    found_tokens: NDArray[np.float16]
    valid: NDArray[np.bool_]
    pairs: NDArray[np.float16]
    matched: NDArray[np.int8]


class FoundBatches(SceneBatches):
    """As `SceneBatches`, with the objects that were found once instead of the images."""

    def __init__(self, found: FoundScenes, *arguments: object, **keywords: object):
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
        self.found = found

    def _batch(  # type: ignore[override]
        self, chosen: NDArray[np.int64], flip: NDArray[np.bool_], dice: list[np.random.Generator]
    ) -> FoundBatch:
        found, most = self.found, int(self.scenes.counts[chosen].max())
        slots = int(found.valid[chosen].sum(1).max())  # valid ones come first
        expressions = self._expressions(chosen, flip, dice, most)
        return FoundBatch(
            torch.from_numpy(found.found_tokens[chosen, :slots]).float(),
            torch.from_numpy(found.valid[chosen, :slots]),
            torch.from_numpy(found.pairs[chosen, :slots, :slots]).float(),
            torch.from_numpy(found.matched[chosen, :slots].astype(np.int64)),
            **{name: expressions[name] for name in ("tokens", "word_mask", "image_of_expression", "targets")},
        )
