"""Parameters and multiply-adds of a network, counted on the meta device: nothing is allocated, nothing computed.

Two conventions, both for one image or clip and one expression whose words are given (the papers leave BERT out):

multiply-adds   what torch.utils.flop_counter counts, halved: convolutions, linears and the products of attention.
as thop counts  the papers' tool: convolutions, linears, normalisations (2 for each value, 4 with scale and shift) and
                bilinear upsampling (11 for each value); no attention, and parameters of these layers only. thop itself
                is not kept up, and its successor counts attention too, so neither gives the papers' figures today.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from refseg import networks
from refseg.encoders import build_word_encoder
from refseg.networks.network import Network

REST, TOTAL = "baseline", "total"
WORDS = 20  # in an expression, where the network says no `max_words`
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Cost:
    """Numbers of multiply-adds and parameters."""

    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class Complexity:
    """Parameters and multiply-adds of a network.

    Attributes:
        size_hw: height and width of the image.
        words: number of words.
        parameters: of everything but the word encoder.
        word_parameters: of the word encoder; 0 where words are part of the network.
        multiply_adds: of everything but the word encoder.
        as_thop: the same as thop counts, and by component where the network names its components.
    """

    size_hw: tuple[int, int]
    words: int
    parameters: int
    word_parameters: int
    multiply_adds: int
    as_thop: Mapping[str, Cost]


def complexity(
    name: str, size_hw: tuple[int, int], vocabulary_size: int, config: Mapping[str, Any] | None = None
) -> Complexity:
    """Counts a network or preset: one image or clip, one expression of `max_words` words.

    Args:
        name: of the network or preset.
        size_hw: height and width of the image.
        vocabulary_size: number of token ids.
        config: settings that differ from the preset.
    """
    # Networks whose words are part of them are small, and look at values while they run.
    device = "meta" if hasattr(networks.preset(name), "word_encoder") else "cpu"
    with torch.device(device):
        network = networks.build(name, config or {}, vocabulary_size).eval()
        words = getattr(network.config, "max_words", WORDS)
        counted, multiply_adds = _run(network, size_hw, words)
    word_encoder = getattr(network, "word_encoder", nn.Identity())
    everything, words_alone = _parameters(network.parameters()), _parameters(word_encoder.parameters())
    return Complexity(
        size_hw=size_hw,
        words=words,
        parameters=everything - words_alone,
        word_parameters=words_alone,
        multiply_adds=multiply_adds,
        as_thop=counted,
    )


def word_complexity(name: str, vocabulary_size: int, config: Mapping[str, Any] | None = None) -> tuple[Cost, Cost]:
    """Counts the word encoder of a network or preset, for one expression of `max_words` words.

    It is computed: some look at the values of their input.

    Args:
        name: of the network or preset.
        vocabulary_size: number of token ids.
        config: settings that differ from the preset.

    Returns:
        All of it, and what thop counts: layers without embeddings, and no attention products.
    """
    settings: Any = networks.configured(name, config or {})
    encoder = build_word_encoder(settings.word_encoder, vocabulary_size).eval()
    length, flops = settings.max_words, FlopCounterMode(display=False)
    with torch.no_grad(), LayerCounter({}) as counter, flops:
        encoder(torch.ones(1, length, dtype=torch.int64), torch.ones(1, length, dtype=torch.bool))
    layers = [layer for layer in encoder.modules() if isinstance(layer, _LAYERS)]
    own = sum(_parameters(layer.parameters(recurse=False)) for layer in layers)
    whole = Cost(flops.get_total_flops() // 2, _parameters(encoder.parameters()))
    return whole, Cost(counter.counts.get(REST, 0), own)


def _run(network: Network, size_hw: tuple[int, int], length: int) -> tuple[dict[str, Cost], int]:
    components = _components(network)
    counter = LayerCounter(components)
    flops = FlopCounterMode(display=False)
    tokens, word_mask = torch.ones(1, length, dtype=torch.int64), torch.ones(1, length, dtype=torch.bool)
    encoder = getattr(network, "word_encoder", None)
    with torch.no_grad(), ExitStack() as stack:
        if encoder is not None:  # which is not counted
            channels = getattr(encoder, "channels", None)  # a network of one's own may have none
            words = torch.zeros(1, length, channels) if channels else network.encode_words(tokens, word_mask)
        stack.enter_context(counter)
        stack.enter_context(flops)
        features = network.encode_image(torch.zeros(1, *network.image_shape(size_hw)))
        if encoder is None:
            words = network.encode_words(tokens, word_mask)
        network.fuse(features, words, word_mask, torch.zeros(1, dtype=torch.int64))
    theirs = set(getattr(network, "word_encoder", nn.Identity()).modules())
    layers = [m for m in network.modules() if isinstance(m, _LAYERS) and m not in theirs]
    owner = {m: name for name, roots in components.items() for root in roots for m in root.modules()}
    parameters: dict[str, int] = {}
    for layer in layers:
        name = owner.get(layer, REST)
        parameters[name] = parameters.get(name, 0) + _parameters(layer.parameters(recurse=False))
    costs = {name: Cost(counter.counts.get(name, 0), parameters.get(name, 0)) for name in (*components, REST)}
    total = Cost(
        multiply_adds=sum(cost.multiply_adds for cost in costs.values()),
        parameters=sum(cost.parameters for cost in costs.values()),
    )
    return (costs if components else {}) | {TOTAL: total}, flops.get_total_flops() // 2


class LayerCounter(TorchFunctionMode):
    """Counts multiply-adds as thop does while it is entered, of modules and functions.

    Attributes:
        counts: component -> multiply-adds; what runs in none of them is the rest.
    """

    def __init__(self, components: Mapping[str, Sequence[nn.Module]]):
        super().__init__()
        self.counts: dict[str, int] = {}
        self._components = components
        self._running = [REST]
        self._hooks = ExitStack()

    def __enter__(self) -> "LayerCounter":
        for name, roots in self._components.items():
            for module in roots:
                before = module.register_forward_pre_hook(lambda *_, name=name: self._running.append(name))
                after = module.register_forward_hook(lambda *_: self._ends())
                self._hooks.callback(before.remove)
                self._hooks.callback(after.remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _NORMS and args[0].is_meta:  # it would be taken apart into its additions, for nothing
            result = torch.empty_like(args[0])
        else:
            result = function(*args, **kwargs)
        if function in _RULES:
            here = self._running[-1]
            self.counts[here] = self.counts.get(here, 0) + _RULES[function](result, *args, **kwargs)
        return result

    def _ends(self) -> None:
        self._running.pop()


def _weighted(result: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return result.numel() * prod(weight.shape[1:])


def _norm(weight_at: int) -> Callable[..., int]:
    def count(result: Tensor, *args: Any, **kwargs: Any) -> int:
        weight = kwargs.get("weight", args[weight_at] if len(args) > weight_at else None)
        return result.numel() * (2 if weight is None else 4)

    return count


def _upsampling(result: Tensor, *args: Any, mode: str = "nearest", **_: Any) -> int:
    return 11 * result.numel() if mode == "bilinear" else 0


_NORMS: dict[Any, Callable[..., int]] = {
    F.batch_norm: _norm(3),
    F.instance_norm: _norm(3),
    F.layer_norm: _norm(2),
    F.group_norm: _norm(2),
}
_RULES = _NORMS | {
    F.conv1d: _weighted,
    F.conv2d: _weighted,
    F.conv3d: _weighted,
    F.linear: _weighted,
    F.interpolate: _upsampling,
}


def _components(network: Network) -> dict[str, list[nn.Module]]:
    named = network.components().items()
    return {name: [module for root in roots for module in _called(root)] for name, roots in named}


def _called(module: nn.Module) -> list[nn.Module]:
    """Returns a module, or the members of a container."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        return [inner for member in module.children() for inner in _called(member)]
    return [module]


def _parameters(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
