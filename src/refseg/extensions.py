"""Networks, data sets, protocols and recipes from outside the package, by name.

Installed packages   entry points of the groups refseg.networks, refseg.datasets, refseg.protocols and refseg.recipes.
Your own file        `path/to/file.py:Name`, given on the command line or to `add_extension`. Data, such as a checkpoint
                     or a recipe.yaml, never name a file that is run: they name what was added before.
"""

import sys
from collections.abc import MutableMapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput, MissingFile, first_line

Table = MutableMapping[str, Any]
"""What is known by name: "module:attribute", which is imported when it is asked for, or the object itself."""


def look_up(table: Table, group: str, name: str) -> Any:
    """Returns the object of this name, from the table or an installed package; None if there is none.

    Args:
        table: names and objects.
        group: of entry points.
        name: to look for.
    """
    value = table.get(name)
    if value is None:
        return next((entry.load() for entry in entry_points(group=group, name=name)), None)
    if isinstance(value, str):
        module, _, attribute = value.partition(":")
        return getattr(import_module(module), attribute)
    return value


def is_extension(name: str) -> bool:
    """Whether this is `path/to/file.py:Name`."""
    return ".py:" in name


def add_extension(table: Table, name: str) -> str:
    """Runs the file of `path/to/file.py:Name`, enters what it calls Name into the table, and returns "Name".

    Any other name is returned as it is.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if the file does not define this name, or cannot be run.
    """
    if not is_extension(name):
        return name
    path, _, attribute = name.rpartition(":")
    module = _import_file(Path(path))
    if not hasattr(module, attribute):
        raise InvalidInput(f"{path} defines no {attribute!r}; give a name that it defines")
    table[attribute] = getattr(module, attribute)
    return attribute


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise MissingFile(f"{path} is missing; give a file that exists")
    path = path.resolve()
    if (known := sys.modules.get(path.stem)) and getattr(known, "__file__", None) == str(path):
        return known
    if path.stem in sys.modules:
        raise InvalidInput(f"{path} has the name of a module that is loaded already; rename the file")
    sys.path.append(str(path.parent))  # for what it imports from beside it, and for worker processes
    try:
        return import_module(path.stem)
    except SyntaxError as error:
        raise InvalidInput(f"{path}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise InvalidInput(
            f"{path} cannot be imported ({type(error).__name__}: {first_line(error)}); mend it"
        ) from error
