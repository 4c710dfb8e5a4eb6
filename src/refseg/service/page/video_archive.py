"""Masks, overlay videos and JSON of all answers about a video in one archive, for download."""

import io
import json
import zipfile
from pathlib import Path

from PIL import Image

from refseg import __version__
from refseg.errors import InvalidInput
from refseg.masks.rle import decode_rle, parse_rle
from refseg.service.answer_video import ANSWERS, OVERLAY
from refseg.service.page.answers import EXPIRED
from refseg.service.page.downloads import folder_name
from refseg.service.page.video_answers import VideoAnswered


def write_video_archive(answered: VideoAnswered, file: Path) -> None:
    """Writes a .zip with a folder for each network.

    In it are the answers over the whole video (answers.json), all that is known of each frame (frames.jsonl), the
    overlay video, and a folder of masks for each expression: PNG of one bit, named by the numbers of the frames.

    Raises:
        InvalidInput: if the answers are no longer there.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, column in enumerate(answered.columns, start=1):
            if column.problem:
                continue
            folder = folder_name(number, column.weights)
            facts = {"video": answered.name, "weights": column.weights, "version": __version__, **column.facts}
            archive.writestr(f"{folder}/answers.json", json.dumps(facts, indent=1, allow_nan=False) + "\n")
            try:
                archive.write(column.folder / OVERLAY, f"{folder}/{OVERLAY}")
                archive.write(column.folder / ANSWERS, f"{folder}/{ANSWERS}", zipfile.ZIP_DEFLATED)
                _write_masks(archive, column.folder / ANSWERS, folder)
            except FileNotFoundError as error:
                raise InvalidInput(EXPIRED) from error


def _write_masks(archive: zipfile.ZipFile, answers: Path, folder: str) -> None:
    with answers.open(encoding="utf-8") as lines:
        for line in lines:
            for k, answer in enumerate(json.loads(line), start=1):
                picture = io.BytesIO()
                Image.fromarray(decode_rle(parse_rle(answer["rle"]))).save(picture, "PNG")
                archive.writestr(f"{folder}/masks_{k}/{answer['frame']:06d}.png", picture.getvalue())
