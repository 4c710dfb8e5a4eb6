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
        stamp: size in bytes and time of change in nanoseconds of the file that was read.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from refseg import load, load_dataset
        >>> from PIL import Image
        >>> scene = load_dataset("drawn_scenes", split="test", count=1)[0]
        >>> with TemporaryDirectory() as folder:
        ...     Image.fromarray(scene.image).save(f"{folder}/scene.png")
        ...     (result,) = load().many(folder, [scene.expressions[0].text])
        >>> result.path.name, result.row, result.found
        ('scene.png', {}, True)
    """

    name: str = ""
    path: Path = Path()
    row: Mapping[str, Any] = field(default_factory=dict)
    stamp: tuple[int, int] = (0, 0)

    @property
    def _place(self) -> str:
        return f", {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON; columns of the table do not replace anything."""
        answer = super().to_dict()
        return {"image": self.name, "expression": self.expression, **self.row, **answer}
