"""ExportedNetwork: the graphs of an exported checkpoint as a network, for whatever takes one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from refseg.batch import Batch
from refseg.config import Config
from refseg.errors import InvalidInput
from refseg.networks.network import Network, Output, chosen_objects
from refseg.runtimes.exported import ExportedGraphs


class ExportedNetwork(Network):
    """A network that a runtime computes; it has no weights of its own, and runs on the CPU."""

    def __init__(self, graphs: ExportedGraphs, config: Config):
        super().__init__()
        self.graphs, self.config = graphs, config
        self.threshold = graphs.entry.threshold
        self.expressions_at_once = graphs.entry.expressions_at_once
        self.on_cpu = nn.Parameter(torch.zeros(0))  # tells where inputs belong
        digest = torch.tensor(list(graphs.entry.sha256.encode()), dtype=torch.uint8)
        self.register_buffer("digest", digest)  # tells exports apart, as weights do

    @override
    def encode_image(self, image: Tensor) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in self.graphs.encode_image(image.numpy()).items()}

    @override
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        return torch.from_numpy(self.graphs.encode_words(*self.graphs.padded(tokens.numpy(), word_mask.numpy())))

    @override
    def fuse(
        self, image_features: dict[str, Tensor], words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        features = {name: value.numpy() for name, value in image_features.items()}
        mask = torch.nn.functional.pad(word_mask, (0, words.shape[1] - word_mask.shape[1]))
        found = self.graphs.fuse(
            features, words.numpy(), mask.numpy(), image_of_expression.numpy(), self.exists_threshold_logit
        )
        tensors: dict[str, Any] = {name: torch.from_numpy(value) for name, value in found.items()}
        return Output(**tensors)

    @override
    def familiarity_features(self, image_features: dict[str, Tensor]) -> Tensor | None:
        name = self.graphs.entry.familiarity
        return None if name is None else image_features[name]

    @override
    def chosen(self, output: Output) -> Tensor | None:
        return chosen_objects(output, self.exists_threshold_logit) if self.graphs.entry.objects else None

    @override
    def loss(self, batch: Batch) -> Mapping[str, Any]:
        raise InvalidInput("exported weights cannot be trained; train those that they were exported from")
