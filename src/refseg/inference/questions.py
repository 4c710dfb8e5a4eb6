"""Questions about image files: paths, globs, folders and tables to images and expressions, one after the other."""

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, first_line, for_caller, option, shown
from refseg.files.names import path_inside
from refseg.files.text import read_table
from refseg.video.folder import ENDINGS, natural_sort_key

IMAGE_ENDINGS = (*ENDINGS, ".jfif", ".gif", ".avif", ".jp2", ".mpo", ".heic", ".heif")
"""Endings of the photographs of a folder; those that cannot be read are told, not passed over."""
TABLES = ".csv", ".jsonl"
MAX_GROUP = 64  # expressions about an image that are in memory together
_COLUMNS = "image", "expression"
_EXAMPLE = "for example: image,expression"


@dataclass(frozen=True)
class Question:
    """An expression about an image file.

    Attributes:
        image: path, as it was given or as its table says.
        expression: the expression.
        row: further columns of its table.
        root: folder that the path is relative to and must not leave; None for paths from the user.
    """

    image: str
    expression: str
    row: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None

    def path(self) -> Path:
        """Returns the path of the image; raises InvalidInput if it leaves the folder of its table.

        An absolute path may lead into that folder: who names "/data" allows all that lies there.
        """
        if self.root is None:
            return Path(self.image)
        inside = _within(self.image, self.root)
        if inside is None:
            raise InvalidInput(
                f"image {shown(self.image, 80)} is absolute and not in {self.root}, where paths of its table start; "
                f"give the folder that it lies in: {_option_images(Path(self.image).parent)}"
            )
        return path_inside(self.root, inside, "image")


def questions(
    images: "str | Path | Iterable[str | Path | Question | Mapping[str, Any]]",
    expressions: Sequence[str] | None = None,
    root: str | Path | None = None,
) -> Iterable[Question]:
    """Returns the questions about images, lazily; they may be iterated again unless `images` is an iterator.

    Args:
        images: with expressions, a path, a glob, a folder, or an iterable of these; without, a table
            (`QuestionTable`), or an iterable of rows with "image" and "expression".
        expressions: what is asked about each image.
        root: folder of the table's paths; that of the table if not given.

    Raises:
        MissingFile, InvalidInput: if a table cannot be read.
    """
    if expressions is not None:
        return _EachImage(images, expressions)
    if not isinstance(images, str | Path):
        return _Rows(images)
    if Path(images).suffix.lower() in TABLES:
        return QuestionTable(Path(images), Path(root) if root is not None else None)
    raise InvalidInput(
        f"what to find in {images} is not said; give expressions=[...], or a table of {' or '.join(TABLES)}"
    )


def group_by_image(asked: Iterable[Question]) -> Iterator[list[Question]]:
    """Yields successive questions about one image together, at most `MAX_GROUP`.

    >>> asked = [Question("a.jpg", "the cup"), Question("a.jpg", "the pen"), Question("b.jpg", "the cup")]
    >>> [len(group) for group in group_by_image(asked)]
    [2, 1]
    """
    for _, group in groupby(asked, key=lambda question: (question.root, question.image)):
        part: list[Question] = []
        for question in group:
            part.append(question)
            if len(part) == MAX_GROUP:
                yield part
                part = []
        if part:
            yield part


def find_images(images: str | Path | Iterable[str | Path]) -> Iterator[Path]:
    """Yields the paths of images; whether a file can be read is not checked.

    Args:
        images: a file; a folder, whose images come in natural order, without those of its own folders; a glob (text
            with *, ? or [ that is no file itself; ** is any number of folders); or an iterable of these.

    Raises:
        MissingFile, InvalidInput: if a glob matches nothing, or a folder holds no image.
    """
    for one in [images] if isinstance(images, str | Path) else images:
        if os.path.isdir(one):
            yield from _images_of(Path(one))
        elif isinstance(one, str) and is_glob(one):
            yield from _matches(one)
        else:
            yield Path(one)


def is_glob(text: str) -> bool:
    """Whether a text is a pattern, and not the path of a file that is there."""
    return glob.has_magic(text) and not os.path.lexists(text)


class QuestionTable:
    """A table of images and expressions: .csv with a head, or .jsonl with an object a line; further columns are kept.

    Args:
        file: the table, in UTF-8.
        root: folder of its paths, that of the table if not given.

    Attributes:
        columns: its further columns.

    Raises:
        MissingFile, InvalidInput: if it cannot be read, with the line.
    """

    def __init__(self, file: Path, root: Path | None = None):
        self.file, self.root = file, root if root is not None else file.parent
        self.columns: set[str] = set()
        if file.suffix.lower() not in TABLES:
            raise InvalidInput(f"{file} is no table; give a file that ends in {' or '.join(TABLES)}")
        if not os.path.isdir(self.root):
            raise MissingFile(f"{self.root} is not a folder; give the folder that the paths of {file} start from")
        empty, outside = True, set[str]()
        for question in self:
            empty = False
            self.columns.update(question.row)
            outside.add("" if _within(question.image, self.root) else os.path.dirname(question.image))
        if empty:
            raise InvalidInput(f"{file} has no row; give one for each image and expression, {_EXAMPLE}")
        if "" not in outside:
            raise InvalidInput(
                f"the images of {file} are absolute paths, none of them in {self.root}; give the folder that they lie "
                f"in: {_option_images(Path(os.path.commonpath(outside)))}"
            )

    def __iter__(self) -> Iterator[Question]:
        """Yields a question for each row."""
        rows = _csv_rows(self.file) if self.file.suffix.lower() == ".csv" else _json_rows(self.file)
        for place, row in rows:
            yield _question(row, place, self.root)


@dataclass(frozen=True)
class _EachImage:
    images: Any
    expressions: Sequence[str]

    def __iter__(self) -> Iterator[Question]:
        for path in find_images(self.images):
            for expression in self.expressions:
                yield Question(str(path), expression)


@dataclass(frozen=True)
class _Rows:
    rows: Iterable[Any]

    def __iter__(self) -> Iterator[Question]:
        for number, row in enumerate(self.rows):
            if isinstance(row, Question):
                yield row
            elif isinstance(row, Mapping):
                paths = {"image": os.fspath(row["image"])} if isinstance(row.get("image"), os.PathLike) else {}
                yield _question({**row, **paths}, f"row {number}")
            else:
                raise InvalidInput(
                    f"{shown(row, 40)} has no expression; give expressions=[...] for all images, or rows "
                    '{"image": ..., "expression": ...}'
                )


def _within(image: str, root: Path) -> str | None:
    """Returns a path of a table as seen from its folder; None if it is absolute and not in the folder."""
    if not os.path.isabs(image):
        return image
    for folder in (root.absolute(), root.resolve()):
        with suppress(ValueError):
            return str(Path(image).relative_to(folder))
    return None


def _option_images(folder: Path) -> str:
    return for_caller(option("images", folder), f"root={str(folder)!r}")


def _question(row: Mapping[str, Any], place: str, root: Path | None = None) -> Question:
    for column in _COLUMNS:
        if not isinstance(row.get(column), str):
            raise InvalidInput(f"{place} has no text as its {column}; a row has image and expression")
    rest = {name: value for name, value in row.items() if name not in _COLUMNS}
    return Question(row["image"], row["expression"], rest, root)


def _csv_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = read_table(file)
    _, head = next(rows, (1, []))
    names = [name.strip() for name in head]
    if missing := [column for column in _COLUMNS if column not in names]:
        raise InvalidInput(
            f"{file} has no column {' and no column '.join(missing)}; its first line is {shown(','.join(head), 60)} "
            f"and must name the columns, {_EXAMPLE}"
        )
    if len(set(names)) < len(names):
        raise InvalidInput(f"{file} has two columns of one name in {shown(','.join(head), 60)}; rename one")
    for number, row in rows:
        if len(row) != len(names):
            raise InvalidInput(
                f"{file}: line {number} has {counted(len(row), 'column')}, its head has {len(names)}; put a "
                f"text with commas into "
                'quotes: "the cup, left"'
            )
        yield f"{file}: line {number}", dict(zip(names, row, strict=True))


def _json_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                place = f"{file}: line {number}"
                if line.strip():
                    yield place, json_row(line, place)
    except FileNotFoundError as error:
        raise MissingFile(f"{file} is missing") from error
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror})") from error


def json_row(line: bytes, place: str) -> dict[str, Any]:
    """Returns the object in a line of a .jsonl; raises InvalidInput if there is none.

    >>> json_row(b'{"image": "desk.jpg", "expression": "the cup"}', "line 1")
    {'image': 'desk.jpg', 'expression': 'the cup'}
    """
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{place} is not JSON ({first_line(error)})") from error
    if not isinstance(row, dict):
        raise InvalidInput(f"{place} is no object; a row has image and expression")
    return row


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _images_of(folder: Path) -> Iterator[Path]:
    try:
        names = [name for name in os.listdir(folder) if _is_image(name)]
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be listed ({error.strerror}); give a folder that you may enter") from error
    if not names:
        raise InvalidInput(
            f"{folder} holds no images ({', '.join(IMAGE_ENDINGS[:4])}, ...); for those of its folders give "
            f"'{folder / '**' / '*.jpg'}'"
        )
    yield from (folder / name for name in sorted(names, key=natural_sort_key))


def _matches(pattern: str) -> Iterator[Path]:
    found = sorted(glob.iglob(pattern, recursive=True), key=natural_sort_key)
    files = [name for name in found if not os.path.isdir(name)]
    chosen = [name for name in files if _is_image(os.path.basename(name))] or files
    if chosen:
        yield from map(Path, chosen)
    elif found and not re.search(r"\*\*", pattern):
        yield from (image for folder in found for image in _images_of(Path(folder)))
    else:
        raise MissingFile(f"no file matches {shown(pattern)}; check the folder and the ending")


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")
