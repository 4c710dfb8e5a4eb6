"""What users are told: one line that says what was given, what is allowed, and the way out.

The command line prints these without a traceback and exits with code 2.
"""


class RefsegError(Exception):
    """Something that the user gave cannot be used; the message is the whole explanation."""


class InvalidInput(RefsegError, ValueError):
    """A value, an expression, an image or a setting that is not allowed."""


class MissingFile(RefsegError, FileNotFoundError):
    """A file or folder that should be there and is not."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnwritableOutput(RefsegError, OSError):
    """A place where results should go and cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0])


def first_line(error: BaseException, limit: int = 120) -> str:
    r"""The first line of an error's message, cut to `limit` letters, or the name of its type if it has none.

    >>> first_line(ValueError("bad magic number\nat offset 0")), first_line(EOFError())
    ('bad magic number', 'EOFError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:limit]


def shown(value: object, limit: int = 100) -> str:
    """What was given, as it is shown in a message: cut to `limit` letters.

    >>> shown("a.b=1"), shown("x" * 200, limit=12), shown(10**5000)
    ("'a.b=1'", "'xxxxxxxx...", 'of type int')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return f"of type {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
