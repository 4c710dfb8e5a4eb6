"""Downloads published weights and converts them."""

import errno
import hashlib
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from refseg.conversion.source_file import check_file
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput, first_line
from refseg.files.cache import cache_folder
from refseg.files.lock import only_writer

if TYPE_CHECKING:
    from refseg.conversion.fit_report import Report
from refseg.checkpoints.catalogue import Published, store

_TIMEOUT = 10.0  # seconds to wait for a server
_CONNECT_TIMEOUT = 4.0  # seconds to reach it
_STALL_SECONDS, _MIN_BYTES = 60.0, 2**20  # so many bytes must arrive in this time
_MAX_TRIES = 4  # in succession, in which fewer arrive
_MAX_SIZE = 20 * 10**9  # bytes of a file, whatever its server announces


def get(
    entry: Published, folder: Path | None = None, file: Path | None = None, report_file: Path | None = None
) -> tuple[Path, "Report"]:
    """Converts published weights to a checkpoint folder; returns it and the report of their tensors.

    Args:
        entry: which weights.
        folder: of the checkpoint; by default in the local store, where `refseg.load(entry.name)` finds it.
        file: the authors' file; by default it is downloaded, and removed after the conversion.
        report_file: JSON file for the report.

    Raises:
        InvalidInput: if this version does not read such weights, or the file does not fit.
        MissingFile: if the file cannot be downloaded; the message tells how to do it by hand.
        UnwritableOutput: if the folder cannot be written.
    """
    if entry.exported:
        raise InvalidInput(
            f"{entry.name} is a checkpoint of TensorFlow 1; export it as docs/published_weights.md shows, and run: "
            f"refseg convert {entry.conversion} variables.npz --vocabulary vocabulary.txt --out {entry.preset}"
        )
    if not entry.conversion:
        raise InvalidInput(f"{entry.name} is listed for the record: this version of refseg does not read its weights")
    replaces = folder is None  # what the store holds of it
    folder = folder or store(entry.name)
    if file:
        check_file(file)
    source = file or download(entry)

    from refseg.conversion.to_checkpoint import convert

    try:
        report = convert(
            entry.conversion,
            source,
            folder,
            knows=entry.knows,
            about=entry.about(),
            expected=entry.preset,
            report_file=report_file,
            overwrite=replaces,
        )
    except InvalidInput as error:
        if file:
            raise
        raise InvalidInput(f"{error}; delete {source} to download it again") from error
    if not file:
        source.unlink()
    return folder, report


def download(entry: Published) -> Path:
    """Downloads the authors' file to the cache folder; raises the errors of `download_file`."""
    saved = f"{entry.name.replace('/', '-')}.pth"
    by_hand = (
        f"download it by hand from {entry.by_hand} as {saved} and run: refseg weights get {entry.name} --file {saved}"
    )
    if entry.link is None:
        raise MissingFile(f"{entry.name} has no direct link; {by_hand}")
    return download_file(entry.name, entry.link, by_hand)


def download_file(name: str, link: str, by_hand: str, known_size: int | None = None) -> Path:
    """Downloads a file to the cache folder; resumes an incomplete download of the same file.

    The size is checked against the server's, and ZIP archives, which most files are, against their checksums.

    Args:
        name: of the weights.
        link: to the file.
        by_hand: advice for errors.
        known_size: in bytes; a server that announces another is not asked for more.

    Raises:
        MissingFile: if it cannot be downloaded; the message tells how to do it by hand.
        UnwritableOutput: if the cache folder cannot be written, or has no room for it.
    """
    file_name = name.replace("/", "-")
    folder = cache_folder() / "downloads"
    done = folder / f"{file_name}.pth"
    if done.is_file():
        return done
    from huggingface_hub import get_session

    partial = done
    try:
        session = get_session()
        remote = _ask(session, link)
        if known_size and remote.size not in (None, known_size):
            raise _Unreachable(f"its server announces {counted(remote.size, 'byte')}, the file has {known_size:,}")
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{file_name}-{remote.key}.part"
        with only_writer(done, beside=True):
            for other in folder.glob("*.part"):
                if re.fullmatch(rf"{re.escape(file_name)}-[0-9a-f]+\.part", other.name) and other != partial:
                    other.unlink(missing_ok=True)  # of an earlier file behind the link
            _fetch(session, remote, partial)
            if damage := _damage(partial):
                partial.unlink()
                raise _Unreachable(f"what its server sends is damaged ({damage})")
            os.replace(partial, done)
    except _Unreachable as error:
        raise MissingFile(f"{name} cannot be downloaded ({error}); {by_hand}") from error
    except OSError as error:
        raise UnwritableOutput(
            f"{partial} cannot be written ({error.strerror or error}); set REFSEG_CACHE to a folder with room for it"
        ) from error
    return done


class _Unreachable(Exception):
    """A reason why a file cannot be downloaded."""


class _Stalled(Exception):
    """A failure that may be temporary."""


@dataclass(frozen=True)
class _Remote:
    """A file behind a link, as its server announces it; `size` in bytes, None if unknown."""

    link: str
    size: int | None
    version: str

    @property
    def key(self) -> str:
        """Digest of link, size and version of the file."""
        return hashlib.sha256(repr((self.link, self.size, self.version)).encode()).hexdigest()[:12]


def _ask(session: Any, link: str) -> _Remote:
    """Requests one byte, to fail early."""
    with _answer(session, link, "bytes=0-0") as answer:
        headers = answer.headers
        if headers.get("Content-Type", "").startswith("text/html"):
            raise _Unreachable("its server sends a web page, perhaps since its quota is used up")
        if answer.status_code == 206:
            found = re.fullmatch(r"bytes 0-0/([0-9]{1,15})", headers.get("Content-Range", ""))
        else:
            found = re.fullmatch(r"([0-9]{1,15})", headers.get("Content-Length", ""))
        size = int(found[1]) if found else None
        version = headers.get("ETag", "") or headers.get("Last-Modified", "")
    if size is not None and size > _MAX_SIZE:
        raise _Unreachable(f"its server announces {size / 1e9:,.0f} GB, no file of weights has that many")
    return _Remote(link, size, version)


def _fetch(session: Any, remote: _Remote, partial: Path) -> None:
    """Downloads the rest of the file; retries as long as enough arrives.

    Raises:
        OSError: if the disk is too small.
    """
    with partial.open("ab") as file:
        if remote.size is None or file.tell() > remote.size:  # it cannot be resumed
            file.seek(file.truncate(0))
        if remote.size is not None and shutil.disk_usage(partial.parent).free < remote.size - file.tell():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole, fruitless = file.tell() == remote.size, 0
        while not whole:
            before = file.tell()
            reason = "its server breaks off"
            try:
                ended = _append(session, remote, file)
                whole = ended if remote.size is None else file.tell() == remote.size
            except _Stalled as error:
                reason = str(error)
            fruitless = 0 if file.tell() - before >= _MIN_BYTES else fruitless + 1
            if fruitless == _MAX_TRIES and not whole:
                here = f"{file.tell() / 1e6:.0f} MB are here, the same command goes on from there"
                raise _Unreachable(f"{reason}; {here}")


def _append(session: Any, remote: _Remote, file: BinaryIO) -> bool:
    """Requests the rest of the file, or all of it if its size is unknown; returns whether it is complete."""
    start, end = (0, _MAX_SIZE) if remote.size is None else (file.tell(), remote.size)
    with _answer(session, remote.link, f"bytes={start}-" if start else None) as answer:
        if answer.status_code != 206:
            start = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _Unreachable("its server sends another part than it was asked for")
        file.seek(file.truncate(start))
        begun, arrived = time.monotonic(), 0
        chunks = answer.iter_raw()
        while True:
            try:
                chunk = next(chunks, b"")
            except Exception as error:  # depends on the HTTP library of the hub's client
                if "timeout" in type(error).__name__.lower():
                    raise _Stalled(f"its server sent nothing for {_TIMEOUT:.0f} s") from error
                return False
            if not chunk:
                return True
            if file.tell() + len(chunk) > end:
                file.truncate(0)
                raise _Unreachable("its server sends more than it announced")
            file.write(chunk)
            arrived += len(chunk)
            if arrived >= _MIN_BYTES:
                begun, arrived = time.monotonic(), 0
            elif time.monotonic() - begun > _STALL_SECONDS:
                raise _Stalled(f"its server sent {counted(arrived, 'byte')} in {_STALL_SECONDS:.0f} s")


@contextmanager
def _answer(session: Any, link: str, part: str | None) -> Iterator[Any]:
    """Opens the response to a request; `part` is a range of bytes."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
    limits = min(_CONNECT_TIMEOUT, _TIMEOUT), _TIMEOUT, _TIMEOUT, _TIMEOUT  # to connect, read, write, wait for others
    with ExitStack() as stack:
        try:
            answer = stack.enter_context(session.stream("GET", link, headers=headers, timeout=limits))
        except Exception as error:  # depends on the HTTP library of the hub's client
            raise _Unreachable(first_line(error)) from error
        if answer.status_code >= 400:
            raise _Unreachable(f"its server answers {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Unreachable("its server compresses it, against what it was asked for")
        yield answer


def _damage(file: Path) -> str:
    """Returns the fault of a damaged ZIP archive; "" for other files."""
    with file.open("rb") as start:
        if start.read(4) != b"PK\x03\x04":
            return ""
    try:
        with zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
            return f"{wrong} has another checksum" if wrong else ""
    except Exception as error:  # damage raises various errors
        return first_line(error)
