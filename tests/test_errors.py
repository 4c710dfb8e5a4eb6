"""Errors name the way out as the caller writes it, with nothing in it that has to be filled in."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import refseg
from refseg.cli import main
from refseg.errors import RefsegError
from refseg.recipes import find_recipe

PACKAGE = Path(refseg.__file__).parent
FOR_CALLER = {"for_caller", "option", "setting"}
OPTION = re.compile(r"(?<![\w-])--[a-z]")
PLACEHOLDER = re.compile(r"\b(FOLDER|RUN|RECIPE|ROOT|FILE|NAME|VALUE|OLD|NEW|OUT)\b|[= ]N\b")


def messages(tree: ast.AST) -> Iterator[str]:
    """The texts in what is raised, without what is said by `for_caller`; values as "{}"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from texts(node.exc)


def texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FOR_CALLER:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


FILES = [(file, ast.parse(file.read_text(encoding="utf-8"))) for file in sorted(PACKAGE.rglob("*.py"))]


def test_errors_of_the_library_name_options_only_by_what_knows_the_caller():
    library = [(file, tree) for file, tree in FILES if file.relative_to(PACKAGE).parts[0] not in ("commands", "cli.py")]
    named = [(file.name, text) for file, tree in library for text in messages(tree) if OPTION.search(text)]
    assert [(file, text) for file, text in named if not re.search("(refseg|pip) ", text)] == [], (
        "a whole command may stand there"
    )


def test_no_error_has_a_placeholder():
    found = [(file.name, text) for file, tree in FILES for text in messages(tree) if PLACEHOLDER.search(text)]
    assert found == []


def evaluate_without_a_place():
    refseg.evaluate("selector", "drawn_scenes", masks=True)


def open_without_a_folder():
    refseg.load_dataset("refcoco", split="val")


def set_nothing():
    find_recipe("selector").with_settings(["stages"])


@pytest.mark.parametrize(
    ("call", "command", "python", "typed"),
    [
        (
            evaluate_without_a_place,
            "evaluate selector --masks",
            "masks=True needs a place for them; give out='results'",
            "--masks needs a place for them; give --out results",
        ),
        (
            open_without_a_folder,
            "data stats refcoco --split val",
            "such as root='data/refcoco', or set REFSEG_DATA",
            "such as --root data/refcoco (of a training --set data.settings.root=data/refcoco), or set REFSEG_DATA",
        ),
        (set_nothing, "train selector --set stages", "setting 'stages' has no '='", "--set 'stages' has no '='"),
    ],
)
def test_the_way_out_is_told_as_the_caller_writes_it(call, command, python, typed, monkeypatch, capsys):
    monkeypatch.delenv("REFSEG_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refseg", *command.split()])
    with pytest.raises(SystemExit):
        main()
    assert typed in capsys.readouterr().err
    with pytest.raises(RefsegError) as caught:  # after a command in the same process, too
        call()
    assert python in str(caught.value)
