"""The help of commands: plain text, usage lines in one style, and examples at the end."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from refseg.commands.examples import EXAMPLES

WIDTH = 100  # of the help, at most
TYPED = "refseg.typed"
"""In the `meta` of a command's context: names of its options in the order in which they are typed, each time."""


class Command(TyperCommand):
    """A command whose arguments are in capitals and whose help ends with its examples, a line each."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        for parameter in self.params:
            if parameter.param_type_name == "argument" and parameter.metavar is None and parameter.name:
                parameter.metavar = parameter.name.upper().rstrip("_")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments, and notes the names of the options in the order in which they are typed."""
        *_, typed = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[TYPED] = [parameter.name for parameter in typed]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the parts of the usage line: NAME of an argument that is needed, [NAME] of one that is not."""
        pieces = ["[OPTIONS]"]
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                name = str(parameter.metavar)
                name += "..." if parameter.nargs != 1 and not name.endswith("...") else ""
                pieces.append(name if parameter.required or name.startswith("[") else f"[{name}]")
        return pieces

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the examples as they are typed."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def create_app(help: str, **settings: Any) -> typer.Typer:
    """Creates a group of commands with plain help: markup would take what is between brackets for a style."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": WIDTH},
        **settings,
    )


def add_command(app: typer.Typer, function: Callable[..., Any], name: str, group: str = "") -> None:
    """Adds a command with its examples.

    Args:
        app: the group.
        function: the command.
        name: of the command.
        group: name of the group, "" for `refseg` itself.
    """
    examples = EXAMPLES[f"{group} {name}".strip()]
    app.command(name, cls=Command, epilog="\n".join(examples), context_settings={"max_content_width": WIDTH})(function)
