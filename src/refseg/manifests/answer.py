"""A segmenter asked about rows: a line for each image, with its results or the reason why there are none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from refseg import __version__
from refseg.errors import InvalidInput, RefsegError, choose_one, is_out_of_memory, option
from refseg.evaluation.report.provenance import weights_facts
from refseg.inference.prefetch import prefetch_map
from refseg.manifests.places import ImageRoot
from refseg.manifests.rows import ABOUT, Row
from refseg.masks.pictures import PNG_LEVEL
from refseg.preprocessing.images import read_image

if TYPE_CHECKING:
    from refseg.array_types import RgbImage
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter

FileKind = Literal["mask", "overlay"]
FILE_KINDS: tuple[FileKind, ...] = ("mask", "overlay")
"""Kinds of files that are written beside the lines; the lines themselves hold masks as run lengths."""
Answer = Callable[[Iterable[Row], Path], Iterator[dict[str, Any]]]
"""Gives a line for each row; files go into the folder, which it makes."""
_THREADS = 2  # that decode images ahead
_GPU_IMAGES = 16


def about_answers(segmenter: "Segmenter", weights: str, threshold: float | None, crf: bool) -> dict[str, Any]:
    """Returns what answers, as every line says it."""
    facts = weights_facts(weights)
    threshold = threshold or segmenter.checkpoint.calibration.exists_threshold
    values = facts["name"], facts["sha256"], threshold, crf, __version__
    return dict(zip(ABOUT, values, strict=True))


def check_files(files: Sequence[str]) -> None:
    """Raises InvalidInput unless masks and overlays alone are to be written."""
    for kind in files:
        if kind not in FILE_KINDS:
            raise InvalidInput(
                f"{option('format', kind)} is not written of a manifest, whose lines have boxes and run lengths; "
                f"{choose_one(kind, (*FILE_KINDS, 'none'))}"
            )


class SegmenterAnswer:
    """Answers rows by a segmenter; an `Answer`.

    Args:
        segmenter: what answers.
        root: the folder of the images.
        threshold: as of calling a segmenter.
        about: what all lines say.
        files: what is written for each expression.
    """

    def __init__(
        self,
        segmenter: "Segmenter",
        root: ImageRoot,
        threshold: float | None = None,
        about: Mapping[str, Any] | None = None,
        files: Sequence[FileKind] = (),
    ):
        self.segmenter, self.root, self.threshold = segmenter, root, threshold
        self.about, self.files = dict(about or {}), files
        on_cpu = next(segmenter.network.parameters()).device.type == "cpu"
        self._at_once = 1 if on_cpu else _GPU_IMAGES  # on a CPU several are no faster

    def __call__(self, rows: Iterable[Row], folder: Path) -> Iterator[dict[str, Any]]:
        """Yields a line for each row, in their order."""
        read = iter(prefetch_map(self._read, rows, _THREADS))
        while some := list(islice(read, self._at_once)):
            yield from self._lines(some, folder)

    def _read(self, row: Row) -> "tuple[Row, RgbImage | str]":
        """Returns a row with its pixels, or with the reason why there are none."""
        if row.error or row.image is None:
            return row, row.error
        try:
            return row, read_image(row.content if row.content is not None else self.root.image(row.image))
        except RefsegError as error:
            return row, _one_line(error)
        except MemoryError:
            return row, f"image {row.image} needs more memory than there is"

    def _lines(self, some: "Sequence[tuple[Row, RgbImage | str]]", folder: Path) -> Iterator[dict[str, Any]]:
        """Yields the lines of rows whose images are asked together; one by one if memory runs out."""
        images = [(row, pixels) for row, pixels in some if not isinstance(pixels, str)]
        try:
            answers = iter(self._ask(images, folder))
        except Exception as error:
            if not (is_out_of_memory(error) or isinstance(error, RefsegError)):
                raise
            if len(images) > 1:
                for one in some:
                    yield from self._lines([one], folder)
                return
            some = [(row, _one_line(error)) for row, _ in some]
        for row, pixels in some:
            found = {"results": [], "error": pixels} if isinstance(pixels, str) else {"results": next(answers)}
            yield {"row": row.number, "image": row.image, **row.columns, **found, **self.about}

    def _ask(self, images: "Sequence[tuple[Row, RgbImage]]", folder: Path) -> list[list[dict[str, Any]]]:
        """Returns what lines say of each expression about each image."""
        told = [[self._fault(expression) for expression in row.expressions] for row, _ in images]
        places = [[k for k, one in enumerate(lines) if "error" not in one] for lines in told]
        asked = [[row.expressions[k] for k in some] for (row, _), some in zip(images, places, strict=True)]
        left = [iter(some) for some in places]
        for i, result in self.segmenter.ask_batch([pixels for _, pixels in images], asked, self.threshold):
            k = next(left[i])  # a result at a time, since masks take memory
            line = {**result.to_dict(), "boxes": [list(box) for box in result.boxes]}
            if self.files:
                line["files"] = list(self._write(images[i][0], k, result, folder))
            told[i][k] = line
        return told

    def _fault(self, expression: str) -> dict[str, Any]:
        """Returns what a line says of an expression that the network cannot read; {} of others."""
        try:
            self.segmenter.check([expression], None)
        except RefsegError as error:
            return {"expression": expression, "error": _one_line(error)}
        return {}

    def _write(self, row: Row, number: int, result: "Result", folder: Path) -> Iterator[str]:
        """Writes the files of a result; yields their names, as seen from the folder of the answers."""
        folder.mkdir(exist_ok=True)
        for kind in self.files:
            name = f"{row.number:09d}-{number}.{kind}.png"
            mask = Image.fromarray(result.mask.astype("uint8") * 255) if kind == "mask" else result.picture()
            mask.save(folder / name, compress_level=PNG_LEVEL)
            yield f"{folder.name}/{name}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
