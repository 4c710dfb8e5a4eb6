"""Weights that the papers' authors published: where they are, what they reach, how they become a checkpoint of ours.

The catalogue repeats what the authors' pages say (read in 2026). None of the files could be downloaded while this was
written: links and sizes are unchecked, and no reported figure was run again.
"""

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

from refseg.cache import cache_folder
from refseg.config import Config
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput, first_line
from refseg.files.lock import only_writer

if TYPE_CHECKING:
    from refseg.conversion.official import Report

SQUASHED = "both masks at 480 x 480, empty union 0"  # how DMMI, CMIRNet and LAVT score
WEIGHTS_LICENCE = "not stated"
_SECONDS = 10.0  # to wait for a server
_PATIENCE, _SLOWEST = 60.0, 2**20  # s in which so many bytes must arrive
_TRIES = 4  # one after another in which fewer arrive
_LARGEST = 20 * 10**9  # bytes of a file, whatever its server says
_DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
_PAGE = "https://drive.google.com/file/d/{}/view"


class Published(Config):
    """One file, or one share of files.

    Attributes:
        preset: our name of the network; also of networks that this version does not have.
        data: what it was trained on.
        images: whose photographs these are.
        split: short form of `data`, the second half of the name.
        where: "drive:ID" (Google Drive), a link, or in words a share that has no direct link.
        reported: what the authors report.
        protocol: how they score.
        code_licence: of the code beside the weights.
        conversion: who reads the file, one of `CONVERSIONS`; None: nobody in this version.
    """

    preset: str
    data: str
    images: str = "COCO"
    split: str
    where: str
    reported: str
    protocol: str = SQUASHED
    code_licence: str = "none stated"
    conversion: str | None = None

    @property
    def name(self) -> str:
        """As `refseg weights get` takes it."""
        return f"{self.preset}/{self.split}"

    @property
    def link(self) -> str | None:
        """A link to the file itself, where there is one."""
        if self.where.startswith("drive:"):
            return _DRIVE.format(self.where.removeprefix("drive:"))
        return self.where if self.where.startswith(("http://", "https://")) else None

    @property
    def by_hand(self) -> str:
        """Where a person finds the file with a browser."""
        if self.where.startswith("drive:"):
            return _PAGE.format(self.where.removeprefix("drive:"))
        return self.where

    @property
    def knows(self) -> str:
        """One line for the checkpoint."""
        return f"photographs of {self.images} ({self.data})"

    def about(self) -> dict[str, str]:
        """What the card says of the weights."""
        return {
            "Trained on": self.data,
            "Reported by the authors": f"{self.reported} ({self.protocol}); not run again by us",
            "Published at": self.by_hand,
            "Licence of the weights": WEIGHTS_LICENCE,
            "Licence of the code beside them": self.code_licence,
        }


def _dmmi(preset: str, data: str, split: str, where: str, reported: str) -> Published:
    return Published(preset=preset, data=data, split=split, where=where, reported=reported, conversion="dmmi")


def _cmirnet(preset: str, data: str) -> Published:
    return Published(
        preset=preset,
        data=data,
        images="ImageCLEF" if data == "RefCLEF" else "COCO",
        split=data.lower(),
        where="Baidu share https://pan.baidu.com/s/1S70ZJKwS_NAC2GIffiJ5EQ",
        reported="the paper's Table I",
        conversion="cmirnet",
    )


def _lavt(data: str, split: str, where: str, reported: str) -> Published:
    return Published(
        preset="lavt_swin_base",
        data=data,
        split=split,
        where=where,
        reported=reported,
        code_licence="GPL-3.0",
        conversion="lavt",
    )


CATALOGUE = (
    _dmmi(
        "dmmi_resnet101",
        "RefCOCOg umd",
        "refcocog_umd",
        "drive:1ziDIeioglD08QQyL-_yGFFlao3PtcJJS",
        "oIoU 59.02, mIoU 62.59",
    ),
    _dmmi(
        "dmmi_swin_base",
        "RefCOCOg umd",
        "refcocog_umd",
        "drive:1uuGWSYLGYa_qMxTlnZxH6p9FMxQLOQfZ",
        "oIoU 63.46, mIoU 66.48",
    ),
    _dmmi(
        "dmmi_swin_base",
        "Ref-ZOM",
        "refzom",
        "drive:1Ut_E-Fru0bCmjtaC2YhgOLZ7eJorOOpi",
        "oIoU 68.77, mIoU 68.25 (paper: Acc 87.02)",
    ),
    *(
        _cmirnet(preset, data)
        for preset in ("cmirnet_resnet50", "cmirnet_resnet101", "cmirnet_swin_base", "cmirnet_swin_large")
        for data in ("RefCOCO", "RefCOCO+", "RefCOCOg", "RefCLEF")
    ),
    _lavt("RefCOCO", "refcoco", "drive:13D-OeEOijV8KTC3BkFP-gOJymc6DLwVT", "oIoU 72.73 / 75.82 / 68.79"),
    _lavt("RefCOCO+", "refcoco+", "drive:1B8Q44ZWsc8Pva2xD_M-KFh7-LgzeH2-2", "oIoU 62.14 / 68.38 / 55.10"),
    _lavt("RefCOCOg umd", "refcocog_umd", "drive:1BjUnPVpALurkGl7RXXvQiAHhA-gQYKvK", "oIoU 61.24 / 62.09"),
    _lavt("RefCOCOg google", "refcocog_google", "drive:1weiw5UjbPfo3tCBPfB8tu6xFXCUG16yS", "oIoU 60.50"),
    _lavt("RefCOCO", "refcoco_one", "drive:1xFMEXr6AGU97Ypj1yr8oo00uObbeIQvJ", "lavt_one: oIoU 73.50 / 75.97 / 69.33"),
    _lavt(
        "RefCOCO+", "refcoco+_one", "drive:1HS8ZnGaiPJr-OmoUn4-4LVnVtD_zHY6w", "lavt_one: oIoU 63.79 / 69.79 / 56.49"
    ),
    _lavt(
        "RefCOCOg umd", "refcocog_umd_one", "drive:14g8NzgZn6HzC6tP_bsQuWmh5LnOcovsE", "lavt_one: oIoU 64.02 / 64.49"
    ),
    _lavt(
        "RefCOCOg google", "refcocog_google_one", "drive:1IJeahFVLgKxu_BVmWacZs3oUzgTCeWcz", "lavt_one: not known to us"
    ),
    Published(
        preset="vlt_darknet53",
        data="RefCOCO, RefCOCO+, RefCOCOg",
        split="share",
        where="OneDrive share of the authors' university, named in their README",
        reported="tables of the ICCV paper",
        protocol="the authors' own",
        code_licence="MIT; Keras weights",
    ),
    *(
        Published(
            preset=preset,
            data=data,
            split="share",
            where="Baidu share https://pan.baidu.com/s/19f8CxT3lc_UyjCIIE_74FA",
            reported="Table 1 of the TPAMI paper",
            protocol="the authors' own",
            code_licence="MIT; TensorFlow 1 checkpoint",
        )
        for preset, data in (("cmpc_release", "UNC, UNC+, G-Ref, ReferIt"), ("cmpc_video_release", "A2D Sentences"))
    ),
)


def find_published(name: str) -> Published:
    """The entry of that name.

    Raises:
        InvalidInput: if there is none.
    """
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in CATALOGUE if entry.conversion)
    raise InvalidInput(f"unknown weights {name!r}; choose one of: {names}; refseg weights list shows all")


def store(name: str) -> Path:
    """Where weights of the catalogue live once they are here."""
    return cache_folder() / "weights" / name


def is_installed(entry: Published) -> bool:
    """Has `get` put these weights into the store?"""
    try:
        return (store(entry.name) / "config.json").is_file()
    except OSError:  # there is no cache folder, or none that may be entered
        return False


def installed(name: str) -> Path | None:
    """The checkpoint folder of weights that `get` has fetched; None for a name that is not of the catalogue.

    Raises:
        MissingFile: if it is of the catalogue and not here.
    """
    entry = next((entry for entry in CATALOGUE if entry.name == name), None)
    if entry is None:
        return None
    if is_installed(entry):
        return store(name)
    raise MissingFile(f"the weights {name!r} are not on this machine; fetch them: refseg weights get {name}")


def get(
    entry: Published, folder: Path | None = None, file: Path | None = None, report_file: Path | None = None
) -> tuple[Path, "Report"]:
    """Makes a checkpoint folder of published weights; returns it, and what became of each tensor.

    Args:
        entry: which weights.
        folder: where the checkpoint goes; None is the local store, where `refseg.load(entry.name)` finds it.
        file: the authors' file, if it is here already; None downloads it, and removes it when all is well.
        report_file: JSON file for what became of each tensor.

    Raises:
        InvalidInput: if this version does not read such weights, or the file is not what it should be.
        MissingFile: if the file cannot be fetched; the message says how to do it by hand.
        UnwritableOutput: if there is no place for it.
    """
    if not entry.conversion:
        raise InvalidInput(f"{entry.name} is listed for the record: this version of refseg does not read its weights")
    folder = folder or store(entry.name)
    source = file or download(entry)

    from refseg.conversion.checkpoint import convert

    try:
        report = convert(
            entry.conversion,
            source,
            folder,
            knows=entry.knows,
            about=entry.about(),
            expected=entry.preset,
            report_file=report_file,
        )
    except InvalidInput as error:
        if file:
            raise
        raise InvalidInput(f"{error}; delete {source} to download it again") from error
    if not file:
        source.unlink()
    return folder, report


def download(entry: Published) -> Path:
    """The authors' file, in the cache folder; goes on where a broken download of the same file stopped.

    What arrives is as long as the server said, and a ZIP archive, which most are, agrees with its own checksums.

    Raises:
        MissingFile: if it cannot be fetched; the message says how to do it by hand.
        UnwritableOutput: if the cache folder cannot be written, or has no room for it.
    """
    by_hand = f"download it by hand from {entry.by_hand} and run: refseg weights get {entry.name} --file FILE"
    if entry.link is None:
        raise MissingFile(f"{entry.name} has no direct link; {by_hand}")
    name = entry.name.replace("/", "-")
    folder = cache_folder() / "downloads"
    done = folder / f"{name}.pth"
    if done.is_file():
        return done
    from huggingface_hub import get_session

    partial = done
    try:
        session = get_session()
        remote = _ask(session, entry.link)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}-{remote.key}.part"
        with only_writer(done, beside=True):
            for other in folder.glob("*.part"):
                if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]+\.part", other.name) and other != partial:
                    other.unlink(missing_ok=True)  # of what the link led to before
            _fetch(session, remote, partial)
            if damage := _damage(partial):
                partial.unlink()
                raise _Unreachable(f"what its server sends is damaged ({damage})")
            os.replace(partial, done)
    except _Unreachable as error:
        raise MissingFile(f"{entry.name} cannot be downloaded ({error}); {by_hand}") from error
    except OSError as error:
        raise UnwritableOutput(
            f"{partial} cannot be written ({error.strerror or error}); set REFSEG_CACHE to a folder with room for it"
        ) from error
    return done


class _Unreachable(Exception):
    """What stands between us and a file."""


class _Stalled(Exception):
    """What another try may change."""


@dataclass(frozen=True)
class _Remote:
    """A file behind a link, as its server announces it; `size` in bytes, None if it does not say."""

    link: str
    size: int | None
    version: str

    @property
    def key(self) -> str:
        """Another one for another link, size or version of the file."""
        return hashlib.sha256(repr((self.link, self.size, self.version)).encode()).hexdigest()[:12]


def _ask(session: Any, link: str) -> _Remote:
    """Asks for one byte, to fail early."""
    with _answer(session, link, "bytes=0-0") as answer:
        headers = answer.headers
        if headers.get("Content-Type", "").startswith("text/html"):
            raise _Unreachable("its server sends a web page, perhaps since its quota is used up")
        if answer.status_code == 206:
            told = re.fullmatch(r"bytes 0-0/([0-9]{1,15})", headers.get("Content-Range", ""))
        else:
            told = re.fullmatch(r"([0-9]{1,15})", headers.get("Content-Length", ""))
        size = int(told[1]) if told else None
        version = headers.get("ETag", "") or headers.get("Last-Modified", "")
    if size is not None and size > _LARGEST:
        raise _Unreachable(f"its server announces {size / 1e9:,.0f} GB, no file of weights has that many")
    return _Remote(link, size, version)


def _fetch(session: Any, remote: _Remote, partial: Path) -> None:
    """Appends to the file what it lacks; tries again as long as enough arrives.

    Raises:
        OSError: if the disk is too small.
    """
    with partial.open("ab") as file:
        if remote.size is None or file.tell() > remote.size:  # which part of which file it is cannot be told
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
            fruitless = 0 if file.tell() - before >= _SLOWEST else fruitless + 1
            if fruitless == _TRIES and not whole:
                here = f"{file.tell() / 1e6:.0f} MB are here, the same command goes on from there"
                raise _Unreachable(f"{reason}; {here}")


def _append(session: Any, remote: _Remote, file: BinaryIO) -> bool:
    """Asks for the rest of the file, or for all of it where that is not known; whether it came to its end."""
    start, end = (0, _LARGEST) if remote.size is None else (file.tell(), remote.size)
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
            except Exception as error:  # of whichever HTTP library the hub's client uses
                if "timeout" in type(error).__name__.lower():
                    raise _Stalled(f"its server sent nothing for {_SECONDS:.0f} s") from error
                return False
            if not chunk:
                return True
            if file.tell() + len(chunk) > end:
                file.truncate(0)
                raise _Unreachable("its server sends more than it announced")
            file.write(chunk)
            arrived += len(chunk)
            if arrived >= _SLOWEST:
                begun, arrived = time.monotonic(), 0
            elif time.monotonic() - begun > _PATIENCE:
                raise _Stalled(f"its server sent {arrived:,} bytes in {_PATIENCE:.0f} s")


@contextmanager
def _answer(session: Any, link: str, part: str | None) -> Iterator[Any]:
    """What a server answers, without its content; `part` is a range of bytes."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
    with ExitStack() as stack:
        try:
            answer = stack.enter_context(session.stream("GET", link, headers=headers, timeout=_SECONDS))
        except Exception as error:  # of whichever HTTP library the hub's client uses
            raise _Unreachable(first_line(error)) from error
        if answer.status_code >= 400:
            raise _Unreachable(f"its server answers {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Unreachable("its server compresses it, against what it was asked for")
        yield answer


def _damage(file: Path) -> str:
    """What is wrong with a ZIP archive; "" for other files."""
    with file.open("rb") as start:
        if start.read(4) != b"PK\x03\x04":
            return ""
    try:
        with zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
            return f"{wrong} has another checksum" if wrong else ""
    except Exception as error:  # damage makes it raise whatever it likes
        return first_line(error)
