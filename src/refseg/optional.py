"""Optional dependencies: imported where they are used; an error names the extra that installs them."""

from importlib import import_module
from typing import Any

from refseg.errors import InvalidInput


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
