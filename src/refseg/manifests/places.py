"""Places of files: paths, and URLs of object stores, which fsspec opens (s3://bucket/photos, gs://..., memory://...)."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, first_line, for_caller, option, shown, unreadable
from refseg.files.names import file_name
from refseg.inference.questions import Question

MAX_IMAGE_BYTES = 2**29
"""Largest image file that is read from an object store or a tar file."""
MAX_BRACED = 1_000_000  # names that braces may stand for
INSTALL = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
"""Packages that fsspec needs for the usual object stores."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.I)
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def is_url(place: str) -> bool:
    """Whether a place is a URL, not a path."""
    return _URL.match(place) is not None


def file_system(url: str) -> tuple[Any, str]:
    """Returns the file system of fsspec for a URL, and the path in it.

    Raises:
        InvalidInput: if fsspec, or its package for such URLs, is not installed.
    """
    scheme = url.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except ImportError as error:
        needed = INSTALL.get(scheme, "fsspec")
        raise InvalidInput(f"{url} needs {needed}; install it with: pip install {needed}") from error
    except ValueError as error:
        raise InvalidInput(f"{url} cannot be opened ({first_line(error)}); give a path, or s3://...") from error
    return system, str(path)


def open_place(place: str, purpose: str = "the manifest") -> IO[bytes]:
    """Opens a file for reading.

    Raises:
        MissingFile, InvalidInput: if there is none, or it cannot be read.
    """
    try:
        if is_url(place):
            system, path = file_system(place)
            opened: IO[bytes] = system.open(path, "rb")
            return opened
        return open(place, "rb")
    except FileNotFoundError as error:
        raise MissingFile(f"{place} is missing; check the path of {purpose}") from error
    except OSError as error:
        raise unreadable(Path(place), error) or InvalidInput(
            f"{place} cannot be read ({first_line(error)}); give another file"
        ) from error


def stamp_of(place: str) -> list[Any]:
    """Returns size and time of change of a file, or what an object store says in its place, such as an ETag.

    Raises:
        MissingFile: if there is none.
    """
    try:
        if is_url(place):
            system, path = file_system(place)
            facts = system.info(path)
            changed = next((facts[key] for key in ("ETag", "etag", "md5Hash", "mtime", "created") if key in facts), "")
            return [facts["size"], str(changed)]
        about = os.stat(place)
        return [about.st_size, about.st_mtime_ns]
    except FileNotFoundError as error:
        raise MissingFile(f"{place} is missing; check its path") from error


def expand_braces(text: str) -> Iterator[str]:
    """Yields the names that braces stand for.

    >>> list(expand_braces("a{08..10}.tar")), list(expand_braces("{a,b}.tar"))
    (['a08.tar', 'a09.tar', 'a10.tar'], ['a.tar', 'b.tar'])
    """
    found = _RANGE.search(text)
    if found is None:
        yield text
        return
    first, last, choices = found.groups()
    if choices is None and not 0 <= int(last) - int(first) < MAX_BRACED:
        raise InvalidInput(f"braces of {shown(text)} name nothing, or too many; write them as {{000..099}}")
    words = (
        choices.split(",") if choices is not None else (f"{k:0{len(first)}d}" for k in range(int(first), int(last) + 1))
    )
    for word in words:
        yield from expand_braces(f"{text[: found.start()]}{word}{text[found.end() :]}")


def find_files(pattern: str, ending: str) -> list[str]:
    """Returns the files that a pattern with braces or *, ? and [ stands for, in their order.

    Raises:
        MissingFile: if one that braces name is missing, or nothing matches.
        InvalidInput: if one has another ending.
    """
    found, missing = list[str](), list[str]()
    for one in expand_braces(pattern):
        if glob.has_magic(one):
            found += sorted(_glob(one))
        elif _exists(one):
            found.append(one)
        else:
            missing.append(one)
    if missing or not found:
        number = f"{counted(len(missing), 'file')} of {shown(pattern)}: " if len(missing) > 1 else ""
        raise MissingFile(
            f"{number}{', '.join(missing[:3]) or pattern} {'is' if len(missing) < 2 else 'are'} missing; check the "
            "pattern, for example 'shards/{000..099}.tar'"
        )
    if other := next((one for one in found if not one.endswith(ending)), None):
        raise InvalidInput(f"{other} does not end in {ending}; give files of one kind")
    return found


class ImageRoot:
    """The folder that names of images start from and stay in.

    Args:
        place: a folder or a URL; None takes names as paths, as the user typed them.

    Raises:
        MissingFile: if there is no such folder.
    """

    def __init__(self, place: str | None, manifest: str = ""):
        self.place = place
        self._store: tuple[Any, str] | None = None
        if place is None:
            return
        if is_url(place):
            self._store = file_system(place.rstrip("/"))
        elif not os.path.isdir(place):
            raise MissingFile(f"{place} is not a folder; give the folder that the paths of {manifest} start from")

    def image(self, name: str) -> str | Path | bytes:
        """Returns the path of an image, or its bytes if it is in an object store.

        Raises:
            MissingFile, InvalidInput: if the name leads out of the folder, or an object is missing or too large.
        """
        if self._store is None:
            if is_url(name):
                way_out = option("images", f"{name.rpartition('/')[0]}")
                raise InvalidInput(f"image {shown(name, 80)} is a URL; name the place that may be read: {way_out}")
            return Question(name, "", root=None if self.place is None else Path(self.place)).path()
        system, folder = self._store
        path = f"{folder}/{self._inside(name)}"
        try:
            size = system.info(path)["size"]
            if size is None or size > MAX_IMAGE_BYTES:
                held = "bytes without end" if size is None else counted(size, "byte")
                raise InvalidInput(f"image {shown(name, 80)} has {held}; at most {MAX_IMAGE_BYTES:,} are read")
            content: bytes = system.cat_file(path)
            return content
        except FileNotFoundError as error:
            raise MissingFile(f"{self.place}/{name} is missing; check the path of the image") from error
        except OSError as error:
            raise InvalidInput(f"{self.place}/{name} cannot be read ({first_line(error)})") from error

    def check(self, name: str) -> None:
        """Checks an image without reading it; one in an object store by its name alone.

        Raises:
            MissingFile, InvalidInput: if there is none, or the name leads out of the folder.
        """
        if self._store is not None:
            self._inside(name)
            return
        path = self.image(name)
        if isinstance(path, Path) and not path.exists():
            raise MissingFile(
                f"{path} is missing; names of images start from {self.place}; {option('images')} takes another folder"
            )

    def _inside(self, name: str) -> str:
        """Returns a name as seen from the URL; raises InvalidInput if it leads elsewhere."""
        root = f"{(self.place or '').rstrip('/')}/"
        if is_url(name) and not name.startswith(root):
            raise InvalidInput(
                f"image {shown(name, 80)} is not in {root}, where names start; give the place that it lies in with "
                f"{for_caller('--images', 'images=')}"
            )
        return "/".join(file_name(part, "image") for part in name.removeprefix(root).split("/"))


def parent_of(place: str) -> str:
    """Returns the folder of a file.

    >>> parent_of("s3://bucket/a/images.jsonl"), parent_of("images.jsonl")
    ('s3://bucket/a', '.')
    """
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)


def _glob(pattern: str) -> list[str]:
    if not is_url(pattern):
        return glob.glob(pattern)
    system, path = file_system(pattern)
    return [system.unstrip_protocol(name) for name in system.glob(path)]


def _exists(place: str) -> bool:
    if not is_url(place):
        return os.path.isfile(place)
    system, path = file_system(place)
    return bool(system.isfile(path))
