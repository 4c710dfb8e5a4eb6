"""The page of all commands: what `--help` prints of each."""

import os
from collections.abc import Iterator
from typing import Any

INTRODUCTION = """# Commands

What `refseg COMMAND --help` prints. What you got wrong is told in one line, with exit code 2, and nothing is written;
after Ctrl-C the exit code is 130. `refseg --install-completion` makes the shell complete names.
"""
WIDTH = "100"


def page() -> str:
    """Returns the page as Markdown."""
    os.environ |= {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    from typer.main import get_command

    from refseg.cli import app

    parts = [INTRODUCTION]
    for name, command in _all(get_command(app), "refseg"):
        parts.append(f"## {name}\n\n```text\n{_help(command, name)}\n```\n")
    return "\n".join(parts)


def _all(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _all(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def _help(command: Any, name: str) -> str:
    with command.make_context(name, [], resilient_parsing=True) as context:
        return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
