"""Config: the frozen pydantic model that every setting of the project is made of."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from refseg.errors import shortened, shown

Channels = Annotated[int, Field(ge=1, le=16_384)]
"""Channels, or another length of a tensor."""
Repeats = Annotated[int, Field(ge=1, le=256)]
"""Heads, words, frames: how many there are of something."""
Layers = Annotated[int, Field(ge=0, le=256)]
"""Layers or blocks one after another; none is allowed."""


class Config(BaseModel):
    """Settings, checked once and for all: unknown fields and NaN are refused, all errors come at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed, checked again."""
        return type(self).model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


_TOLD, _SEARCHED = 10, 200  # errors of a file that somebody may have filled with them


def one_line(error: ValidationError) -> str:
    """All errors of a config as "field: what is wrong", joined by semicolons.

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
    places = [one["loc"] for one in errors[:_SEARCHED]]
    told = [_one(one) for one in errors[:_SEARCHED] if not any(_holds(one["loc"], place) for place in places)]
    more = len(told) - _TOLD + max(len(errors) - _SEARCHED, 0)
    return "; ".join([*told[:_TOLD], f"and {more} more"] if more > 0 else told)


def _holds(outer: tuple[int | str, ...], place: tuple[int | str, ...]) -> bool:
    """Does a place lie in another? What is wrong there is why the other is wrong."""
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
