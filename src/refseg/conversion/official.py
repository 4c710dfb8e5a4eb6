"""The authors' checkpoint files to ours and back, tensor by tensor.

A release is one file {model, bert_model, optimizer, lr_scheduler, epoch, args, ...} as the training scripts of most
networks save it; a layout's file says where another one differs. Names here carry the entry in front:
"model.backbone...", "bert_model.encoder...".
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from refseg import networks
from refseg.config import Config
from refseg.conversion import CONVERSIONS, Piece
from refseg.encoders.tokenizer import Tokenizer
from refseg.errors import InvalidInput, MissingFile
from refseg.files.pickles import Foreign
from refseg.files.tensor_files import kind_of, read_saved, unwrapped
from refseg.networks.contract import Network
from refseg.outputs import all_or_nothing
from refseg.preprocessing import photographs

OUR_WORDS = "word_encoder.bert."
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
NEVER_READ = (*POOLER, "embeddings.position_ids")  # of the words' BERT; the positions are counted anew
POOLED = ("cmirnet",)  # their scripts load a BERT with its pooler, the others one without
_SHOWN = 3  # names in a message
_WRAPPER = "module."  # what DistributedDataParallel puts before every key


def _word_pieces(config: Config) -> Tokenizer:
    from refseg.encoders.bert import WordPieces

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
class Release:
    """What an authors' file holds.

    Attributes:
        path: the file.
        tensors: the network's and the words' tensors, mapped from the file where that is possible.
        args: settings of the training script.
        others: names of what is not read, such as the optimizer's state or a path in the settings.
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


@dataclass(frozen=True)
class Report:
    """Key by key, what became of a release.

    Attributes:
        preset: the network that it is.
        taken: our key -> the release's keys.
        aliases: release key -> the key of the same tensor; left out.
        unused: release keys that never act; left out.
        missing, unexpected, misshapen: what does not fit; the last with both shapes in words.
        others: entries of the file, and settings, that were not read.
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
        return len({name for names in self.taken.values() for name in names})

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
            (folder / path.name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_release(conversion: str, path: Path) -> Release:
    """The tensors of an authors' file; code in it is never run.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is no such file, is damaged, or holds something else than tensors and plain settings.
    """
    if read := option(conversion, "read"):
        own: Release = read(path)
        return own
    which_file, model, words = _which_file(conversion), option(conversion, "MODEL"), option(conversion, "WORDS")
    content = load_saved(path, which_file)
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds a {kind_of(content)}, not {{{model}, ...}}; {which_file}")
    entries = dict.fromkeys([model, *map(_entry, words)])
    tensors: dict[str, Tensor] = {}
    others: list[str] = []
    for entry in entries:
        if entry in content:
            found, counted = _tensors(path, entry, content[entry], which_file)
            tensors |= found
            others += counted
    wordless = words and not any(name.startswith(words) for name in tensors)
    if model not in content or wordless:
        lacking = _entry(words[0]) if model in content else model
        held = ", ".join(map(str, list(content)[:6])) or "nothing"
        raise InvalidInput(f"{path} has no {lacking!r} (it holds {held}); {which_file}")
    args = content.get("args")
    settings = args.state if isinstance(args, Foreign) and args.kind == "argparse.Namespace" else {}
    others += [f"args.{name}" for name, value in settings.items() if isinstance(value, Foreign)]
    others += [str(entry) for entry in content if entry not in (*entries, "args")]
    return Release(path=path, tensors=tensors, args=settings, others=tuple(others))


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


def load_saved(path: Path, which_file: str) -> Any:
    """What torch.save wrote, tensors mapped from the file; code in it is never run.

    Args:
        path: the file.
        which_file: the way out, for errors.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it is another one.
    """
    check_file(path)
    return read_saved(path, which_file)


def check_file(path: Path) -> bytes:
    """The first bytes of an authors' file.

    Raises:
        MissingFile, InvalidInput: if there is none, it cannot be read, is empty, or a web page.
    """
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
    return start


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


def _tensors(path: Path, entry: str, state: Any, which_file: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of an entry, and the names of what a wrapper counted beside them."""
    if not isinstance(state, Mapping) or not state:
        raise InvalidInput(f"{path}: {entry!r} is not a state dict; {which_file}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise InvalidInput(f"{path}: {entry}.{key} is a {kind_of(value)}, not a tensor; {which_file}")
    tensors, counted = unwrapped({str(key): value for key, value in state.items()})
    return {f"{entry}.{key}": value for key, value in tensors.items()}, [f"{entry}.{name}" for name in counted]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.shape == b.shape:
        return True  # torch.save wrote them once
    return torch.equal(a, b)


def option(conversion: str, name: str) -> Any:
    """What a layout's file says under this name, or what most releases do."""
    return getattr(_module(conversion), name, OPTIONS[name])


def _module(conversion: str) -> ModuleType:
    if conversion not in CONVERSIONS:
        raise InvalidInput(f"nothing converts {conversion!r}; choose one of: {', '.join(CONVERSIONS)}")
    return import_module(CONVERSIONS[conversion])


def _which_file(conversion: str) -> str:
    words: tuple[str, ...] = option(conversion, "WORDS")
    theirs = f" and its BERT as {_entry(words[0])!r}" if words else ""
    return (
        "give the file that the authors' training script saved: it holds the network as "
        f"{option(conversion, 'MODEL')!r}{theirs} (initial weights of a backbone or of a word encoder alone are not it)"
    )


def _entry(name: str) -> str:
    return name.partition(".")[0]


def _part(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    return (shape[0] // parts, *shape[1:]) if shape else shape


def _whole(shape: tuple[int, ...], piece: Piece) -> tuple[int, ...]:
    stacked = shape[0] * piece.of, *shape[1:]
    return stacked[::-1] if piece.transposed else stacked


def _ends(name: str) -> list[int]:
    """Where the proper prefixes of a dotted name end, shortest first."""
    return [dot.start() for dot in re.finditer(r"\.", name)]


def sides(shape: Iterable[int]) -> str:
    """A shape in words.

    >>> sides((64, 3, 7, 7))
    '64x3x7x7'
    """
    return "x".join(map(str, shape)) or "a number"
