"""Stores of answers: a folder that many processes write to, or a place in an object store."""

import json
import os
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from refseg.errors import UnwritableOutput, another_out, first_line, for_caller
from refseg.files.atomic import check_writable
from refseg.files.lock import UNLOCKABLE, try_lock
from refseg.manifests.places import file_system, is_url

if TYPE_CHECKING:
    from filelock import BaseFileLock

STAGING = ".unfinished"
"""Folder of what is being written; files in it have their lock beside them."""
LOGS = "workers"
"""Folder of the workers' logs, a line for each piece."""
_ATTEMPTS = 100  # at a lock whose folder another process removes at the same time


class Store(ABC):
    """The folder of the answers of a manifest.

    Attributes:
        place: path or URL.
    """

    def __init__(self, place: str):
        self.place = place.rstrip("/") or place

    def place_of(self, name: str) -> str:
        """Returns path or URL of a file."""
        return f"{self.place}/{name}"

    def check_writable(self) -> None:
        """Raises UnwritableOutput if it is known that nothing can be written here."""
        return

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file or folder of that name."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yields the names of the files and folders, in any order; none of them is opened."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Returns the content of a file; None if there is none."""

    @abstractmethod
    def writing(self, name: str, first: bool = False) -> Any:
        """Returns a context with a path, whose file appears under the name at the end, whole or not at all.

        Args:
            name: of the file.
            first: Whether a file of that name that is there by then is kept.
        """

    @abstractmethod
    def claim(self, name: str) -> Any:
        """Returns a context with an empty folder for the files of a piece; None if another process writes them."""

    @abstractmethod
    def publish(self, staging: Path, name: str) -> None:
        """Moves the files of a piece to their place, that of the name last."""

    def clear(self) -> None:
        """Removes what killed processes have left, once every piece is done."""
        return

    @abstractmethod
    def log(self, worker: str, line: dict[str, Any]) -> None:
        """Adds a line to the log of a worker."""

    @abstractmethod
    def logs(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yields the workers with the lines of their logs."""


def open_store(place: str) -> Store:
    """Opens the folder of answers; nothing is written yet."""
    return ObjectStore(place) if is_url(place) else LocalStore(place)


class LocalStore(Store):
    """A folder on a disk, local or shared by many machines."""

    def __init__(self, place: str):
        super().__init__(place)
        self._folder = Path(self.place)

    @override
    def check_writable(self) -> None:
        check_writable(self._folder)

    @override
    def has(self, name: str) -> bool:
        return os.path.exists(self._folder / name)

    @override
    def names(self) -> Iterator[str]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            yield from (entry.name for entry in entries)

    @override
    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    @override
    @contextmanager
    def writing(self, name: str, first: bool = False) -> Iterator[Path]:
        with self.claim(f"{name}.{secrets.token_hex(8)}") as staging:  # several may write a file of this name
            assert staging is not None
            yield staging / name
            with self._errors():
                sync(staging / name)
                if first:
                    place_first(staging / name, self._folder / name)
                else:
                    os.replace(staging / name, self._folder / name)

    @override
    @contextmanager
    def claim(self, name: str) -> Iterator[Path | None]:
        work = self._folder / STAGING
        file = work / f"{name}.lock"
        try:
            lock = self._lock(file)
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                with self._errors():
                    raise
            yield from self._stage(work, name)  # two that write the same piece write the same
            return
        if lock is None:
            yield None
            return
        try:
            for left in work.glob(f"{name}-*"):  # of a killed process
                shutil.rmtree(left, ignore_errors=True)
            yield from self._stage(work, name)
        finally:
            with suppress(OSError):
                file.unlink()
            lock.release()

    def _lock(self, file: Path) -> "BaseFileLock | None":
        attempts = 0
        while True:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                return try_lock(file)
            except (FileNotFoundError, FileExistsError):  # another process has removed the folder in between
                attempts += 1
                if attempts == _ATTEMPTS:
                    raise

    def _stage(self, work: Path, name: str) -> Iterator[Path]:
        with self._errors():
            staging = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @override
    def publish(self, staging: Path, name: str) -> None:
        with self._errors():
            for new in sorted(staging.iterdir(), key=lambda path: path.name == name):
                old = self._folder / new.name
                if new.is_dir() and old.is_dir():  # of a process that was killed between the two
                    shutil.rmtree(old, ignore_errors=True)
                if new.is_file():
                    sync(new)
                os.replace(new, old)

    @override
    def clear(self) -> None:
        work = self._folder / STAGING
        for file in work.glob("*.lock"):
            with suppress(UnwritableOutput), self.claim(file.stem):  # unless its process is alive, its files go
                pass
        with suppress(OSError):  # it is missing, or holds what is being written
            work.rmdir()

    @override
    def log(self, worker: str, line: dict[str, Any]) -> None:
        with self._errors():
            (self._folder / LOGS).mkdir(parents=True, exist_ok=True)
            with (self._folder / LOGS / f"{worker}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    @override
    def logs(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for file in sorted((self._folder / LOGS).glob("*.jsonl")):
            yield file.stem, whole_lines(file.read_bytes())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnwritableOutput:
            raise
        except OSError as error:
            again = for_caller("the command", "the call")
            raise UnwritableOutput(
                f"{self.place} cannot be written ({error.strerror or first_line(error)}); make room and repeat "
                f"{again}: it goes on from here; or choose {another_out()}"
            ) from error


class ObjectStore(Store):
    """A place in an object store, by fsspec: a file is written to a local disk, and put as one object, whole or not.

    There are no locks: two processes that answer the same piece put the same content.
    """

    def __init__(self, place: str):
        super().__init__(place)
        self._system, self._root = file_system(self.place)
        self._root = self._root.rstrip("/")
        self._log: dict[str, list[str]] = {}

    @override
    def has(self, name: str) -> bool:
        return bool(self._system.exists(f"{self._root}/{name}"))

    @override
    def names(self) -> Iterator[str]:
        self._system.invalidate_cache()
        with suppress(FileNotFoundError):
            yield from (str(path).rpartition("/")[2] for path in self._system.ls(self._root, detail=False))

    @override
    def read(self, name: str) -> bytes | None:
        try:
            content: bytes = self._system.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return content

    @override
    @contextmanager
    def writing(self, name: str, first: bool = False) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="refseg-") as folder:
            file = Path(folder) / name
            yield file
            if not (first and self.has(name)):
                self._put(file, name)

    @override
    @contextmanager
    def claim(self, name: str) -> Iterator[Path | None]:
        with tempfile.TemporaryDirectory(prefix="refseg-") as folder:
            yield Path(folder)

    @override
    def publish(self, staging: Path, name: str) -> None:
        files = [path for path in staging.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == staging / name):
            self._put(path, path.relative_to(staging).as_posix())

    @override
    def log(self, worker: str, line: dict[str, Any]) -> None:
        lines = self._log.setdefault(worker, [])
        lines.append(json.dumps(line))
        self._system.pipe_file(f"{self._root}/{LOGS}/{worker}.jsonl", "\n".join([*lines, ""]).encode())

    @override
    def logs(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        self._system.invalidate_cache()
        with suppress(FileNotFoundError):
            for path in sorted(self._system.ls(f"{self._root}/{LOGS}", detail=False)):
                name = str(path).rpartition("/")[2]
                yield name.removesuffix(".jsonl"), whole_lines(self._system.cat_file(path))

    def _put(self, file: Path, name: str) -> None:
        path = f"{self._root}/{name}"
        try:
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)  # object stores have no folders
            self._system.put_file(str(file), path)
        except OSError as error:
            again = for_caller("the command", "the call")
            raise UnwritableOutput(
                f"{self.place} cannot be written ({first_line(error)}); repeat {again}: it goes on from here; or "
                f"choose {another_out()}"
            ) from error


def sync(file: Path) -> None:
    """Writes a file to the disk."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def place_first(file: Path, place: Path) -> None:
    """Gives a file another name unless there is such a file; of several processes the first one does."""
    try:
        os.link(file, place)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not place.exists():
            os.replace(file, place)


def whole_lines(content: bytes) -> list[dict[str, Any]]:
    """Returns the objects of lines of JSON, without those that a killed process left in half."""
    found = []
    for line in content.splitlines():
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
    return found
