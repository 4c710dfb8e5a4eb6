"""CachedSearch: the things of given names in one image; each name is looked for once."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch

from refseg.finders.finder import Detection


class CachedSearch(ABC):
    """A `Search` in one image, which keeps what was found by each name."""

    def __init__(self) -> None:
        self._found: dict[str, list[Detection]] = {}

    @abstractmethod
    def find_new(self, names: Sequence[str]) -> Iterable[list[Detection]]:
        """Finds the things of each of these names, which were not looked for yet."""

    @torch.inference_mode()
    def __call__(self, names: Sequence[str]) -> list[Detection]:
        """Finds the things of these names, the highest score first."""
        names = list(dict.fromkeys(names))
        new = [name for name in names if name not in self._found]
        if new:
            self._found |= zip(new, self.find_new(new), strict=True)
        together = [detection for name in names for detection in self._found[name]]
        return sorted(together, key=lambda detection: -detection.score)
