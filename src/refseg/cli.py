"""The `refseg` command: puts the commands together, and turns whatever the user got wrong into one line.

Nothing here imports torch; each command imports what it needs when it runs.
"""

import errno
import os
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Annotated, Any

import typer

from refseg import __version__
from refseg.commands import (
    bench,
    calibrate,
    compare,
    convert,
    data,
    demo,
    evaluate,
    explain,
    export,
    gallery,
    networks,
    recipes,
    robustness,
    score,
    segment,
    serve,
    study,
    train,
    weights,
)
from refseg.commands.help import add_command, create_app
from refseg.commands.stopping import STOPPED, stoppable
from refseg.errors import WAYS_OUT, MissingFile, RefsegError, command_line, first_line, is_out_of_memory, printable

USAGE_ERROR, PIPE_CLOSED = 2, 1
INTERRUPTED = STOPPED + signal.SIGINT

TRACEBACK = "REFSEG_DEBUG"
"""Environment variable; where it is set, the traceback of whatever ends a command is printed before its message."""

app = create_app("Referring segmentation: an image and an expression in, the mask of what it refers to out.")
add_command(app, segment.segment, "segment")
add_command(app, evaluate.evaluate, "evaluate")
add_command(app, score.score, "score")
add_command(app, compare.compare, "compare")
add_command(app, robustness.robustness, "robustness")
add_command(app, gallery.gallery, "gallery")
add_command(app, explain.explain, "explain")
add_command(app, calibrate.calibrate, "calibrate")
add_command(app, recipes.recipes, "recipes")
add_command(app, train.train, "train")
add_command(app, study.study, "study")
app.add_typer(data.app, name="data")
add_command(app, convert.convert, "convert")
add_command(app, export.export, "export")
app.add_typer(weights.app, name="weights")
add_command(app, networks.networks, "networks")
add_command(app, bench.bench, "bench")
add_command(app, demo.demo, "demo")
add_command(app, serve.serve, "serve")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"refseg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    context.with_resource(command_line())
    if _folder_is_gone():  # where libraries end the process before anything can be told
        raise MissingFile("the current folder has been removed; go to another folder and repeat the command")


def main() -> None:
    """Runs a command; the exit code is 0 if it went well and 2 if the user can mend it.

    130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 1 if nobody reads the output any more.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started this: what is opened next would get its place, and what is printed
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # expressions may hold letters that the terminal lacks
    warnings.showwarning = _tell
    with stoppable() as stop:
        try:
            code = _run()
        except BaseException as error:
            if isinstance(error, typer.Abort) and isinstance(
                error.__cause__, EOFError
            ):  # which typer takes for the end of what a user types
                raise error.__cause__ from None
            # after a signal it may be what a library makes of it, or of children that the signal has ended
            if not stop.signal and not isinstance(error, KeyboardInterrupt | typer.Abort):
                raise
            code = INTERRUPTED
        if code == INTERRUPTED:  # typer returns it, too
            _say("terminated" if stop.signal else "interrupted")
            code = STOPPED + (stop.signal or signal.SIGINT)
    sys.exit(code)


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line, without the place in the code."""
    _say(f"warning: {' '.join(str(message).split())}")


def _run() -> int:
    try:
        code: int = app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        _forget_output()
        return PIPE_CLOSED
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # click's, or that of a copy of click within typer
            print(error)
            return USAGE_ERROR
        message = explanation(error)
        if message is None:  # our mistake
            raise
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        try:
            sys.stdout.flush()
        except OSError as unwritten:
            _forget_output()
            message = f"standard output cannot be written ({unwritten.strerror})"
        if message:
            _say(f"error: {' '.join(message.split())}")
        return USAGE_ERROR
    return code


def _say(line: str) -> None:
    with suppress(OSError):
        print(printable(line), file=sys.stderr)


def _forget_output() -> None:
    """Lets what was printed go nowhere, or Python complains of it as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explanation(error: Exception) -> str | None:
    """What the user got wrong, "" if that was said already, None if it is not the user's fault."""
    if isinstance(error, RefsegError):
        return str(error)
    if hasattr(error, "format_message"):  # wrong usage; the class is click's, or that of a copy of click within typer
        message: str = error.format_message().replace("Value error, ", "")
        stop = "" if message.endswith((".", "?")) else "."
        return message and f"{message}{stop} See {_help_page(error)}"  # empty where the help has been printed already
    if "pydantic" in sys.modules:
        from pydantic import ValidationError

        from refseg.config import one_line

        if isinstance(error, ValidationError):
            return one_line(error)
    told = unforeseen(error)
    return told and f"{told} ({TRACEBACK}=1 shows where it came from)"


def _help_page(error: Any) -> str:
    """Returns the command that shows the help of the command that was used wrongly."""
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["refseg", *names, "--help"])


def unforeseen(error: Exception) -> str | None:
    """Returns the line for what system, memory or locale refused and no command foresaw; None for other errors.

    A last net: what is caught here may be a mistake of ours as well.
    """
    if isinstance(error, OSError):
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        told = ": ".join([*names, error.strerror or first_line(error)])
        way_out = WAYS_OUT.get(error.errno or 0)
        return f"{told}; {way_out}" if way_out else told
    if isinstance(error, UnicodeError):
        return f"a text cannot be read or written ({first_line(error)}); save it as UTF-8"
    if isinstance(error, RecursionError):
        return "something given is nested too deep; give it with fewer levels"
    if is_out_of_memory(error):
        return f"there is not enough memory ({first_line(error)}); {WAYS_OUT[errno.ENOMEM]}"
    return None


def _folder_is_gone() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False
