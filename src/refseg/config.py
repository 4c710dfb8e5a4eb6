"""Config: the frozen pydantic model that every setting of the project is made of."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Settings that cannot change after they were checked; unknown fields are refused, all errors come at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed, checked again."""
        return type(self).model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})
