"""Config: the frozen pydantic model of all settings."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from refseg.errors import shortened, shown

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


def one_line(error: ValidationError) -> str:
    """Formats all errors of a config as "field: reason", joined by semicolons.

    >>> from refseg.config import Config
    >>> class Oven(Config):
    ...     degrees: int
    >>> try:
    ...     Oven(degrees="hot", door=1)
    ... except ValidationError as error:
    ...     print(one_line(error))
    degrees: input should be a valid integer, unable to parse string as an integer (got 'hot'); door: unknown field
    """
    errors = error.errors(include_url=False)
    places = [one["loc"] for one in errors[:_MAX_SEARCHED]]
    faults = [_one(one) for one in errors[:_MAX_SEARCHED] if not any(_holds(one["loc"], place) for place in places)]
    more = len(faults) - _MAX_REPORTED + max(len(errors) - _MAX_SEARCHED, 0)
    return "; ".join([*faults[:_MAX_REPORTED], f"and {more} more"] if more > 0 else faults)


def _holds(outer: tuple[int | str, ...], place: tuple[int | str, ...]) -> bool:
    """Whether a place lies within another, whose error it then causes."""
    return len(outer) < len(place) and place[: len(outer)] == outer


def _one(error: ErrorDetails) -> str:
    where = shortened(".".join(str(part) for part in error["loc"][:9]), 100) or "value"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    if error["type"] == "missing":
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    given = shown(error["input"], 40)
    return f"{where}: {message[:1].lower()}{message[1:]} (got {given})".replace("\n", " ")
