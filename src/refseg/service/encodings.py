"""Encodings: images with their features, kept for when they are asked about again."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

from refseg.inference.segmenter import EncodedImage, EncodedImages
from refseg.service.held_memory import held_bytes

Key = tuple[str, str]
"""Name of weights, sha256 of an image file."""


class Encodings:
    """Encoded images by weights and content, the latest ones that fit into a bounded memory.

    Images that were encoded together share their features, so they are kept and dropped together.
    """

    def __init__(self, max_bytes: float):
        self.max_bytes = max_bytes
        self._images: dict[Key, EncodedImage] = {}
        self._groups: OrderedDict[int, tuple[list[Key], int]] = OrderedDict()  # by id of what was encoded together
        self._not_counted: dict[str, set[int]] = {}
        self._lock = Lock()

    def add_weights(self, weights: str, parts: Iterable[object]) -> None:
        """Notes the parts of a network, which its features may refer to and do not hold."""
        seen: set[int] = set()
        for part in parts:
            held_bytes(part, seen)
        self._not_counted[weights] = seen

    def get(self, weights: str, digest: str) -> EncodedImage | None:
        """Returns the encoded image, None if it is not there."""
        with self._lock:
            found = self._images.get((weights, digest))
            if found is not None:
                self._groups.move_to_end(id(found.together))
            return found

    def put(self, weights: str, digests: Sequence[str], images: Sequence[EncodedImage]) -> None:
        """Keeps images, or measures again what they hold: some networks add to their features as they answer."""
        groups: dict[int, tuple[EncodedImages, dict[Key, None]]] = {}
        with self._lock:
            for digest, image in zip(digests, images, strict=True):
                if self._images.setdefault((weights, digest), image).together is image.together:
                    groups.setdefault(id(image.together), (image.together, {}))[1][weights, digest] = None
            for place, (together, new) in groups.items():
                keys = list(dict.fromkeys([*self._groups.pop(place, ([], 0))[0], *new]))
                self._groups[place] = keys, held_bytes(together, set(self._not_counted.get(weights, ())))
            while self._groups and self.size > self.max_bytes:
                _, (keys, _) = self._groups.popitem(last=False)
                for key in keys:
                    del self._images[key]

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(size for _, size in self._groups.values())

    def __len__(self) -> int:
        return len(self._images)
