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
