"""The authors' checkpoint files to ours and back, tensor by tensor.

A release is one file {model, bert_model, optimizer, lr_scheduler, epoch, args, ...} as the training scripts of the
LAVT family save it. Names here carry the entry in front: "model.backbone...", "bert_model.encoder...".
"""

import argparse
import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from refseg import networks
from refseg.conversion import CONVERSIONS
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.contract import Network
from refseg.outputs import all_or_nothing

MODEL, WORDS = "model", "bert_model"
OUR_WORDS = "word_encoder.bert."
POOLER = ("bert_model.pooler.dense.weight", "bert_model.pooler.dense.bias")
NEVER_READ = (*POOLER, "bert_model.embeddings.position_ids")  # of the words' BERT; the positions are counted anew
POOLED = ("cmirnet",)  # their scripts load a BERT with its pooler, the others one without
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Release:
    """What an authors' file holds.

    Attributes:
        path: the file.
        tensors: the tensors of "model" and "bert_model", mapped from the file where that is possible.
        args: settings of the training script.
        others: names of the entries that are not read, such as the optimizer's state.
    """

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, Any]
    others: tuple[str, ...]

    @property
    def image_size(self) -> int | None:
        """Side of the images that the script fed, where it says so."""
        size = self.args.get("img_size")
        return size if isinstance(size, int) and size > 0 else None


@dataclass(frozen=True)
class Layout:
    """Where the tensors of a network are in a release.

    Attributes:
        names: our key -> the release's keys; several are stacked along axis 0.
        shapes: our key -> the shape of each of its release tensors.
        own_shapes: our key -> our shape.
        aliases: release key -> the key of the same tensor.
        droppable: release keys that never act.
        filling: what the way back writes under those that the authors' scripts want to find.
    """

    names: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    own_shapes: Mapping[str, tuple[int, ...]]
    aliases: Mapping[str, str]
    droppable: frozenset[str]
    filling: Mapping[str, Tensor]


@dataclass(frozen=True)
class Report:
    """Key by key, what became of a release.

    Attributes:
        preset: the network that it is.
        taken: our key -> the release's keys.
        aliases: release key -> the key of the same tensor; left out.
        unused: release keys that never act; left out.
        missing, unexpected, misshapen: what does not fit; the last with both shapes in words.
        others: entries of the file that were not read.
        groups: `aliases` and `unused` as patterns with counts.
    """

    preset: str
    taken: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Is there a tensor for everything, and nothing besides?"""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def tensors_taken(self) -> int:
        """Number of release tensors that became ours."""
        return sum(map(len, self.taken.values()))

    def write(self, path: Path) -> None:
        """All names as JSON."""
        content = {
            "preset": self.preset,
            "fits": self.fits,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "misshapen": self.misshapen,
            "entries not read": self.others,
            "unused": self.unused,
            "aliases": self.aliases,
            "taken": self.taken,
        }
        with all_or_nothing(path.parent) as folder:
            (folder / path.name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_release(path: Path) -> Release:
    """The tensors of an authors' file; code in it is never run.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is no such file, is damaged, or holds something else than tensors and plain settings.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds a {type(content).__name__}, not {{model, bert_model, ...}}; {_WHICH_FILE}")
    for entry in (MODEL, WORDS):
        if entry not in content:
            found = ", ".join(map(str, list(content)[:6])) or "nothing"
            raise InvalidInput(f"{path} has no {entry!r} (it holds {found}); {_WHICH_FILE}")
    tensors: dict[str, Tensor] = {}
    for entry in (MODEL, WORDS):
        tensors |= _tensors(path, entry, content[entry])
    args = content.get("args")
    return Release(
        path=path,
        tensors=tensors,
        args=vars(args) if isinstance(args, argparse.Namespace) else {},
        others=tuple(str(entry) for entry in content if entry not in (MODEL, WORDS, "args")),
    )


def fit(conversion: str, release: Release) -> tuple[Network, Layout, Report]:
    """Which network a release is, without its weights (on the meta device), and how its tensors go in.

    Raises:
        InvalidInput: if it is none of this conversion, or two names of one tensor hold different values.
    """
    try:
        network, layout, report = compare(conversion, release.tensors)
    except InvalidInput as error:
        raise InvalidInput(f"{release.path}: {error}") from error
    for alias, name in report.aliases.items():
        if name in release.tensors and not _same(release.tensors[alias], release.tensors[name]):
            raise InvalidInput(
                f"{release.path}: {alias} and {name} differ, and in {report.preset} they are one tensor, so it cannot "
                "be told which one counts; take the file as the authors published it"
            )
    return network, layout, replace(report, others=release.others)


def compare(conversion: str, tensors: Mapping[str, Tensor]) -> tuple[Network, Layout, Report]:
    """The preset whose names these are, on the meta device, and what fits of names and shapes.

    Raises:
        InvalidInput: if it is none of this conversion.
    """
    from refseg.encoders.bert import WordPieces

    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    start = f"{MODEL}."
    preset = _module(conversion).preset_of(
        {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
    )
    with torch.device("meta"):
        network = networks.build(preset, {}, len(WordPieces()))
        layout = layout_of(conversion, network)
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
            f"{name}: {_sides(shapes[name])} in place of {_sides(shape)}"
            for name, shape in wanted.items()
            if shapes.get(name, shape) != shape
        ),
        groups={"aliases": patterns(aliases, shapes), "unused": patterns(unused, shapes)},
    )
    return network, layout, report


def layout_of(conversion: str, network: Network) -> Layout:
    """Where the tensors of a network are in a release of this conversion."""
    module = _module(conversion)
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    official: dict[str, tuple[str, ...]] = {}
    for key, value in module.official_names(network).items():
        official[key] = tuple(f"{MODEL}.{name}" for name in ([value] if isinstance(value, str) else value))
    for key in own:
        if key.startswith(OUR_WORDS):
            official[key] = (f"{WORDS}.{key.removeprefix(OUR_WORDS)}",)
    if lost := own.keys() - official.keys():
        raise AssertionError(f"{CONVERSIONS[conversion]} has no names for {sorted(lost)}")
    release_shapes = getattr(module, "release_shapes", None)
    differing = release_shapes(network) if release_shapes else {}
    shapes = {key: differing.get(key) or _part(own[key], len(names)) for key, names in official.items()}
    unused = {f"{MODEL}.{key}": value for key, value in module.unused(network).items()}
    width: int = network.word_encoder.channels  # type: ignore[assignment, union-attr]
    pooler = dict(zip(POOLER, (torch.zeros(width, width), torch.zeros(width)), strict=True))
    return Layout(
        names=official,
        shapes=shapes,
        own_shapes=own,
        aliases={f"{MODEL}.{key}": f"{MODEL}.{name}" for key, name in module.aliases(network).items()},
        droppable=frozenset([*unused, *NEVER_READ]),
        filling=unused | (pooler if conversion in POOLED else {}),
    )


def take(layout: Layout, tensors: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor]:
    """Our state dict out of a release that fits; tensors that need no change are not copied."""
    state = {}
    for key, names in layout.names.items():
        parts = [tensors[name] for name in names]
        value = parts[0] if len(parts) == 1 or parts[0].dim() == 0 else torch.cat(parts)
        state[key] = value.reshape(layout.own_shapes[key]).to(dtypes[key])
    return state


def give(layout: Layout, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a release out of our state dict: the inverse of `take`, with aliases and unused layers."""
    tensors: dict[str, Tensor] = dict(layout.filling)
    for key, names in layout.names.items():
        value = state[key].detach()
        parts = (value,) * len(names) if value.dim() == 0 else value.chunk(len(names))
        for name, part in zip(names, parts, strict=True):
            # A part of a stack would be saved with all of it.
            tensors[name] = (part if len(names) == 1 else part.clone()).reshape(layout.shapes[key])
    return tensors | {alias: tensors[name] for alias, name in layout.aliases.items()}


def write_release(conversion: str, network: Network, path: Path) -> Report:
    """Writes {model, bert_model} so that the authors' scripts load them; the file is there completely or not at all.

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
    content: dict[str, dict[str, Tensor]] = {MODEL: {}, WORDS: {}}
    for name, value in tensors.items():
        entry, _, key = name.partition(".")
        content[entry][key] = value
    with all_or_nothing(path.parent) as folder:
        torch.save(content, folder / path.name)
    return report


def misfits(report: Report) -> str:
    """What does not fit, in words: numbers and the first names.

    >>> misfits(Report("dmmi_swin_base", {}, missing=("a", "b", "c", "d"), unexpected=("e",)))
    '4 missing (a, b, c, ...), 1 unexpected (e)'
    """
    kinds = {"missing": report.missing, "unexpected": report.unexpected, "of another shape": report.misshapen}
    return ", ".join(
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds.items()
        if names
    )


def patterns(names: Iterable[str], everything: Collection[str]) -> dict[str, int]:
    """Names by what they belong to, with counts: whole subtrees as "a.b.*", numbers of layers as "*".

    >>> layers = [f"layers.{i}.{leaf}" for i in range(3) for leaf in ("weight", "index")]
    >>> patterns(["copy.weight", "copy.bias", *layers[1::2]], ["copy.weight", "copy.bias", *layers])
    {'copy.*': 2, 'layers.*.index': 3}
    """
    chosen = dict.fromkeys(names)
    within: dict[str, bool] = {}  # subtree -> is every name below it chosen?
    for name in everything:
        for end in _ends(name):
            within[name[:end]] = within.get(name[:end], True) and name in chosen
    counts: dict[str, int] = {}
    for name in chosen:
        pattern = next((f"{name[:end]}.*" for end in _ends(name) if within.get(name[:end])), None)
        pattern = re.sub(r"(?<=\.)\d+(?=\.|$)", "*", pattern) if pattern else re.sub(r"\d+", "*", name)
        counts[pattern] = counts.get(pattern, 0) + 1
    return counts


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_WHICH_FILE = (
    "give the file that the authors' training script saved: it holds the network as 'model' and its BERT as "
    "'bert_model' (initial weights of a backbone or of BERT alone are not it)"
)


def _load(path: Path) -> Any:
    if not path.exists():
        raise MissingFile(f"{path} is missing; docs/published_weights.md says where the authors' files are")
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; give an authors' file, or --to-official for the way back")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    check_start(start, path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols
            # A zip file is mapped: the optimizer's state, two thirds of the file, is then never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(b"PK"))
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InvalidInput(
                f"{path} holds code ({found[1]}), which is never run; a checkpoint holds tensors and settings only"
            ) from error
        raise InvalidInput(f"{path} is not a checkpoint that torch.save wrote; {_WHICH_FILE}") from error
    except Exception as error:  # garbage can make an unpickler fail in any way
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise InvalidInput(
            f"{path} is damaged or not a checkpoint ({reason}); download it again, or {_WHICH_FILE}"
        ) from error


def check_start(start: bytes, path: Path) -> None:
    """Looks at the first bytes of a file.

    Raises:
        InvalidInput: if it is empty, or a web page in the place of a file.
    """
    if not start:
        raise InvalidInput(f"{path} is empty; download it again")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InvalidInput(
            f"{path} is a web page, not weights (a file host sends one when it wants a confirmation or its quota is "
            "used up); open the link in a browser and save the file from there"
        )


def _tensors(path: Path, entry: str, state: Any) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not state:
        raise InvalidInput(f"{path}: {entry!r} is not a state dict; {_WHICH_FILE}")
    wrapped = all(str(key).startswith("module.") for key in state)  # by DistributedDataParallel
    tensors = {}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise InvalidInput(f"{path}: {entry}.{key} is a {type(value).__name__}, not a tensor; {_WHICH_FILE}")
        tensors[f"{entry}.{str(key).removeprefix('module.') if wrapped else key}"] = value
    return tensors


def _same(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.shape == b.shape:
        return True  # torch.save wrote them once
    return torch.equal(a, b)


def _module(conversion: str) -> ModuleType:
    if conversion not in CONVERSIONS:
        raise InvalidInput(f"nothing converts {conversion!r}; choose one of: {', '.join(CONVERSIONS)}")
    return import_module(CONVERSIONS[conversion])


def _part(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    return (shape[0] // parts, *shape[1:]) if shape else shape


def _ends(name: str) -> list[int]:
    """Where the proper prefixes of a dotted name end, shortest first."""
    return [dot.start() for dot in re.finditer(r"\.", name)]


def _sides(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a number"
