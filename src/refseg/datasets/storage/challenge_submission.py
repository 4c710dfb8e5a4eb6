"""Zip files of masks for the servers of the video challenges."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from refseg.array_types import Mask
from refseg.counting import counted
from refseg.datasets.storage.clip_dataset import ClipsOfFiles
from refseg.errors import InvalidInput
from refseg.files.atomic import all_or_nothing
from refseg.files.names import file_name
from refseg.samples import Clip

Answer = tuple[Clip, int, Iterable[Mask]]
"""A clip, the number of one of its expressions, and the masks (H, W) of all of its frames in their order."""


class SubmittedClips(ClipsOfFiles):
    """A data set of videos that the server of a challenge evaluates."""

    inside: ClassVar[str] = ""
    """Folder at the top of the zip."""

    def write_submission(self, out: str | Path, answers: Iterable[Answer]) -> None:
        """Writes the zip file for the challenge's server: FOLDER/video/expression/frame.png.

        Args:
            out: the .zip file.
            answers: to every expression of the split: a clip, the number of an expression, the masks of all frames.

        Raises:
            InvalidInput: if they are not complete.
            UnwritableOutput: if it cannot be written.
        """
        expected = (expression.id for video in self._videos for expression in video.expressions)
        write_zip(Path(out), answers, expected, self.inside)


def write_zip(out: Path, answers: Iterable[Answer], expected: Iterable[str], folder: str = "") -> None:
    """Writes a PNG of 0 and 255 for each frame: FOLDER/video/expression/frame.png. Masks are consumed one by one.

    Args:
        out: the .zip file.
        answers: to every expression of the split, in any order.
        expected: ids of the split's expressions.
        folder: at the top of the zip.

    Raises:
        InvalidInput: if an answer is missing, given twice, of another size, or has too few or too many masks.
        UnwritableOutput: if the file cannot be written.
    """
    if out.suffix != ".zip":
        raise InvalidInput(f"{out} is to be a zip file; let its name end in .zip")
    left = dict.fromkeys(expected)
    with all_or_nothing(out.parent) as staging, zipfile.ZipFile(staging / out.name, "w") as file:
        for clip, index, masks in answers:
            answered = clip.expressions[index].id
            if answered not in left:
                raise InvalidInput(f"expression {answered} is answered twice, or not one of this split")
            del left[answered]
            t = -1
            for t, mask in enumerate(masks):
                if t >= len(clip) or mask.shape != clip.size_hw:
                    wanted = f"it takes {counted(len(clip), 'mask')} of {clip.size_hw}"
                    raise InvalidInput(f"mask {t} of expression {answered} is {mask.shape}; {wanted}")
                png = io.BytesIO()
                Image.fromarray(mask.astype(np.uint8) * 255).save(png, "PNG")
                parts = [*filter(None, [folder]), *answered.split("/"), clip.frame_name(t)]
                name = "/".join(file_name(part, "part of an expression id") for part in parts)
                file.writestr(f"{name}.png", png.getvalue())
            if t + 1 != len(clip):
                raise InvalidInput(
                    f"expression {answered} has {counted(t + 1, 'mask')}; {clip.clip_id} has "
                    f"{counted(len(clip), 'frame')}"
                )
        if left:
            raise InvalidInput(
                f"there is no answer for {counted(len(left), 'expression')}, for example {next(iter(left))}"
            )
