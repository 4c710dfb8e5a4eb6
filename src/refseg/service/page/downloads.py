"""Masks, pictures and JSON of all answers in one archive, for download."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from refseg import __version__
from refseg.masks.pictures import encode_picture
from refseg.service.page.answers import Answered
from refseg.service.page.drawing import draw_overlay


def write_archive(answered: Answered, file: Path) -> None:
    """Writes a .zip with a folder for each network: answers.json, a mask for each expression, and the overlay."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, column in enumerate(answered.columns, start=1):
            if column.problem:
                continue
            folder = folder_name(number, column.weights)
            results = [one.facts for one in column.answers]
            facts = {"weights": column.weights, "version": __version__, "results": results}
            archive.writestr(f"{folder}/answers.json", json.dumps(facts, indent=1, allow_nan=False) + "\n")
            for k, one in enumerate(column.answers, start=1):
                archive.writestr(
                    f"{folder}/mask_{k}.png",
                    encode_picture(Image.fromarray(one.decode_mask().astype(np.uint8) * 255), "PNG"),
                )
            drawn = draw_overlay(answered, column, answered.expressions, opacity=0.5, boxes=False)
            archive.writestr(f"{folder}/overlay.png", encode_picture(drawn, "PNG"))


def folder_name(number: int, weights: str) -> str:
    """Returns the folder of a network's answers in an archive.

    >>> folder_name(2, "../weights of mine")
    '2_.._weights_of_mine'
    """
    return f"{number}_{re.sub(r'[^A-Za-z0-9._-]+', '_', weights)[:60]}"
