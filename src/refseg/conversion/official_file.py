"""The authors' checkpoint files to ours and back, tensor by tensor.

A release is one file {model, bert_model, optimizer, lr_scheduler, epoch, args, ...} as the training scripts of most
networks save it; a layout's file says where another one differs. Names here carry the entry in front:
"model.backbone...", "bert_model.encoder...".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from refseg.conversion.official_layout import option
from refseg.errors import InvalidInput, MissingFile
from refseg.files.pickles import Foreign
from refseg.files.tensor_files import kind_of, read_saved, unwrapped


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


def _which_file(conversion: str) -> str:
    words: tuple[str, ...] = option(conversion, "WORDS")
    theirs = f" and its BERT as {_entry(words[0])!r}" if words else ""
    return (
        "give the file that the authors' training script saved: it holds the network as "
        f"{option(conversion, 'MODEL')!r}{theirs} (initial weights of a backbone or of a word encoder alone are not it)"
    )


def _entry(name: str) -> str:
    return name.partition(".")[0]
