"""Downloads of large files, which go on where they were broken off."""

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from refseg.counting import counted
from refseg.errors import first_line

_TIMEOUT = 10.0  # seconds to wait for a server
_CONNECT_TIMEOUT = 4.0  # seconds to reach it
_STALL_SECONDS, _MIN_BYTES = 60.0, 2**20  # so many bytes must arrive in this time
_MAX_TRIES = 4  # in succession, in which fewer arrive
_MAX_SIZE = 20 * 10**9  # bytes of a file, whatever its server announces


class Unreachable(Exception):
    """A reason why a file cannot be downloaded."""


class _Stalled(Exception):
    """A failure that may be temporary."""


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a link, as its server announces it.

    Attributes:
        link: to the file.
        size: in bytes, None if unknown.
        version: ETag or date, by which another file behind the same link is recognised.
        headers: of requests, such as those of a login.
    """

    link: str
    size: int | None
    version: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """Digest of link, size and version of the file."""
        return hashlib.sha256(repr((self.link, self.size, self.version)).encode()).hexdigest()[:12]


def ask_file(link: str) -> RemoteFile:
    """Requests one byte of a file, to fail early.

    Raises:
        Unreachable: if it cannot be had.
    """
    with _answer(RemoteFile(link, None, ""), "bytes=0-0") as answer:
        headers = answer.headers
        if headers.get("Content-Type", "").startswith("text/html"):
            raise Unreachable("its server sends a web page, perhaps since its quota is used up")
        if answer.status_code == 206:
            found = re.fullmatch(r"bytes 0-0/([0-9]{1,15})", headers.get("Content-Range", ""))
        else:
            found = re.fullmatch(r"([0-9]{1,15})", headers.get("Content-Length", ""))
        size = int(found[1]) if found else None
        version = headers.get("ETag", "") or headers.get("Last-Modified", "")
    if size is not None and size > _MAX_SIZE:
        raise Unreachable(f"its server announces {size / 1e9:,.0f} GB, no file of weights has that many")
    return RemoteFile(link, size, version)


def fetch_rest(remote: RemoteFile, partial: Path, on_bytes: Callable[[int], None] = lambda count: None) -> None:
    """Downloads the rest of a file; retries as long as enough arrives.

    Args:
        remote: the file.
        partial: what arrived so far, if anything; appended to.
        on_bytes: receives the number of bytes that are there at first, and of those that arrive.

    Raises:
        Unreachable: if it cannot be had; what arrived is kept.
        OSError: if the disk is too small.
    """
    with partial.open("ab") as file:
        if remote.size is None or file.tell() > remote.size:  # it cannot be resumed
            file.seek(file.truncate(0))
        if remote.size is not None and shutil.disk_usage(partial.parent).free < remote.size - file.tell():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        on_bytes(file.tell())
        whole, fruitless = file.tell() == remote.size, 0
        while not whole:
            before = file.tell()
            reason = "its server breaks off"
            try:
                ended = _append(remote, file, on_bytes)
                whole = ended if remote.size is None else file.tell() == remote.size
            except _Stalled as error:
                reason = str(error)
            fruitless = 0 if file.tell() - before >= _MIN_BYTES else fruitless + 1
            if fruitless == _MAX_TRIES and not whole:
                here = f"{file.tell() / 1e6:.0f} MB are here, the same command goes on from there"
                raise Unreachable(f"{reason}; {here}")


def _append(remote: RemoteFile, file: BinaryIO, on_bytes: Callable[[int], None]) -> bool:
    """Requests the rest of the file, or all of it if its size is unknown; returns whether it is complete."""
    start, end = (0, _MAX_SIZE) if remote.size is None else (file.tell(), remote.size)
    with _answer(remote, f"bytes={start}-" if start else None) as answer:
        if answer.status_code != 206:
            start = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise Unreachable("its server sends another part than it was asked for")
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
                raise Unreachable("its server sends more than it announced")
            file.write(chunk)
            on_bytes(len(chunk))
            arrived += len(chunk)
            if arrived >= _MIN_BYTES:
                begun, arrived = time.monotonic(), 0
            elif time.monotonic() - begun > _STALL_SECONDS:
                raise _Stalled(f"its server sent {counted(arrived, 'byte')} in {_STALL_SECONDS:.0f} s")


@contextmanager
def _answer(remote: RemoteFile, part: str | None) -> Iterator[Any]:
    """Opens the response to a request; `part` is a range of bytes."""
    from huggingface_hub import get_session

    headers = {**remote.headers, "Accept-Encoding": "identity"} | ({"Range": part} if part else {})
    limits = min(_CONNECT_TIMEOUT, _TIMEOUT), _TIMEOUT, _TIMEOUT, _TIMEOUT  # to connect, read, write, wait for others
    with ExitStack() as stack:
        try:
            request = get_session().stream("GET", remote.link, headers=headers, timeout=limits)
            answer = stack.enter_context(request)
        except Exception as error:  # depends on the HTTP library of the hub's client
            raise Unreachable(first_line(error)) from error
        if answer.status_code >= 400:
            raise Unreachable(f"its server answers {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Unreachable("its server compresses it, against what it was asked for")
        yield answer
