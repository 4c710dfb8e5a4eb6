"""Recognises files of official releases by the names of their tensors; nothing in a file is run."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from refseg.errors import RefsegError
from refseg.files.archives import member_names


class Marks(NamedTuple):
    """Names of tensors that a layout's files have and others have not.

    Attributes:
        entry: entry of the file that holds the network; "" where names are searched in an archive of arrays.
        names: of tensors within it.
    """

    entry: str
    names: tuple[str, ...]


MARKS = {
    "dmmi": Marks("model", ("classifier.lan_func.conv1.weight", "contrastive.align_lan.0.weight")),
    "cmirnet": Marks("model", ("cmae.linear_x_aspp.0.weight",)),
    "lavt": Marks("model", ("classifier.conv1_4.weight", "backbone.layers.0.fusion.image_lang_att.f_query.0.weight")),
    "cris": Marks("state_dict", ("proj.txt.weight",)),
    "cmpc": Marks("", ("words_parse_2/DW",)),
}
"""By name of the conversion: `refseg.conversion.CONVERSIONS` has the same names."""

MORE = {"cmpc": " --vocabulary vocabulary.txt"}
"""Further options that a conversion needs, as they are typed."""


def recognise(path: Path) -> str | None:
    """Returns the name of the conversion that a file is for; None if it is none of an official release.

    Raises:
        MissingFile, InvalidInput: if it cannot be read, is damaged, or holds code.
    """
    arrays = _array_names(path)
    content: Any = None
    if arrays is None:
        from refseg.files.tensor_files import read_saved

        content = read_saved(path, "give a file of an official release")
    for name, marks in MARKS.items():
        if not marks.entry:
            found = arrays is not None and all(any(mark in array for array in arrays) for mark in marks.names)
        else:
            found = set(marks.names) <= _tensor_names(content, marks.entry)
        if found:
            return name
    return None


def conversion_command(path: Path) -> str | None:
    """Returns the command that converts a file of an official release; None for other files."""
    try:
        name = recognise(path)
    except RefsegError:
        return None
    return name and command_for(name, path)


def command_for(name: str, path: Path, out: Path | None = None) -> str:
    """Returns the command that converts a file, by default to a new folder of the file's name.

    >>> command_for("lavt", Path("my files/refcoco.pth"))
    "refseg convert lavt 'my files/refcoco.pth' --out refcoco"
    """
    folder = out or Path(path.stem)
    if out is None and folder.exists():
        folder = Path(f"{path.stem}_weights")
    return f"refseg convert {name} {shlex.quote(str(path))} --out {shlex.quote(str(folder))}{MORE.get(name, '')}"


def _array_names(path: Path) -> list[str] | None:
    """Returns the names of the arrays of a .npz; None for other files."""
    try:
        names = member_names(path)
    except (OSError, ValueError):
        return None
    return names if names and all(name.endswith(".npy") for name in names) else None


def _tensor_names(content: Any, entry: str) -> set[str]:
    from refseg.files.tensor_files import unwrapped

    state = content.get(entry) if isinstance(content, dict) else None
    return set(unwrapped({str(key): value for key, value in state.items()})[0]) if isinstance(state, Mapping) else set()
