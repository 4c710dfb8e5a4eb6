"""Tensor by tensor: fit, to ours, to the authors'."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refseg import networks
from refseg.conversion.fit_report import Report, misfits, patterns, sides
from refseg.conversion.official_file import Release
from refseg.conversion.official_layout import Layout, _module, layout_of, option
from refseg.errors import InvalidInput
from refseg.files.atomic import all_or_nothing
from refseg.networks.network import Network

_WRAPPER = "module."  # what DistributedDataParallel puts before every key


def fit(conversion: str, release: Release) -> tuple[Network, Layout, Report]:
    """Which network a release is, without its weights (on the meta device), and how its tensors go in.

    Raises:
        InvalidInput: if it is none of this conversion, or two names of one tensor hold different values.
    """
    try:
        network, layout, report = compare(conversion, release.tensors, release.args)
    except InvalidInput as error:
        raise InvalidInput(f"{release.path}: {error}") from error
    for alias, name in report.aliases.items():
        if name in release.tensors and not _same(release.tensors[alias], release.tensors[name]):
            raise InvalidInput(
                f"{release.path}: {alias} and {name} differ, and in {report.preset} they are one tensor, so it cannot "
                "be told which one counts; take the file as the authors published it"
            )
    return network, layout, replace(report, others=release.others)


def compare(
    conversion: str, tensors: Mapping[str, Tensor], args: Mapping[str, Any] | None = None
) -> tuple[Network, Layout, Report]:
    """The preset whose names these are, on the meta device, and what fits of names and shapes.

    Args:
        conversion: one of `CONVERSIONS`.
        tensors: of the release.
        args: settings of its training script, where they are known.

    Raises:
        InvalidInput: if it is none of this conversion.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    start = f"{option(conversion, 'MODEL')}."
    preset = _module(conversion).preset_of(
        {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
    )
    count = option(conversion, "vocabulary_size") or (
        lambda _: len(option(conversion, "tokenizer")(networks.preset(preset)))
    )
    with torch.device("meta"):
        network = networks.build(preset, option(conversion, "settings")(args or {}), count(shapes))
        layout = layout_of(conversion, network, shapes)
    wanted = {name: layout.shapes[key] for key, names in layout.names.items() for name in names}
    aliases = {alias: name for alias, name in layout.aliases.items() if alias in shapes}
    unused = tuple(name for name in shapes if name in layout.droppable)
    known = {*wanted, *layout.aliases, *layout.droppable}
    report = Report(
        preset=preset,
        taken=layout.names,
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
    return network, layout, report


def take(layout: Layout, tensors: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor]:
    """Our state dict out of a release that fits; tensors that need no change are not copied."""
    state = {}
    for key, names in layout.names.items():
        parts = [tensors[name] for name in names] or [torch.zeros(layout.own_shapes[key])]
        value = parts[0] if len(parts) == 1 or parts[0].dim() == 0 else torch.cat(parts)
        if piece := layout.pieces.get(key):
            value = (value.mT if piece.transposed else value).chunk(piece.of)[piece.part]
        state[key] = value.reshape(layout.own_shapes[key]).to(dtypes[key])
    return state


def give(layout: Layout, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a release out of our state dict: the inverse of `take`, with aliases and unused layers."""
    tensors: dict[str, Tensor] = dict(layout.filling)
    pieces: dict[str, dict[int, Tensor]] = {}
    for key, names in layout.names.items():
        if not names:
            continue
        value = state[key].detach()
        if piece := layout.pieces.get(key):
            pieces.setdefault(names[0], {})[piece.part] = value
            if len(pieces[names[0]]) < piece.of:
                continue
            whole = torch.cat([part for _, part in sorted(pieces.pop(names[0]).items())])
            value = (whole.mT if piece.transposed else whole).contiguous()
        parts = (value,) * len(names) if value.dim() == 0 else value.chunk(len(names))
        for name, part in zip(names, parts, strict=True):
            # A part of a stack would be saved with all of it.
            tensors[name] = (part if len(names) == 1 else part.clone()).reshape(layout.shapes[key])
    return tensors | {alias: tensors[name] for alias, name in layout.aliases.items()}


def write_release(conversion: str, network: Network, path: Path) -> Report:
    """Writes a file that the authors' scripts load; it is there completely or not at all.

    Raises:
        InvalidInput: if the network is not one that the authors' code has.
        UnwritableOutput: if the file cannot be written.
    """
    try:
        tensors = give(layout_of(conversion, network), network.state_dict())
        _, _, report = compare(conversion, tensors)
    except InvalidInput as error:
        raise InvalidInput(f"the authors' code has no such network: {error}") from error
    if not report.fits:
        raise InvalidInput(f"the authors' code has no such network: beside {report.preset} {misfits(report)}")
    if write := option(conversion, "write"):
        with all_or_nothing(path.parent) as folder:
            write(folder / path.name, tensors)
        return report
    content: dict[str, dict[str, Tensor]] = {option(conversion, "MODEL"): {}}
    wrapper = _WRAPPER if option(conversion, "WRAPPED") else ""
    for name, value in tensors.items():
        entry, _, key = name.partition(".")
        content.setdefault(entry, {})[wrapper + key] = value
    with all_or_nothing(path.parent) as folder:
        torch.save(content, folder / path.name)
    return report


def _same(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.shape == b.shape:
        return True  # torch.save wrote them once
    return torch.equal(a, b)
