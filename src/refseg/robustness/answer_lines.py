"""The file of a system's answers, a line an image, which grows as images are answered."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from refseg.files.resumable import ResumableLines
from refseg.robustness.answers import ImageLine


class AnswerLines(ResumableLines):
    """Lines of one system in a folder of their own.

    Attributes:
        done: numbers of the images that are answered.
    """

    kind = "answers about robustness"

    def __init__(self, folder: Path, run: Mapping[str, Any]):
        """Reads what an earlier run left; errors as of `ResumableLines`."""
        self.done: set[int] = set()
        super().__init__(folder, run)

    @override
    def note(self, line: Any) -> None:
        self.done.add(int(line["image"]))
        super().note(line)

    def images(self) -> Iterator[ImageLine]:
        """Yields the answers image after image."""
        return map(ImageLine.of, self)


class MemoryLines:
    """The same for a run that writes nothing.

    Attributes:
        done: as of `AnswerLines`.
    """

    def __init__(self) -> None:
        self.done: set[int] = set()
        self._lines: list[ImageLine] = []

    def write(self, line: Any) -> None:
        """Adds a line."""
        image = ImageLine.of(line)
        self.done.add(image.number)
        self._lines.append(image)

    def images(self) -> Iterator[ImageLine]:
        """Yields the answers image after image."""
        return iter(self._lines)
