"""Config: the frozen pydantic model of all settings."""

from collections.abc import Iterator
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from refseg.errors import did_you_mean, shortened, shown

Channels = Annotated[int, Field(ge=1, le=16_384)]
"""Channels, or another dimension of a tensor."""
Repeats = Annotated[int, Field(ge=1, le=256)]
"""Number of heads, words or frames."""
Layers = Annotated[int, Field(ge=0, le=256)]
"""Number of layers or blocks; 0 is allowed."""


class Config(BaseModel):
    """Validated, frozen settings; unknown fields and NaN are refused, all errors are reported at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """Returns a validated copy with these fields changed."""
        return type(self).model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


_MAX_REPORTED, _MAX_SEARCHED = 10, 200  # errors, of which a file may have any number


def one_line(error: ValidationError, model: type[BaseModel] | None = None, content: Any = None) -> str:
    """Formats all errors of a config as "field: reason", joined by semicolons.

    Args:
        error: what pydantic found.
        model: the config's class, among whose fields those are looked for that an unknown one may have meant.
        content: what was validated; its fields are then named as it names them, items of a list by their own names.

    >>> from refseg.config import Config
    >>> class Oven(Config):
    ...     degrees: int
    >>> try:
    ...     Oven(degrees=None, degree=1)
    ... except ValidationError as error:
    ...     print(one_line(error, Oven))
    degrees: input should be a valid integer (got None); degree: unknown field, did you mean degrees?
    >>> class Kitchen(Config):
    ...     ovens: list[Oven]
    >>> kitchen = {"ovens": [{"name": "small", "degrees": "hot"}]}
    >>> try:
    ...     Kitchen.model_validate(kitchen)
    ... except ValidationError as error:
    ...     print(one_line(error, Kitchen, kitchen))
    ovens.small.degrees: input should be a valid integer (got 'hot'); ovens.small.name: unknown field
    """
    errors = error.errors(include_url=False)
    places = [one["loc"] for one in errors[:_MAX_SEARCHED]]
    faults = [
        _one(one, model, content)
        for one in errors[:_MAX_SEARCHED]
        if not any(_holds(one["loc"], place) for place in places)
    ]
    more = len(faults) - _MAX_REPORTED + max(len(errors) - _MAX_SEARCHED, 0)
    return "; ".join([*faults[:_MAX_REPORTED], f"and {more} more"] if more > 0 else faults)


def _holds(outer: tuple[int | str, ...], place: tuple[int | str, ...]) -> bool:
    """Whether a place lies within another, whose error it then causes."""
    return len(outer) < len(place) and place[: len(outer)] == outer


_ALLOWED = {
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "union_tag_invalid": "unknown {discriminator} {tag!r}; choose one of: {expected_tags}",
    "union_tag_not_found": "say which {discriminator}",
    **dict.fromkeys(["tuple_type", "list_type", "sequence_str"], "give a list"),
    **dict.fromkeys(["dict_type", "model_type", "model_attributes_type"], "give fields with their values"),
}
"""Messages in place of pydantic's that speak of Python's types, by type of error."""


def _one(error: ErrorDetails, model: type[BaseModel] | None, content: Any) -> str:
    names = error["loc"] if content is None else _names(error, content)
    where = shortened(".".join(str(name) for name in names[:9]), 100) or "value"
    if error["type"] == "extra_forbidden":
        unknown = error["loc"][-1]
        others = [name for name in _fields(model, error["loc"]) if name != unknown] if model else []
        meant = did_you_mean(unknown, others)
        return f"{where}: unknown field{', ' if meant else ''}{meant.strip()}"
    if error["type"] == "missing":
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ").split(", unable to ")[0]
    if error["type"] in _ALLOWED:
        message = _ALLOWED[error["type"]].format_map(error.get("ctx", {}))
    names_value = error["type"] in ("value_error", "union_tag_invalid") and isinstance(error["input"], dict)
    given = "" if names_value else f" (got {shown(error['input'], 40)})"
    if not message[1:2].isupper():  # a name, such as VLT
        message = f"{message[:1].lower()}{message[1:]}"
    return f"{where}: {message}{given}".replace("\n", " ")


def _names(error: ErrorDetails, content: Any) -> list[int | str]:
    """Returns the place of an error in the content, without kinds that were chosen, which are no fields."""
    names: list[int | str] = []
    for depth, part in enumerate(error["loc"]):
        if isinstance(content, dict) and part in content:
            content, name = content[part], part
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
            own = content.get("name", content.get("label")) if isinstance(content, dict) else None
            name = own if isinstance(own, str) else part
        elif error["type"] == "missing" and depth == len(error["loc"]) - 1:
            name = part
        else:
            continue
        names.append(name)
    return names


def _fields(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Returns the fields of what lies at the place of an error; of all forms that it may have."""
    there = [model]
    for part in place[:-1]:
        fields = [outer.model_fields[str(part)] for outer in there if part in outer.model_fields]
        inner = [one for field in fields for one in _models(field.annotation)]
        there = inner or there  # a position, a name of a part, or the kind that was chosen
    return list(dict.fromkeys(name for one in there for name in one.model_fields))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
