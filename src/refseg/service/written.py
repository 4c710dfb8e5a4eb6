"""Written answers: results as JSON, masks or overlays."""

import io
import json
import zipfile
from collections.abc import Sequence

from PIL import Image

from refseg.inference.results import Result
from refseg.service.messages import Format


def write(results: Sequence[Result], form: Format, kind: str) -> tuple[str, bytes]:
    """Returns media type and content: JSON of the list of results, or a picture, of several results an archive.

    Args:
        results: about one image.
        form: of the answer.
        kind: format of the image file; overlays of a JPEG are JPEGs, which are much smaller.
    """
    if form is Format.JSON:
        return "application/json", json.dumps([one.to_dict() for one in results], allow_nan=False).encode()
    is_jpeg = form is Format.OVERLAY and kind in ("JPEG", "MPO")
    pictures = [_encoded(one.picture() if form is Format.OVERLAY else _mask(one), is_jpeg) for one in results]
    if len(pictures) == 1:
        return ("image/jpeg" if is_jpeg else "image/png"), pictures[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(pictures, start=1):
            archive.writestr(f"{number}.{'jpg' if is_jpeg else 'png'}", picture)
    return "application/zip", packed.getvalue()


def _mask(result: Result) -> Image.Image:
    return Image.fromarray(result.mask.astype("uint8") * 255)


def _encoded(picture: Image.Image, is_jpeg: bool) -> bytes:
    file = io.BytesIO()
    if is_jpeg:
        picture.save(file, "JPEG", quality=92, subsampling=0)
    else:
        picture.save(file, "PNG")
    return file.getvalue()
