"""Catalogue of the weights that the papers' authors published: links, reported figures and converters.

The entries are those of the authors' pages (2026). No file could be downloaded at the time of writing: links and sizes
are unchecked, and no reported figure was reproduced.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from refseg.adapters import ADAPTERS
from refseg.config import Config
from refseg.errors import InvalidInput, MissingFile, choose_one
from refseg.files.cache import cache_folder
from refseg.finders.published import PUBLISHED_FINDERS

if TYPE_CHECKING:
    pass


SQUASHED = "both masks at 480 x 480, empty union 0"  # protocol of DMMI, CMIRNet and LAVT


WEIGHTS_LICENCE = "not stated"


_DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"


_PAGE = "https://drive.google.com/file/d/{}/view"


class Published(Config):
    """One published file, or one shared folder.

    Attributes:
        preset: our name of the network, which need not exist in this version.
        data: training data.
        images: source of the photographs.
        split: short form of `data`, the second half of the name.
        where: "drive:ID" (Google Drive), a link, or the description of a share without direct link.
        reported: figures that the authors report.
        protocol: of these figures.
        code_licence: of the code beside the weights.
        conversion: one of `CONVERSIONS`; None if this version does not read the file.
        exported: Whether `refseg convert` takes an export of the file, not the file itself.
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
    exported: bool = False

    @property
    def name(self) -> str:
        """Name for `refseg weights get`."""
        return f"{self.preset}/{self.split}"

    @property
    def link(self) -> str | None:
        """Direct link to the file; None if there is none."""
        if self.where.startswith("drive:"):
            return _DRIVE.format(self.where.removeprefix("drive:"))
        return self.where if self.where.startswith(("http://", "https://")) else None

    @property
    def by_hand(self) -> str:
        """Place of the file for a download with a browser."""
        if self.where.startswith("drive:"):
            return _PAGE.format(self.where.removeprefix("drive:"))
        return self.where

    @property
    def knows(self) -> str:
        """Line on the training data for the checkpoint."""
        return f"photographs of {self.images} ({self.data})"

    def about(self) -> dict[str, str]:
        """Returns rows of the model card."""
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
            conversion="cmpc",
            exported=True,
        )
        for preset, data in (("cmpc_release", "UNC, UNC+, G-Ref, ReferIt"), ("cmpc_video_release", "A2D Sentences"))
    ),
)


def find_published(name: str) -> Published:
    """Returns the entry of that name.

    Raises:
        InvalidInput: if there is none.
    """
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    names = [entry.name for entry in CATALOGUE if entry.conversion and not entry.exported]
    names += [*PUBLISHED_FINDERS, *ADAPTERS]
    raise InvalidInput(f"unknown weights {name!r}; {choose_one(name, names)}; refseg weights list shows all")


def store(name: str) -> Path:
    """Returns the folder of downloaded weights."""
    return cache_folder() / "weights" / name


def is_installed(entry: Published) -> bool:
    """Whether these weights are in the store."""
    try:
        return (store(entry.name) / "config.json").is_file()
    except OSError:  # no cache folder, or no permission
        return False


def installed(name: str) -> Path | None:
    """Returns the checkpoint folder of downloaded weights; None for a name outside of the catalogue.

    Raises:
        MissingFile: if it is in the catalogue and not downloaded.
    """
    entry = next((entry for entry in CATALOGUE if entry.name == name), None)
    if entry is None:
        return None
    if is_installed(entry):
        return store(name)
    raise MissingFile(f"the weights {name!r} are not on this machine; fetch them: refseg weights get {name}")
