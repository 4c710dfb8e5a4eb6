"""Reading of annotation files, JSON and pickles of plain data; errors name their place."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, first_line, for_caller, option
from refseg.files.names import path_inside
from refseg.files.pickles import read_pickle


def read_plain(path: Path, each: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Reads a .json or .p file.

    Args:
        path: the file.
        each: called with every JSON object when it is complete; its result stands in the object's place, so that a
            large file need not be held as dictionaries.

    Raises:
        MissingFile, InvalidInput: if it is missing, damaged, or asks to run something.
    """
    try:
        if path.suffix.lower() != ".json":
            return read_pickle(path)
        with path.open("rb") as start:
            encoding = json.detect_encoding(start.read(4))  # also by a byte-order mark
        with path.open(encoding=encoding) as file:
            return json.load(file, object_hook=each)
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    except InvalidInput as error:
        raise error if str(path) in str(error) else InvalidInput(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise InvalidInput(f"{path} is damaged or not JSON ({first_line(error)}); download it again") from error
    except (TypeError, KeyError, AttributeError, OverflowError) as error:  # of `each`
        raise InvalidInput(f"{path} is not as its format says ({first_line(error)})") from error


def entries(path: Path, content: Any, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the entries of a list of dicts with their places for messages.

    Raises:
        InvalidInput: if it is not such a list.
    """
    if not isinstance(content, list):
        raise InvalidInput(f"{path} holds a {type(content).__name__}, not a list of {what}")
    for number, entry in enumerate(content):
        if not isinstance(entry, dict):
            raise InvalidInput(f"{path}: {what} {number} is a {type(entry).__name__}, not a dict")
        yield f"{path}: {what} {number}", entry


@contextmanager
def error_context(place: str) -> Iterator[None]:
    """Adds the place to errors of entries that are not in their format.

    Raises:
        InvalidInput: with the place in front.
    """
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from error
    except KeyError as error:
        raise InvalidInput(f"{place} has no {first_line(error)}") from error
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise InvalidInput(f"{place} is not as the format says ({first_line(error)})") from error


class ErrorCollector:
    """Errors of many places, raised as one."""

    SHOWN = 3

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def collect(self, place: str) -> Iterator[None]:
        """Collects an error of this place."""
        try:
            with error_context(place):
                yield
        except InvalidInput as error:
            self._found.append(str(error))

    def raise_if_any(self, path: Path) -> None:
        """Raises InvalidInput if there were errors; the first are named, the others counted."""
        if self._found:
            others = len(self._found) - self.SHOWN
            more = f"; and {others:,} more" if others > 0 else ""
            raise InvalidInput(f"{path}: {'; '.join(self._found[: self.SHOWN])}{more}")


def count_of(places: Sequence[str], total: int, what: str, named: int = 3) -> str:
    """Says how many of all lines, rows, ... have something, and which are the first.

    >>> count_of(["line 2"], 3, "line"), count_of(["a", "b", "c", "d"], 9, "row")
    ('1 of 3 lines (line 2) has', '4 of 9 rows (a, b, c, ...) have')
    """
    some = ", ".join(places[:named]) + (", ..." if len(places) > named else "")
    return f"{counted(len(places), what, total)} ({some}) {'has' if len(places) == 1 else 'have'}"


def parse_coco_id(file: str) -> int:
    """Returns the COCO id in a photograph's file name; -1 if it is not named as COCO names them.

    >>> parse_coco_id("COCO_train2014_000000581857.jpg"), parse_coco_id("000000000025.jpg"), parse_coco_id("desk.jpg")
    (581857, 25, -1)
    """
    found = re.search(r"(?:^|[/_])(\d{12})\.\w+$", file)
    return int(found[1]) if found else -1


def root_option(path: Path) -> str:
    """Names the options that say where a data set is.

    >>> root_option(Path("data/refcoco"))
    "root='data/refcoco'"
    """
    training = for_caller(f" (of a training --set data.settings.root={path})", "")
    return f"{option('root', path)}{training}"


def find_folder(name: str, folder: str, anchor: str, root: str | Path | None) -> Path:
    """Returns the folder of a data set: `root`, or $REFSEG_DATA/<folder>.

    Args:
        name: of the data set.
        folder: its usual name.
        anchor: its section of docs/datasets.md.
        root: what the user gave.

    Raises:
        MissingFile: if it is not there, cannot be entered, or is not given.
    """
    if root is None:
        home = os.environ.get("REFSEG_DATA")
        if home is None:
            example = root_option(Path("data") / folder)
            raise MissingFile(
                f"it is not known where {name} is; give its folder, such as {example}, or set REFSEG_DATA to the "
                f"folder that holds {folder}; docs/datasets.md#{anchor} says where to get it"
            )
        root = Path(home) / folder
    path = expand_user(root)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFile(f"{path} is missing; docs/datasets.md#{anchor} says where to get {name}") from error
    except (OSError, ValueError) as error:
        another = f"give another folder as {option('root')}"
        raise MissingFile(f"{path} cannot be read ({first_line(error)}); {another}") from error
    return path


def expand_user(path: str | Path) -> Path:
    """Expands ~ or ~USER in a path.

    Raises:
        InvalidInput: if there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInput(f"{path} cannot be a path ({first_line(error)}); give the whole path") from error


def list_files(folder: Path, *endings: str) -> list[Path]:
    """Lists the files of a folder of a data set with these endings, in either case, sorted by name.

    Raises:
        InvalidInput: if one of them is a link that leads out of the folder.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in endings)
    return [path_inside(folder, path.name) if path.is_symlink() else path for path in files]


def find_first_file(folder: Path, names: Iterable[str]) -> Path:
    """Returns the first of these names that is a file in the folder, or else the first name."""
    paths = [folder / name for name in names]
    return next((path for path in paths if os.path.isfile(path)), paths[0])


def find_one_file(path: Path, pattern: str) -> Path:
    """Returns the file itself, or the only one of that pattern in the folder.

    Raises:
        InvalidInput: if there is none, or several.
    """
    if os.path.isfile(path):
        return path
    found = sorted(path.glob(pattern))
    if len(found) != 1:
        one = f"give one of them, such as {root_option(found[0])}" if found else f"give another as {option('root')}"
        raise InvalidInput(f"{path} has {counted(len(found), 'file')} {pattern}; {one}")
    return found[0]
