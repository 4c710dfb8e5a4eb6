"""The three graphs of a network: `encode_image`, `encode_words` and `fuse`, from tensors to tensors.

They are separate, so that an image is encoded once for all of its expressions after the export as before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import Tensor, nn

from refseg.networks.network import Network, Output

IMAGE, WORDS, FUSE = "image", "words", "fuse"
ID_MAP, FAMILIARITY = "id_map", "familiarity"  # further outputs of the first


def flatten(features: Any, name: str = "features") -> dict[str, Tensor]:
    """Returns the tensors of image features by their place in them, in a fixed order.

    >>> import torch
    >>> sorted(flatten({"low": torch.ones(1), "pyramid": [torch.ones(1), (torch.ones(1), None)]}))
    ['features_low', 'features_pyramid_0', 'features_pyramid_1_0']
    """
    if isinstance(features, Tensor):
        return {name: features}
    return {key: value for part, one in _parts(features) for key, value in flatten(one, f"{name}_{part}").items()}


def unflatten(template: Any, tensors: Mapping[str, Tensor], name: str = "features") -> Any:
    """Returns features of the template's form with the given tensors; what is no tensor is the template's."""
    if isinstance(template, Tensor):
        return tensors[name]
    parts = {part: unflatten(one, tensors, f"{name}_{part}") for part, one in _parts(template)}
    if is_dataclass(template) and not isinstance(template, type):
        return replace(template, **parts)
    if isinstance(template, Mapping):
        return {key: parts[str(key)] for key in template}
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*parts.values())
    return type(template)(parts.values()) if isinstance(template, tuple | list) else template


def _parts(features: Any) -> list[tuple[str, Any]]:
    if is_dataclass(features) and not isinstance(features, type):
        return [(field.name, getattr(features, field.name)) for field in fields(features)]
    if isinstance(features, Mapping):
        return [(str(key), value) for key, value in features.items()]
    if isinstance(features, tuple | list):
        return [(str(number), value) for number, value in enumerate(features)]
    return []


def output_tensors(output: Output) -> dict[str, Tensor]:
    """Returns the fields of an output that are tensors."""
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


class ImageGraph(nn.Module):
    """`encode_image`, with what else is computed of the image's features alone."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Computes the tensors that `names` names, of images (B, 3, H, W)."""
        return tuple(self.named(image).values())

    def named(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the tensors by name."""
        features = self.network.encode_image(image)
        tensors = flatten(features)
        familiarity = self.network.familiarity_features(features)
        if familiarity is not None and not any(familiarity is tensor for tensor in tensors.values()):
            tensors[FAMILIARITY] = familiarity
        return tensors


class WordsGraph(nn.Module):
    """`encode_words`."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Computes words (M, L, D)."""
        return self.network.encode_words(tokens, word_mask)


class FuseGraph(nn.Module):
    """`fuse`, with the existence threshold as an input, since each call may set its own.

    Attributes:
        passed: by name of those fields of the output that are features of the image, the names of these.
    """

    def __init__(self, network: Network, template: Any, outputs: Sequence[str]):
        super().__init__()
        self.network, self.template, self.outputs = network, template, tuple(outputs)
        self.names = tuple(flatten(template))

    def forward(
        self,
        features: Sequence[Tensor],
        words: Tensor,
        word_mask: Tensor,
        image_of_expression: Tensor,
        exists_threshold_logit: Tensor,
    ) -> tuple[Tensor, ...]:
        """Computes the fields of the output that `outputs` names."""
        image_features = unflatten(self.template, dict(zip(self.names, features, strict=True)))
        network = self.network.at_threshold(exists_threshold_logit)  # type: ignore[arg-type]
        found = output_tensors(network.fuse(image_features, words, word_mask, image_of_expression))
        return tuple(found[name] for name in self.outputs)


@dataclass
class FuseOutputs:
    """Sources of the fields of a network's output.

    Attributes:
        computed: fields that the graph of `fuse` computes.
        passed: fields that are tensors of the image's features, with their names.
    """

    computed: tuple[str, ...]
    passed: dict[str, str]

    @classmethod
    def of(cls, output: Output, features: Any) -> "FuseOutputs":
        """Tells them apart by identity."""
        tensors, named = output_tensors(output), flatten(features)
        passed = {field: name for field, value in tensors.items() for name, tensor in named.items() if tensor is value}
        return cls(tuple(field for field in tensors if field not in passed), passed)
