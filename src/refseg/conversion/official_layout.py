"""What an authors' layout says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from refseg.config import Config
from refseg.conversion import CONVERSIONS, Piece
from refseg.errors import InvalidInput
from refseg.networks.network import Network
from refseg.preprocessing.transform import photographs
from refseg.text.tokenizer import Tokenizer

OUR_WORDS = "word_encoder.bert."


POOLER = ("pooler.dense.weight", "pooler.dense.bias")


NEVER_READ = (*POOLER, "embeddings.position_ids")  # of the words' BERT; the positions are counted anew


POOLED = ("cmirnet",)  # their scripts load a BERT with its pooler, the others one without


def _word_pieces(config: Config) -> Tokenizer:
    from refseg.text.word_pieces import WordPieces

    return WordPieces(config.max_words)  # type: ignore[attr-defined]


OPTIONS: Mapping[str, Any] = {  # what most releases do
    "read": None,
    "write": None,
    "vocabulary_size": None,
    "settings": lambda args: {},
    "release_shapes": lambda network: {},
    "NETWORKS": (),
    "MODEL": "model",
    "WORDS": ("bert_model.",),
    "WRAPPED": False,
    "tokenizer": _word_pieces,
    "preprocessing": photographs,
    "CLIPS": {},
    "IMAGE_SIZE": 480,
    "IMAGES": "stretched to {side} x {side}, ImageNet mean and standard deviation",
}


@dataclass(frozen=True)
class Layout:
    """Where the tensors of a network are in a release.

    Attributes:
        names: our key -> the release's keys; several are stacked along axis 0; where there are none, ours is 0.
        pieces: our key -> which part of its release tensor it is, where it is not all of it as it stands there.
        shapes: our key -> the shape of each of its release tensors.
        own_shapes: our key -> our shape.
        aliases: release key -> the key of the same tensor.
        droppable: release keys that never act.
        filling: what the way back writes under those that the authors' scripts want to find.
    """

    names: Mapping[str, tuple[str, ...]]
    pieces: Mapping[str, Piece]
    shapes: Mapping[str, tuple[int, ...]]
    own_shapes: Mapping[str, tuple[int, ...]]
    aliases: Mapping[str, str]
    droppable: frozenset[str]
    filling: Mapping[str, Tensor]


def layout_of(conversion: str, network: Network, names: Collection[str] = ()) -> Layout:
    """Where the tensors of a network are in a release of this conversion.

    Args:
        conversion: one of `CONVERSIONS`.
        network: whose tensors.
        names: the release's, where there are several forms of it.
    """
    module, start = _module(conversion), f"{option(conversion, 'MODEL')}."
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    official: dict[str, tuple[str, ...]] = {}
    pieces: dict[str, Piece] = {}
    for key, place in module.official_names(network).items():
        if isinstance(place, Piece):
            pieces[key], place = place, place.name
        official[key] = tuple(start + name for name in ([place] if isinstance(place, str) else place))
    forms: tuple[str, ...] = option(conversion, "WORDS")
    words = next((form for form in forms if any(name.startswith(form) for name in names)), forms[0] if forms else None)
    if words is not None:
        official |= {key: (words + key.removeprefix(OUR_WORDS),) for key in own if key.startswith(OUR_WORDS)}
    if lost := own.keys() - official.keys():
        raise AssertionError(f"{CONVERSIONS[conversion]} has no names for {sorted(lost)}")
    shapes = {key: _part(own[key], len(names)) for key, names in official.items() if names}
    shapes |= {key: _whole(own[key], piece) for key, piece in pieces.items()}
    unused = {start + key: value for key, value in module.unused(network).items()}
    filling = dict(unused)
    if conversion in POOLED:
        width: int = network.word_encoder.channels  # type: ignore[assignment, union-attr]
        filling |= {f"{words}{POOLER[0]}": torch.zeros(width, width), f"{words}{POOLER[1]}": torch.zeros(width)}
    return Layout(
        names=official,
        pieces=pieces,
        shapes=shapes | option(conversion, "release_shapes")(network),
        own_shapes=own,
        aliases={start + key: start + name for key, name in module.aliases(network).items()},
        droppable=frozenset([*unused, *(f"{words}{name}" for name in NEVER_READ if words is not None)]),
        filling=filling,
    )


def option(conversion: str, name: str) -> Any:
    """What a layout's file says under this name, or what most releases do."""
    return getattr(_module(conversion), name, OPTIONS[name])


def _module(conversion: str) -> ModuleType:
    if conversion not in CONVERSIONS:
        raise InvalidInput(f"nothing converts {conversion!r}; choose one of: {', '.join(CONVERSIONS)}")
    return import_module(CONVERSIONS[conversion])


def _part(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    return (shape[0] // parts, *shape[1:]) if shape else shape


def _whole(shape: tuple[int, ...], piece: Piece) -> tuple[int, ...]:
    stacked = shape[0] * piece.of, *shape[1:]
    return stacked[::-1] if piece.transposed else stacked
