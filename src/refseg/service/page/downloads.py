"""What the page offers for download: masks, pictures and JSON of all answers, in one archive."""

import io
import json
import re
import zipfile

import numpy as np
from PIL import Image

from refseg import __version__
from refseg.service.page.asked import Answered
from refseg.service.page.drawing import overlay


def archive(answered: Answered) -> bytes:
    """Returns a .zip with a folder for each network: answers.json, a mask for each expression, and the overlay."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for number, column in enumerate(answered.columns, start=1):
            if column.problem:
                continue
            folder = f"{number}_{re.sub(r'[^A-Za-z0-9._-]+', '_', column.weights)[:60]}"
            results = [one.facts for one in column.answers]
            facts = {"weights": column.weights, "version": __version__, "results": results}
            file.writestr(f"{folder}/answers.json", json.dumps(facts, indent=1, allow_nan=False) + "\n")
            for k, one in enumerate(column.answers, start=1):
                file.writestr(f"{folder}/mask_{k}.png", _png(Image.fromarray(one.mask.astype(np.uint8) * 255)))
            drawn = overlay(answered, column, answered.expressions, opacity=1, boxes=False)
            file.writestr(f"{folder}/overlay.png", _png(drawn))
    return packed.getvalue()


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
