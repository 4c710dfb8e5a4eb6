"""Mapping of tensors between official releases and our networks: fit, from_official, to_official."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refseg import networks
from refseg.conversion.fit_report import Report, misfits, patterns, sides
from refseg.conversion.official_file import OfficialCheckpoint
from refseg.conversion.official_layout import OfficialLayout, TensorSlice
from refseg.errors import InvalidInput
from refseg.files.atomic import write_atomically
from refseg.networks.network import Network

OUR_BERT = "word_encoder.bert."
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
UNUSED_IN_BERT = (*POOLER, "embeddings.position_ids")  # positions are computed


@dataclass(frozen=True)
class TensorMap:
    """Places of a network's tensors in an official release.

    Attributes:
        names: our key -> official keys; several are stacked along axis 0; with none, ours is 0.
        slices: our key -> the part of its official tensor that it is, where it is not the whole as it stands.
        shapes: our key -> the shape of each of its official tensors.
        own_shapes: our key -> our shape.
        aliases: official key -> the official key of the same tensor.
        droppable: official keys without effect.
        filling: values that are written for keys without effect.
    """

    names: Mapping[str, tuple[str, ...]]
    slices: Mapping[str, TensorSlice]
    shapes: Mapping[str, tuple[int, ...]]
    own_shapes: Mapping[str, tuple[int, ...]]
    aliases: Mapping[str, str]
    droppable: frozenset[str]
    filling: Mapping[str, Tensor]


def map_tensors(layout: OfficialLayout[Any], network: Network, names: Collection[str] = ()) -> TensorMap:
    """Maps the tensors of a network to those of an official release.

    Args:
        layout: of the release.
        network: whose tensors; may be on the meta device.
        names: the release's keys, which tell where its BERT is if there are several places.
    """
    start = f"{layout.entry}."
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    official: dict[str, tuple[str, ...]] = {}
    slices: dict[str, TensorSlice] = {}
    for key, place in layout.official_names(network).items():
        if isinstance(place, TensorSlice):
            slices[key], place = place, place.name
        official[key] = tuple(start + name for name in ([place] if isinstance(place, str) else place))
    prefixes = layout.bert_prefixes
    bert = next((prefix for prefix in prefixes if any(name.startswith(prefix) for name in names)), None)
    bert = bert or (prefixes[0] if prefixes else None)
    if bert is not None:
        official |= {key: (bert + key.removeprefix(OUR_BERT),) for key in own if key.startswith(OUR_BERT)}
    if lost := own.keys() - official.keys():
        raise AssertionError(f"{type(layout).__name__} has no names for {sorted(lost)}")
    shapes = {key: _part_shape(own[key], len(names)) for key, names in official.items() if names}
    shapes |= {key: _whole_shape(own[key], tensor_slice) for key, tensor_slice in slices.items()}
    unused = {start + key: value for key, value in layout.unused(network).items()}
    filling = dict(unused)
    if layout.has_pooler:
        width: int = network.word_encoder.channels  # type: ignore[assignment, union-attr]
        filling |= {f"{bert}{POOLER[0]}": torch.zeros(width, width), f"{bert}{POOLER[1]}": torch.zeros(width)}
    return TensorMap(
        names=official,
        slices=slices,
        shapes=shapes | layout.official_shapes(network),
        own_shapes=own,
        aliases={start + key: start + name for key, name in layout.aliases(network).items()},
        droppable=frozenset([*unused, *(f"{bert}{name}" for name in UNUSED_IN_BERT if bert is not None)]),
        filling=filling,
    )


def fit(layout: OfficialLayout[Any], release: OfficialCheckpoint) -> tuple[Network, TensorMap, Report]:
    """Returns the network of a release on the meta device, the places of its tensors, and what fits.

    Raises:
        InvalidInput: if it has no preset, or two names of one tensor hold different values.
    """
    try:
        network, places, report = compare(layout, release.tensors, release.args)
    except InvalidInput as error:
        raise InvalidInput(f"{release.path}: {error}") from error
    for alias, name in report.aliases.items():
        if name in release.tensors and not _same(release.tensors[alias], release.tensors[name]):
            raise InvalidInput(
                f"{release.path}: {alias} and {name} differ, and in {report.preset} they are one tensor, so it cannot "
                "be told which one counts; take the file as the authors published it"
            )
    return network, places, replace(report, others=release.others)


def compare(
    layout: OfficialLayout[Any], tensors: Mapping[str, Tensor], args: Mapping[str, Any] | None = None
) -> tuple[Network, TensorMap, Report]:
    """Compares names and shapes of a release with those of its preset, which is built on the meta device.

    Args:
        layout: of the release.
        tensors: of the release.
        args: arguments of its training script, if known.

    Raises:
        InvalidInput: if it has no preset.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    start = f"{layout.entry}."
    preset = layout.preset_of(
        {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
    )
    with torch.device("meta"):
        network = networks.build(preset, layout.settings(args or {}), layout.vocabulary_size(shapes))
        places = map_tensors(layout, network, shapes)
    wanted = {name: places.shapes[key] for key, names in places.names.items() for name in names}
    aliases = {alias: name for alias, name in places.aliases.items() if alias in shapes}
    unused = tuple(name for name in shapes if name in places.droppable)
    known = {*wanted, *places.aliases, *places.droppable}
    report = Report(
        preset=preset,
        taken=places.names,
        aliases=aliases,
        unused=unused,
        missing=tuple(name for name in wanted if name not in shapes),
        unexpected=tuple(name for name in shapes if name not in known),
        misshapen=tuple(
            f"{name}: {sides(shapes[name])} in place of {sides(shape)}"
            for name, shape in wanted.items()
            if shapes.get(name, shape) != shape
        ),
        groups={"aliases": patterns(aliases, shapes), "unused": patterns(unused, shapes)},
    )
    return network, places, report


def from_official(
    places: TensorMap, tensors: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype]
) -> dict[str, Tensor]:
    """Converts the tensors of a release that fits to our state dict; unchanged tensors are not copied."""
    state = {}
    for key, names in places.names.items():
        parts = [tensors[name] for name in names] or [torch.zeros(places.own_shapes[key])]
        value = parts[0] if len(parts) == 1 or parts[0].dim() == 0 else torch.cat(parts)
        if tensor_slice := places.slices.get(key):
            value = (value.mT if tensor_slice.transposed else value).chunk(tensor_slice.of)[tensor_slice.part]
        state[key] = value.reshape(places.own_shapes[key]).to(dtypes[key])
    return state


def to_official(places: TensorMap, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts our state dict to the tensors of a release, with aliases and unused layers; inverts `from_official`."""
    tensors: dict[str, Tensor] = dict(places.filling)
    parts_of: dict[str, dict[int, Tensor]] = {}
    for key, names in places.names.items():
        if not names:
            continue
        value = state[key].detach()
        if tensor_slice := places.slices.get(key):
            parts_of.setdefault(names[0], {})[tensor_slice.part] = value
            if len(parts_of[names[0]]) < tensor_slice.of:
                continue
            whole = torch.cat([part for _, part in sorted(parts_of.pop(names[0]).items())])
            value = (whole.mT if tensor_slice.transposed else whole).contiguous()
        parts = (value,) * len(names) if value.dim() == 0 else value.chunk(len(names))
        for name, part in zip(names, parts, strict=True):
            # a view would be saved with the whole stack
            tensors[name] = (part if len(names) == 1 else part.clone()).reshape(places.shapes[key])
    return tensors | {alias: tensors[name] for alias, name in places.aliases.items()}


def write_official(layout: OfficialLayout[Any], network: Network, path: Path) -> Report:
    """Writes a file that the authors' scripts load; it is there completely or not at all.

    Raises:
        InvalidInput: if the authors' code has no such network.
        UnwritableOutput: if the file cannot be written.
    """
    try:
        tensors = to_official(map_tensors(layout, network), network.state_dict())
        _, _, report = compare(layout, tensors)
    except InvalidInput as error:
        raise InvalidInput(f"the authors' code has no such network: {error}") from error
    if not report.fits:
        raise InvalidInput(f"the authors' code has no such network: beside {report.preset} {misfits(report)}")
    with write_atomically(path) as file:
        layout.write(file, tensors)
    return report


def _same(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.shape == b.shape:
        return True  # torch.save wrote them once
    return torch.equal(a, b)


def _part_shape(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    return (shape[0] // parts, *shape[1:]) if shape else shape


def _whole_shape(shape: tuple[int, ...], part: TensorSlice) -> tuple[int, ...]:
    stacked = shape[0] * part.of, *shape[1:]
    return stacked[::-1] if part.transposed else stacked
