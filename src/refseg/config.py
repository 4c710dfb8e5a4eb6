"""Config: the frozen pydantic model that every setting of the project is made of."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

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
