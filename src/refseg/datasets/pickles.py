"""Pickles of plain data, read without ever running what is in them.

A pickle is a program: reading one from the network with `pickle.load` can do anything. The field's refs(...).p hold
lists, dicts, texts and numbers only, which need no import, so every import is refused by name.
"""

import pickle
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from refseg.errors import InvalidInput


class _ForbiddenImport(pickle.UnpicklingError):
    """What the pickle asks for."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise _ForbiddenImport(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _ForbiddenImport("an object outside of the file")


def read_pickle(path: Path) -> Any:
    """Lists, tuples, dicts, texts, bytes, numbers, booleans and None of a pickle, of Python 2 as well.

    Texts that Python 2 wrote as bytes are read as UTF-8, or as Latin-1 where they are not that.

    Raises:
        InvalidInput: if it asks for anything else, or is damaged.
    """
    with path.open("rb") as file:
        try:
            return _load(file, "utf-8")
        except UnicodeDecodeError:
            file.seek(0)
            return _load(file, "latin1")


def _load(file: BinaryIO, encoding: str) -> Any:
    try:
        return _PlainUnpickler(file, encoding=encoding).load()
    except UnicodeDecodeError:
        if encoding == "latin1":  # a text that is not of Python 2, with bytes that are no text
            raise InvalidInput(f"{file.name} is damaged (a text is not UTF-8); download it again") from None
        raise
    except _ForbiddenImport as error:
        raise InvalidInput(
            f"{file.name} wants to run {error}: that is refused, since it may be harmful; a file of refs holds lists, "
            "dicts, texts and numbers only; take it from the data set's own source, or save it again as JSON"
        ) from error
    except Exception as error:  # garbage can make an unpickler fail in any way
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise InvalidInput(f"{file.name} is damaged or not a pickle ({reason}); download it again") from error
