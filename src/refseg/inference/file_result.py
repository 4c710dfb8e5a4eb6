"""Results of many image files: each says which file it is of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg.inference.results import Result


@dataclass(eq=False, repr=False)
class FileResult(Result):
    """The answer to one expression about one image file.

    Attributes:
        name: path of the image as it was given, or as its table says.
        path: path of the image.
        row: further columns of its table.
    """

    name: str = ""
    path: Path = Path()
    row: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON; columns of the table do not replace anything."""
        answer = super().to_dict()
        return {"image": self.name, "expression": self.expression, **self.row, **answer}
