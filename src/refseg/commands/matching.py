"""Names of a list that a user's word or pattern stands for."""

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from refseg.errors import InvalidInput, did_you_mean, shown

NAMED = 12  # names that an error lists


def match(pattern: str, names: Iterable[str], what: str) -> list[str]:
    """Returns the names that a pattern ("lavt*") matches, or without wildcards the one of that name, else all with it.

    Args:
        pattern: what the user gave.
        names: all there are.
        what: what they are, in the plural, for errors.

    Raises:
        InvalidInput: if there is none.

    >>> match("lavt*", ["lavt_one", "dmmi"], "networks"), match("one", ["lavt_one", "dmmi"], "networks")
    (['lavt_one'], ['lavt_one'])
    """
    names = list(names)
    if pattern in names:
        return [pattern]
    wild = any(letter in pattern for letter in "*?[")
    found = [name for name in names if (fnmatchcase(name, pattern) if wild else pattern in name)]
    if not found:
        near = get_close_matches(pattern, names, n=NAMED) or names[:NAMED]
        more = ", ..." if len(near) < len(names) else ""
        meant = did_you_mean(pattern, names)
        raise InvalidInput(f"no {what} match {shown(pattern)}; {meant}choose one of: {', '.join(near)}{more}")
    return found
