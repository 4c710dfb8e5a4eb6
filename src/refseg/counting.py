"""Numbers with their nouns."""


def counted(number: int, noun: str, of: int | None = None) -> str:
    """Formats a number of things, with thousands set apart.

    Args:
        number: how many there are.
        noun: the thing, in the singular.
        of: number of all, of which these are some.

    >>> counted(1, "answer"), counted(1200, "box"), counted(0, "query"), counted(1, "image", of=3)
    ('1 answer', '1,200 boxes', '0 queries', '1 of 3 images')
    """
    things = noun if (number if of is None else of) == 1 else plural(noun)
    return f"{number:,} {things}" if of is None else f"{number:,} of {of:,} {things}"


def another(setting: str) -> str:
    """Names another value of a setting, whose name may be a plural.

    >>> another("threshold"), another("expressions")
    ('another threshold', 'other expressions')
    """
    return f"{'other' if setting.endswith('s') else 'another'} {setting}"


def plural(noun: str) -> str:
    """Returns the plural of a regular noun.

    >>> plural("mask"), plural("box"), plural("query"), plural("day")
    ('masks', 'boxes', 'queries', 'days')
    """
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
