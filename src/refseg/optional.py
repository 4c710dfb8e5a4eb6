"""Optional dependencies: imported where they are used; an error names the extra that installs them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from refseg.errors import InvalidInput


@contextmanager
def importing(purpose: str, extra: str) -> Iterator[None]:
    """Turns the failure of an import in the body into an error that names the extra of this package that is missing.

    Args:
        purpose: what needs the module, such as "training".
        extra: extra of this package that installs it.

    Raises:
        InvalidInput: if a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{purpose} needs {error.name}; install it with: pip install 'refseg[{extra}]'") from error


def check_installed(modules: Iterable[str], purpose: str, extra: str) -> None:
    """Checks that modules of an extra are there, without the time that their import takes.

    Args:
        modules: their names.
        purpose: what needs them.
        extra: extra of this package that installs them.

    Raises:
        InvalidInput: if a module is not installed.

    >>> check_installed(["json", "no_such_module"], "refseg serve", "serve")
    Traceback (most recent call last):
    refseg.errors.InvalidInput: refseg serve needs no_such_module; install it with: pip install 'refseg[serve]'
    """
    with importing(purpose, extra):
        for module in modules:
            if find_spec(module) is None:
                raise ModuleNotFoundError(f"there is no module {module}", name=module)


def import_optional(module: str, need: str, extra: str, remark: str = "") -> Any:
    """Imports a module of an optional dependency.

    Args:
        module: its name.
        need: the reason, as the first half of the error message.
        extra: extra of this package that installs it.
        remark: appended to the command that installs it.

    Raises:
        InvalidInput: if it is not installed.

    >>> import_optional("no_such_module", "plots need it", "plot")
    Traceback (most recent call last):
    refseg.errors.InvalidInput: plots need it; install it with: pip install 'refseg[plot]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{need}; install it with: pip install 'refseg[{extra}]'{remark}") from error
