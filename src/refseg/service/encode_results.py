"""Results as the bodies of answers: JSON, masks or overlays."""

import io
import json
import zipfile
from collections.abc import Sequence

from PIL import Image

from refseg.inference.results import Result
from refseg.masks.pictures import encode_picture
from refseg.service.messages import Format


def encode_result(result: Result, form: Format, kind: str) -> bytes:
    """Returns a result as JSON or as a picture.

    Args:
        result: the result.
        form: form of the answer.
        kind: format of the image file, "JPEG"; overlays of a JPEG are JPEGs, which are much smaller.
    """
    if form is Format.JSON:
        return json.dumps(result.to_dict(), allow_nan=False).encode()
    picture = result.picture() if form is Format.OVERLAY else _mask(result)
    return encode_picture(picture, "JPEG" if _is_jpeg(form, kind) else "PNG")


def join_results(encoded: Sequence[bytes], form: Format, kind: str) -> tuple[str, bytes]:
    """Returns media type and content of an answer: a JSON list, or a picture, of several results an archive."""
    if form is Format.JSON:
        return "application/json", b"[%s]" % b", ".join(encoded)
    is_jpeg = _is_jpeg(form, kind)
    if len(encoded) == 1:
        return ("image/jpeg" if is_jpeg else "image/png"), encoded[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(encoded, start=1):
            archive.writestr(f"{number}.{'jpg' if is_jpeg else 'png'}", picture)
    return "application/zip", packed.getvalue()


def _is_jpeg(form: Format, kind: str) -> bool:
    return form is Format.OVERLAY and kind in ("JPEG", "MPO")


def _mask(result: Result) -> Image.Image:
    return Image.fromarray(result.mask.astype("uint8") * 255)
