"""Results say which image or video they are of, so that those of another one are never replaced.

In PNG it is the text "source", in JPEG a comment "source=...", in JSON the key of that name, in MP4 the comment: the
path, as seen from the folder of the results. Lists of polygons and run lengths of images, which others read as they
are, cannot say it.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import typer
from PIL.PngImagePlugin import PngInfo

from refseg.errors import UnwritableOutput
from refseg.preprocessing.images import open_image

SOURCE = "source"
SILENT = ".rle.json", ".polygons.json"
_WAY_OUT = "choose another place with --out, or remove it"


def source_of(path: Path, out: Path) -> str:
    """What results in the folder `out` say of the image or video at `path`."""
    resolved = path.resolve()
    try:
        source = os.path.relpath(resolved, out.resolve())
    except ValueError:  # on another drive
        source = str(resolved)
    return os.fsencode(source).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def png_text(source: str) -> PngInfo:
    """The text for a PNG."""
    text = PngInfo()
    text.add_text(SOURCE, source)
    return text


def jpeg_comment(source: str) -> bytes:
    """The comment for a JPEG, which holds at most 65,533 bytes."""
    return f"{SOURCE}={source}".encode()[:65_533]


def check_replaceable(
    files: Iterable[Path], written: Iterable[Path], source: str, new: Path | None = None
) -> list[Path]:
    """Checks that no result of another image or video is replaced; returns those replaced that do not say of which.

    Args:
        files: all results that there may be of one expression, whatever was asked for.
        written: those of them that are written now.
        source: what the new ones say.
        new: the folder that they are in, once they are; those that cannot say it are then compared.

    Raises:
        UnwritableOutput: if a result of another image or video is there, or one that cannot say it, with none beside
            it that does, unless it is the same as the new one.
    """
    stated = {file: stated_source(file) for file in files if os.path.lexists(file)}
    for file, other in stated.items():
        if other not in (None, source):
            raise UnwritableOutput(f"{file} is of another image or video ({other}); {_WAY_OUT}")
    if source in stated.values():
        return []
    replaced = [file for file in written if file in stated]
    for file in replaced:
        if file.name.endswith(SILENT) and new is not None and not is_same(file, new / file.name):
            raise UnwritableOutput(f"{file} is there and does not say of which image or video it is; {_WAY_OUT}")
    return [file for file in replaced if not file.name.endswith(SILENT)]


def warn_of_replaced(files: Iterable[Path]) -> None:
    """Says in one line, if any, which results are replaced although they do not say of which image or video they are.

    They may be of another version of refseg, or of another program.
    """
    if names := ", ".join(map(str, files)):
        typer.echo(f"warning: of which image or video they are is not said in what is replaced: {names}", err=True)


def stated_source(file: Path) -> str | None:
    """What a result, or the first PNG in a folder of masks, says that it is of; None if it says nothing."""
    try:
        if file.is_dir():
            return next((stated_source(mask) for mask in file.glob("*.png")), None)
        if file.suffix == ".png":
            with open_image(file) as image:
                stated = image.info.get(SOURCE)
        elif file.suffix == ".jpg":
            with open_image(file) as image:
                name, equals, source = image.info.get("comment", b"").decode().partition("=")
            stated = source if equals and name == SOURCE else None
        elif file.suffix == ".mp4":
            from refseg.video.container import read_comment

            stated = read_comment(file)
        else:
            with file.open(encoding="utf-8") as lines:
                content = json.loads(next(lines))
            stated = content.get(SOURCE) if isinstance(content, dict) else None
    except Exception:  # a file of somebody else, in whatever state
        return None
    return str(stated) if stated is not None else None


def is_same(file: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    return file.is_file() and other.is_file() and file.read_bytes() == other.read_bytes()
