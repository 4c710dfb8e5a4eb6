"""Ref-DAVIS17: expressions by two annotators, after the first frame and after the whole video, for DAVIS 2017.

Two layouts: the authors' text files beside DAVIS's folders, and that of Refer-YouTube-VOS, to which others convert it.

davis_text_annotations/Davis17_annot{1,2}{,_full_video}.txt   lines: VIDEO OBJECT "TEXT"
DAVIS/JPEGImages/480p/VIDEO/FRAME.jpg
DAVIS/Annotations_unsupervised/480p/VIDEO/FRAME.png           labels of objects
DAVIS/ImageSets/2017/{train,val}.txt                          names of videos

Source     https://davischallenge.org/davis2017/code.html; A. Khoreva et al. "Video Object Segmentation with Language
           Referring Expressions". ACCV 2018, the texts on its project page.
Licence    DAVIS as its tools: BSD-3-Clause; the texts for research.
Splits     train 60 videos, val 30; 205 objects, four expressions each, in the order of TEXTS.
"""

import re
from collections import defaultdict
from pathlib import Path

from refseg.counting import counted
from refseg.datasets.refer_youtube_vos import labelled_clip
from refseg.datasets.storage.clip_dataset import ClipsOfFiles, LabelledClip, Video, label_number, read_meta_expressions
from refseg.datasets.storage.frame_files import frames_in_folder
from refseg.datasets.storage.reading import ErrorCollector, find_first_file
from refseg.errors import InvalidInput
from refseg.files.names import file_name
from refseg.files.text import read_text
from refseg.samples import Clip, Expression

TEXTS = ("Davis17_annot1", "Davis17_annot1_full_video", "Davis17_annot2", "Davis17_annot2_full_video")
"""Files of texts, in the order of an object's expressions."""

SPLITS = {"train": "train", "val": "valid"}
"""The splits, and what they are called where DAVIS has been converted."""

RENAMED = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
_LINE = re.compile(r'(\S+)\s+(\d+)\s+"?(.*?)"?')


def by_annotator(clip: Clip) -> list[list[int]]:
    """Returns the numbers of the clip's expressions; list k has the k-th expression of every object.

    Scores on Ref-DAVIS17 are made for each of the four lists and averaged.
    """
    found: list[list[int]] = []
    seen: dict[tuple[int, ...], int] = defaultdict(int)
    for index, expression in enumerate(clip.expressions):
        k = seen[expression.targets]
        seen[expression.targets] += 1
        if k == len(found):
            found.append([])
        found[k].append(index)
    return found


class RefDAVIS17(ClipsOfFiles):
    """Ref-DAVIS17; the split is train or val. Either layout is read."""

    name = "ref_davis"
    folder = "ref_davis"

    def videos(self) -> list[Video]:
        """Returns the videos of the split; an object's expressions are consecutive."""
        if self.split not in SPLITS:
            raise self.refuse_split(", ".join(SPLITS))
        if self._is_converted:
            return read_meta_expressions(_converted(self.root, self.split))
        texts = self._texts()
        names = self._lines(_names(self.root, self.split))
        return [_video(name, texts[name]) for name in names if name in texts]

    def clip(self, video: Video) -> LabelledClip:
        """Opens a video as a clip, all frames of which are labelled."""
        if self._is_converted:
            return labelled_clip(self.root / SPLITS[self.split], video, self.name)
        davis = self.root / "DAVIS"
        frames = frames_in_folder(davis / "JPEGImages" / "480p" / video.id, self.name)
        return LabelledClip(video, frames, davis / "Annotations_unsupervised" / "480p" / video.id)

    @classmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns those of train and val that the folder has."""
        if (root / "meta_expressions").is_dir():
            return [split for split in SPLITS if _converted(root, split).is_file()]
        return [split for split in SPLITS if _names(root, split).is_file()]

    def sources(self) -> list[Path]:
        """Returns the files of texts."""
        return [_converted(self.root, self.split)] if self._is_converted else [self._file_of(name) for name in TEXTS]

    @property
    def _is_converted(self) -> bool:
        return (self.root / "meta_expressions").is_dir()

    def _file_of(self, name: str) -> Path:
        return find_first_file(self.root, [f"davis_text_annotations/{name}.txt", f"{name}.txt"])

    def _texts(self) -> dict[str, dict[int, list[str]]]:
        """Texts of each object of each video, in the order of TEXTS."""
        found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for number, name in enumerate(TEXTS, start=1):
            path = self._file_of(name)
            errors = ErrorCollector()
            for line_number, line in enumerate(self._lines(path), start=1):
                with errors.collect(f"line {line_number}"):
                    parts = _LINE.fullmatch(line)
                    if parts is None:
                        raise InvalidInput(f'it is VIDEO OBJECT "TEXT", not {line!r}')
                    video = file_name(RENAMED.get(parts[1], parts[1]), "video")
                    texts = found[video][label_number(parts[2])]
                    texts.append(parts[3])
                    if len(texts) != number:
                        raise InvalidInput(
                            f"object {parts[2]} of {video} has {counted(len(texts), 'text')} in "
                            f"{counted(number, 'file')}"
                        )
            errors.raise_if_any(path)
        return found

    def _lines(self, path: Path) -> list[str]:
        """Yields the lines of a text file that are not empty; the texts of annotator 2 are Latin-1."""
        if not path.is_file():
            raise self.missing(path)
        try:
            text = read_text(path)
        except InvalidInput:
            text = path.read_text(encoding="latin1")
        return [line.strip() for line in text.splitlines() if line.strip()]


def _converted(root: Path, split: str) -> Path:
    return root / "meta_expressions" / SPLITS[split] / "meta_expressions.json"


def _names(root: Path, split: str) -> Path:
    return root / "DAVIS" / "ImageSets" / "2017" / f"{split}.txt"


def _video(name: str, texts: dict[int, list[str]]) -> Video:
    numbered = [(number, text) for number in sorted(texts) for text in texts[number]]
    expressions = tuple(Expression(text, (number,), id=f"{name}/{i}") for i, (number, text) in enumerate(numbered))
    return Video(name, expressions, annotations=tuple((str(number),) for number, _ in numbered))
