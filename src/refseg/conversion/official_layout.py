"""OfficialLayout: the names and shapes of tensors in an authors' release, and what goes with its weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from refseg.conversion import CONVERSIONS
from refseg.conversion.official_file import OfficialCheckpoint, read_checkpoint, write_checkpoint
from refseg.errors import InvalidInput, choose_one
from refseg.networks.network import Network
from refseg.preprocessing.transform import ClipSampling, Preprocessing, photographs
from refseg.text.tokenizer import Tokenizer

NetworkT = TypeVar("NetworkT", bound=Network)


@dataclass(frozen=True)
class TensorSlice:
    """A part of an official tensor, or a transposed one, that is one tensor of ours.

    Attributes:
        name: the official key; each of its parts is the `TensorSlice` of another key of ours.
        part: index of the part along axis 0; all parts have the same size.
        of: number of parts.
        transposed: Whether the two axes of the official tensor, or of all of its parts, are swapped.
    """

    name: str
    part: int = 0
    of: int = 1
    transposed: bool = False


class OfficialLayout(ABC, Generic[NetworkT]):
    """Names and shapes of the tensors in an authors' release; the defaults are those of LAVT and its descendants.

    Keys of `shapes`, `official_names`, `aliases` and `unused` are those within the entry that holds the network.

    Attributes:
        networks: names in `NETWORKS` that the release covers.
        entry: entry of the file that holds the network.
        bert_prefixes: prefixes, with the entry in front, of the keys of BERT's tensors; the first is the one that is
            written. Empty if `official_names` covers the word encoder.
        has_pooler: Whether the authors' scripts load a BERT with its pooler.
        wrapped: Whether the authors' scripts expect "module." before every key.
        clips: by preset, the `ClipSampling` of networks that take clips.
        image_size: side of the images, where the file does not say it.
        image_note: the preprocessing in words, for the model card, with {side}.
    """

    networks: ClassVar[tuple[str, ...]]
    entry: ClassVar[str] = "model"
    bert_prefixes: ClassVar[tuple[str, ...]] = ("bert_model.",)
    has_pooler: ClassVar[bool] = False
    wrapped: ClassVar[bool] = False
    clips: ClassVar[Mapping[str, ClipSampling]] = {}
    image_size: ClassVar[int] = 480
    image_note: ClassVar[str] = "stretched to {side} x {side}, ImageNet mean and standard deviation"

    @abstractmethod
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Returns the preset that a release belongs to.

        Args:
            shapes: shape of each tensor of the network's entry.

        Raises:
            InvalidInput: if no preset has these shapes.
        """

    @abstractmethod
    def official_names(self, network: NetworkT) -> Mapping[str, str | tuple[str, ...] | TensorSlice]:
        """Maps our keys to official ones.

        Several official keys are stacked along axis 0 to ours; with no official key, ours is 0. Keys of a BERT are
        left out where `bert_prefixes` says where they are.

        Raises:
            InvalidInput: if the authors' code has no such layer.
        """

    def official_shapes(self, network: NetworkT) -> dict[str, tuple[int, ...]]:
        """Maps our keys to the shape of each of their official tensors, where it differs by axes of length 1."""
        return {}

    def aliases(self, network: NetworkT) -> dict[str, str]:
        """Maps official keys to the official key that holds the same tensor."""
        return {}

    def unused(self, network: NetworkT) -> dict[str, Tensor]:
        """Maps official keys that have no effect to the values that are written for them."""
        return {}

    def settings(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Returns fields of the network's config that only the training script's arguments tell."""
        return {}

    def read(self, path: Path) -> OfficialCheckpoint:
        """Reads an authors' file; code in it is never run.

        Raises:
            MissingFile: if there is no such file.
            InvalidInput: if it is damaged, or holds something else than tensors and plain settings.
        """
        return read_checkpoint(path, self.entry, self.bert_prefixes)

    def write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """Writes a file that `read` and the authors' scripts load."""
        write_checkpoint(path, tensors, self.entry, self.wrapped)

    def vocabulary_size(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Returns the number of token ids; `shapes` have the entry's name in front.

        Raises:
            InvalidInput: if the release lacks the word vectors that it should bring.
        """
        return len(self.tokenizer(max_words=20))  # does not depend on max_words

    def tokenizer(self, max_words: int) -> Tokenizer:
        """Returns the tokenizer of the release's word encoder.

        Raises:
            InvalidInput: if the user has to give its words.
        """
        from refseg.text.word_pieces import WordPieces

        return WordPieces(max_words)

    def preprocessing(self, side: int) -> Preprocessing:
        """Returns the preprocessing of images of this side."""
        return photographs(side)


def check_conversion(conversion: str) -> None:
    """Checks that there is such a conversion.

    Raises:
        InvalidInput: if not.
    """
    if conversion not in CONVERSIONS:
        raise InvalidInput(f"nothing converts {conversion!r}; {choose_one(conversion, CONVERSIONS)}")


def find_layout(conversion: str) -> OfficialLayout[Any]:
    """Returns the layout of one of `CONVERSIONS`.

    Raises:
        InvalidInput: for another name.
    """
    check_conversion(conversion)
    module, _, name = CONVERSIONS[conversion].partition(":")
    layout: OfficialLayout[Any] = getattr(import_module(module), name)()
    return layout
