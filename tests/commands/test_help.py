"""Help texts of all commands: nothing is eaten, examples are right, mistakes lead to the right page."""

import inspect
import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from refseg.cli import app, explanation
from refseg.commands.completion import complete_datasets, complete_networks, complete_recipes, complete_weights
from refseg.commands.examples import EXAMPLES


def commands(group: typer.main.TyperGroup, path: tuple[str, ...] = ()) -> dict[str, object]:
    """All commands by name, "data check" among them."""
    found: dict[str, object] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= commands(command, (*path, name)) if inner else {" ".join((*path, name)): command}
    return found


ROOT = typer.main.get_command(app)
COMMANDS = commands(ROOT)


def help_of(name: str) -> str:
    return CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "100"}).output


def words(text: str) -> str:
    return " ".join(text.split())


def test_there_are_examples_for_every_command_and_no_other():
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_text_whole_with_what_is_between_brackets(name):
    shown, command = words(help_of(name)), COMMANDS[name]
    texts = [parameter.help for parameter in command.params if getattr(parameter, "help", None)]
    for text in [*texts, *inspect.cleandoc(command.callback.__doc__).split("\n\n")]:
        # a line may be broken at a hyphen
        assert words(text).replace("- ", "-") in shown.replace("- ", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_usage_is_written_in_one_style(name):
    usage = help_of(name).splitlines()[0]
    argument = r"(\[?[A-Z][A-Z_.\[\] ]*\]?(\.\.\.)?)"
    assert re.fullmatch(rf"Usage: \S+ {name} \[OPTIONS\]( {argument})*", usage), usage


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_its_examples_as_they_are_typed(name):
    lines = [line.strip() for line in help_of(name).rstrip().splitlines()]
    assert lines[-len(EXAMPLES[name]) - 1 :] == ["Examples:", *EXAMPLES[name]]


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_every_example_is_parsed_by_its_command(example, tmp_path, monkeypatch):
    name, program = next(n for n, lines in EXAMPLES.items() if example in lines), shlex.split(example)
    assert program[: 1 + len(name.split())] == ["refseg", *name.split()]
    COMMANDS[name].make_context(name, program[1 + len(name.split()) :])


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        (["evaluate"], "refseg evaluate --help"),
        (["data", "check", "--nope"], "refseg data check --help"),
        (["weights", "get"], "refseg weights get --help"),
        (["segmnet"], "refseg --help"),
    ],
)
def test_a_mistake_leads_to_the_commands_own_help(arguments, page):
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011  # click's class, or that of a copy within typer
        app(arguments, standalone_mode=False)
    assert explanation(caught.value).endswith(f" See {page}")


def complete(*line: str) -> list[str]:
    code = "import sys\nfrom refseg.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    environment = {"_REFSEG_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
    started = f"import sys; sys.argv[0] = 'refseg'\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", started], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (("refseg", "ev"), "evaluate"),
        (("refseg", "evaluate", "sel"), "selector"),
        (("refseg", "data", "check", "refcoc"), "refcocog"),
        (("refseg", "recipes", "cris_refcocog"), "cris_refcocog_umd"),
        (("refseg", "networks", "lavt_swin_b"), "lavt_swin_base"),
        (("refseg", "evaluate", "selector", "--device", "cu"), "cuda"),
    ],
)
def test_the_shell_completes_names_without_torch(line, offered):
    *names, imported = complete(*line)
    assert offered in names and imported == "False"


def test_names_are_completed_from_their_beginning():
    assert complete_datasets("refcoco") == ["refcoco", "refcoco+", "refcocog", "refcoco_m"]
    assert complete_networks("cmpc_video_s") == ["cmpc_video_small"]
    assert complete_recipes("selector_q") == ["selector_quick"]
    assert complete_weights("selector_v") == ["selector_video"]


@pytest.mark.parametrize("asked", [("networks",), ("networks", "cmirnet_swin_base", "--parts"), ("weights", "list")])
def test_tables_keep_their_cells_in_narrow_terminals(asked):
    narrow, wide = (CliRunner().invoke(app, asked, env={"COLUMNS": columns}).output for columns in ("40", "200"))
    assert narrow == wide  # a terminal breaks longer lines itself
