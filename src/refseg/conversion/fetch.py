"""Downloads published weights and converts them."""

import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from refseg.conversion.source_file import check_file
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput, first_line
from refseg.files.cache import cache_folder
from refseg.files.download import Unreachable, ask_file, fetch_rest
from refseg.files.lock import only_writer

if TYPE_CHECKING:
    from refseg.conversion.fit_report import Report
from refseg.checkpoints.catalogue import Published, store


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
    partial = done
    try:
        remote = ask_file(link)
        if known_size and remote.size not in (None, known_size):
            raise Unreachable(f"its server announces {counted(remote.size, 'byte')}, the file has {known_size:,}")
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{file_name}-{remote.key}.part"
        with only_writer(done, beside=True):
            for other in folder.glob("*.part"):
                if re.fullmatch(rf"{re.escape(file_name)}-[0-9a-f]+\.part", other.name) and other != partial:
                    other.unlink(missing_ok=True)  # of an earlier file behind the link
            fetch_rest(remote, partial)
            if damage := _damage(partial):
                partial.unlink()
                raise Unreachable(f"what its server sends is damaged ({damage})")
            os.replace(partial, done)
    except Unreachable as error:
        raise MissingFile(f"{name} cannot be downloaded ({error}); {by_hand}") from error
    except OSError as error:
        raise UnwritableOutput(
            f"{partial} cannot be written ({error.strerror or error}); set REFSEG_CACHE to a folder with room for it"
        ) from error
    return done


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
