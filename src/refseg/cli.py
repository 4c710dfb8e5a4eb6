"""The `refseg` command: puts the commands together, and turns whatever the user got wrong into one line.

Nothing here imports torch; each command imports what it needs when it runs.
"""

import os
import sys
from typing import Annotated

import typer

from refseg import __version__
from refseg.commands import (
    calibrate,
    compare,
    convert,
    data,
    demo,
    evaluate,
    explain,
    networks,
    recipes,
    score,
    segment,
    train,
    weights,
)
from refseg.errors import RefsegError

USAGE_ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 1

app = typer.Typer(
    help="Referring segmentation: an image and an expression in, the mask of what it refers to out.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(segment.segment)
app.command()(evaluate.evaluate)
app.command()(score.score)
app.command()(compare.compare)
app.command()(explain.explain)
app.command()(calibrate.calibrate)
app.command()(recipes.recipes)
app.command()(train.train)
app.add_typer(data.app, name="data")
app.command()(convert.convert)
app.add_typer(weights.app, name="weights")
app.command()(networks.networks)
app.command()(demo.demo)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"refseg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs a command; exit code 0 if it went well, 2 if the user can mend it, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # expressions may hold letters that the terminal lacks
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except Exception as error:
        message = explanation(error)
        if message is None:  # our mistake
            raise
        if message:
            print("error:", " ".join(message.split()), file=sys.stderr)
        code = USAGE_ERROR
    sys.exit(code)


def explanation(error: Exception) -> str | None:
    """What the user got wrong, "" if that was said already, None if it is not the user's fault."""
    if isinstance(error, RefsegError):
        return str(error)
    if hasattr(error, "format_message"):  # wrong usage; the class is click's, or that of a copy of click within typer
        message: str = error.format_message().replace("Value error, ", "")
        return message and f"{message} See refseg --help."  # empty where the help has been printed already
    if "pydantic" in sys.modules:
        from pydantic import ValidationError

        from refseg.validation import one_line

        if isinstance(error, ValidationError):
            return one_line(error)
    return None
