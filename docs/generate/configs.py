"""The page of all settings: every field of every config, with the comment that stands beside it in the code."""

import ast
import inspect
import re
import tokenize
from collections.abc import Mapping
from io import StringIO
from typing import Any

from pydantic import BaseModel

INTRODUCTION = """# Settings

Every field of every config, as the code has them: `--set config.FIELD=VALUE` of `refseg train` changes one of a
network, `--set stages.NAME.FIELD=VALUE` one of a stage. Fields that are unknown, and values that are not allowed, are
refused before anything is made, all at once.
"""


def page() -> str:
    """Returns the page as Markdown."""
    parts = [INTRODUCTION]
    for title, models in groups().items():
        parts.append(f"## {title}\n")
        parts += [_section(model) for model in models]
    return "\n".join(parts)


def groups() -> Mapping[str, list[type[BaseModel]]]:
    """Returns the configs, by what they are of."""
    from refseg.encoders import configs as encoders
    from refseg.networks import NETWORKS, network_class
    from refseg.preprocessing import transform
    from refseg.recipes import recipe, schedules

    networks = [inspect.get_annotations(network_class(name), eval_str=True)["config"] for name in NETWORKS]
    return {
        "Recipes": [*_models(recipe), *_models(schedules)],
        "Images to a network's input": _models(transform),
        "Encoders": _models(encoders),
        "Networks": [model for config in networks for model in (*_parts(config, networks), config)],
    }


def _models(module: Any) -> list[type[BaseModel]]:
    """Returns the configs that a module defines, in its order."""
    found = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, BaseModel)]
    return [one for one in found if one.__module__ == module.__name__ and one.model_fields]


def _parts(config: type[BaseModel], networks: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """Returns the configs of parts of a network that are defined beside its own."""
    return [one for one in _models(inspect.getmodule(config)) if one not in networks]


def _section(model: type[BaseModel]) -> str:
    said, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("\nAttributes:\n")
    head = [
        f"### {model.__name__}\n",
        f"{_escaped(said.strip())}\n",
        "| field | type | default | what it is |",
        "|---|---|---|---|",
    ]
    rows = {}  # by name; a field that is declared again keeps its place
    comments = _comments(model)
    for names, text in re.findall(r"^    ([\w, ]+): (.+(?:\n {8}.+)*)", attributes, re.M):
        for name in names.split(", "):
            kind, comment = comments.get(name, ("", ""))
            comments[name] = kind, "; ".join(filter(None, (_prose(" ".join(text.split())).rstrip("."), comment)))
    for owner in reversed(model.__mro__):
        if not (issubclass(owner, BaseModel) and "__annotations__" in vars(owner)):
            continue
        for name, (kind, comment) in (comments if owner is model else _comments(owner)).items():
            if name in model.model_fields:
                rows[name] = f"| `{name}` | `{kind}` | {_default(model.model_fields[name])} | {comment} |"
    return "\n".join([*head, *rows.values()]) + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        given = ", ".join(f"{name}={getattr(value, name)!r}" for name in sorted(value.model_fields_set))
        value = f"{type(value).__name__}({given})"
        return f"`{_cell(value)}`"
    return f"`{_cell(repr(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    """Returns a text whose brackets are no links."""
    return text.replace("[", "\\[")


def _prose(text: str) -> str:
    """Returns a comment for a cell; brackets in it are no links."""
    return _cell(_escaped(text))


def _comments(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Returns type and comment of each field as the code writes them."""
    if model.__module__.startswith("pydantic"):
        return {}
    source = inspect.cleandoc("\n" + inspect.getsource(model))
    beside: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("# type:"):
            place = alone if not token.line[: token.start[1]].strip() else beside
            place[token.start[0]] = token.string.lstrip("# ")
    found = {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    for line in body.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            said = [beside[number] for number in range(line.lineno, (line.end_lineno or 0) + 1) if number in beside]
            found[line.target.id] = _cell(ast.unparse(line.annotation)), _prose("; ".join(said))
    return found
