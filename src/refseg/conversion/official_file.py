"""Reading and writing of the authors' checkpoint files; no code in them is run.

Most training scripts save one file {model, bert_model, optimizer, lr_scheduler, epoch, args, ...}. Names here carry the
entry in front: "model.backbone...", "bert_model.encoder...".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refseg.conversion.source_file import check_file
from refseg.errors import InvalidInput
from refseg.files.pickles import Foreign
from refseg.files.tensor_files import kind_of, read_saved, unwrapped

_WRAPPER = "module."  # prefix of DistributedDataParallel


@dataclass(frozen=True)
class OfficialCheckpoint:
    """Content of an authors' file.

    Attributes:
        path: the file.
        tensors: tensors of the network and of its word encoder, memory-mapped where possible.
        args: arguments of the training script.
        others: names of entries that are not read, such as the optimizer's state or a path in the arguments.
    """

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, Any]
    others: tuple[str, ...]

    @property
    def image_size(self) -> int | None:
        """Side of the training images; None if the arguments do not say it."""
        size = self.args.get("img_size")
        return size if isinstance(size, int) and size > 0 else None


def read_checkpoint(path: Path, entry: str, bert_prefixes: tuple[str, ...]) -> OfficialCheckpoint:
    """Reads a file of torch.save; arguments as the attributes of `OfficialLayout`.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is damaged, or holds something else than tensors and plain settings.
    """
    which_file = _which_file(entry, bert_prefixes)
    content = load_saved(path, which_file)
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds a {kind_of(content)}, not {{{entry}, ...}}; {which_file}")
    entries = dict.fromkeys([entry, *map(_entry, bert_prefixes)])
    tensors: dict[str, Tensor] = {}
    others: list[str] = []
    for name in entries:
        if name in content:
            found, counted = _tensors(path, name, content[name], which_file)
            tensors |= found
            others += counted
    wordless = bert_prefixes and not any(name.startswith(bert_prefixes) for name in tensors)
    if entry not in content or wordless:
        lacking = _entry(bert_prefixes[0]) if entry in content else entry
        held = ", ".join(map(str, list(content)[:6])) or "nothing"
        raise InvalidInput(f"{path} has no {lacking!r} (it holds {held}); {which_file}")
    args = content.get("args")
    settings = args.state if isinstance(args, Foreign) and args.kind == "argparse.Namespace" else {}
    others += [f"args.{name}" for name, value in settings.items() if isinstance(value, Foreign)]
    others += [str(name) for name in content if name not in (*entries, "args")]
    return OfficialCheckpoint(path=path, tensors=tensors, args=settings, others=tuple(others))


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], entry: str, wrapped: bool) -> None:
    """Writes a file that `read_checkpoint` reads.

    Args:
        path: the file.
        tensors: with the entries in front of their names.
        entry: entry that is there even without tensors.
        wrapped: Whether keys start with "module.".
    """
    content: dict[str, dict[str, Tensor]] = {entry: {}}
    for name, value in tensors.items():
        place, _, key = name.partition(".")
        content.setdefault(place, {})[(_WRAPPER if wrapped else "") + key] = value
    torch.save(content, path)


def load_saved(path: Path, which_file: str) -> Any:
    """Loads a file of torch.save, tensors memory-mapped; code in it is never run.

    Args:
        path: the file.
        which_file: advice on the right file, for errors.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or it is another one.
    """
    check_file(path, which_file)
    return read_saved(path, which_file)


def _tensors(path: Path, entry: str, state: Any, which_file: str) -> tuple[dict[str, Tensor], list[str]]:
    """Returns the tensors of an entry, and the names of a wrapper's counters beside them."""
    if not isinstance(state, Mapping) or not state:
        raise InvalidInput(f"{path}: {entry!r} is not a state dict; {which_file}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise InvalidInput(f"{path}: {entry}.{key} is a {kind_of(value)}, not a tensor; {which_file}")
    tensors, counted = unwrapped({str(key): value for key, value in state.items()})
    return {f"{entry}.{key}": value for key, value in tensors.items()}, [f"{entry}.{name}" for name in counted]


def _which_file(entry: str, bert_prefixes: tuple[str, ...]) -> str:
    bert = f" and its BERT as {_entry(bert_prefixes[0])!r}" if bert_prefixes else ""
    return (
        "give the file that the authors' training script saved: it holds the network as "
        f"{entry!r}{bert} (initial weights of a backbone or of a word encoder alone are not it)"
    )


def _entry(name: str) -> str:
    return name.partition(".")[0]
