"""Requests: a body of bounded size to images and expressions; uploads stay in memory.

Bodies are read in the event loop, and large ones are parsed and decoded on a thread.
"""

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from refseg.config import Config, one_line
from refseg.counting import counted
from refseg.errors import first_line
from refseg.service.limits import Limits
from refseg.service.messages import Format
from refseg.service.problems import Problem
from refseg.service.run_aside import run_aside

_MULTIPART, _JSON = "multipart/form-data", "application/json"
_EXAMPLES = "/openapi.json has examples"
_MORE_FIELDS = 256  # of a form than are allowed, so that these can be counted
_PART_BYTES = 2**17  # of a text of a form
_BASE64 = 4 / 3  # bytes in JSON for each byte of an image
_BASE64_PART = 2**20  # characters that are decoded at once, a multiple of 4
_OVERHEAD = 2**17  # bytes of a body beside its images

Expressions = Annotated[list[str], Field(min_length=1)]


class Options(Config):
    """Options of a request, which stand in its address or its body."""

    weights: str | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    format: Format = Format.JSON
    words: bool = False


class SegmentRequest(Options):
    """One image and expressions about it."""

    image: bytes
    expressions: Expressions


class BatchImage(Config):
    """An image of a batch; without expressions of its own it has those of the batch."""

    image: bytes
    expressions: Expressions | None = None
    name: str = ""


class BatchRequest(Options):
    """Several images, and expressions about each of them."""

    images: Annotated[list[BatchImage], Field(min_length=1)]
    expressions: Expressions | None = None


AnyRequest = TypeVar("AnyRequest", bound=Options)


@dataclass(frozen=True)
class _File:
    """A file of a form; no JSON can hold one."""

    name: str
    content: bytes = field(repr=False)


async def read_segment(request: Request, limits: Limits) -> SegmentRequest:
    """Reads a request about one image.

    Raises:
        Problem: 400, 413, 415 or 422.
    """
    body, size = await _read_body(request, limits)
    return await run_aside(size, lambda: _segment_request(_fields(body, request.query_params), limits))


def _segment_request(fields: dict[str, Any], limits: Limits) -> SegmentRequest:
    if files := _files(fields, "image"):
        if len(files) > 1:
            raise _not_valid(f"{counted(len(files), 'image')}; give one, or use /v1/segment/batch")
        fields["image"] = files[0].content
    elif "image" in fields:
        fields["image"] = _decoded(fields["image"], "image")
    asked = _validated(SegmentRequest, fields)
    if asked.words and asked.format is not Format.JSON:
        raise _not_valid(f"words are told in json, not in a picture; leave out words, or format={asked.format}")
    check_expressions(asked.expressions, limits)
    return asked


async def read_batch(request: Request, limits: Limits) -> BatchRequest:
    """Reads a request about several images, each of which has expressions then.

    Raises:
        Problem: 400, 413, 415 or 422.
    """
    body, size = await _read_body(request, limits)
    return await run_aside(size, lambda: _batch_request(_fields(body, request.query_params), limits))


def _batch_request(fields: dict[str, Any], limits: Limits) -> BatchRequest:
    given = fields.get("images")
    if isinstance(given, list):
        if len(given) > min(limits.images, limits.queue):
            raise _not_valid(
                f"{counted(len(given), 'image')}; at most {min(limits.images, limits.queue)} are allowed here; ask in "
                "several requests"
            )
        for number, one in enumerate(given):
            if isinstance(one, dict) and "image" in one:
                one["image"] = _decoded(one["image"], f"images.{number}.image")
        if files := _files(fields, "images"):
            fields["images"] = [{"name": file.name, "image": file.content} for file in files]
    asked = _validated(BatchRequest, fields)
    if asked.format is not Format.JSON:
        raise _not_valid(f"a batch is answered as json, not as {asked.format}; ask for that image by image")
    images = []
    for number, image in enumerate(asked.images):
        expressions = image.expressions or asked.expressions
        if expressions is None:
            raise _not_valid(f"images.{number} has no expressions, nor has the batch; give some")
        check_expressions(expressions, limits)
        images.append(image.replace(expressions=expressions))
    return asked.replace(images=images)


def check_expressions(expressions: Sequence[str], limits: Limits) -> None:
    """Checks the number of expressions about an image, and their lengths.

    Raises:
        Problem: 422, if there is none, or more than the service allows.
    """
    if not expressions:
        raise _not_valid("there is no expression; give at least one")
    if len(expressions) > limits.expressions:
        raise _not_valid(
            f"{counted(len(expressions), 'expression')} about an image; at most {limits.expressions} are allowed here, "
            "ask in several requests"
        )
    longest = max(map(len, expressions))
    if longest > limits.characters:
        raise _not_valid(f"an expression has {longest} characters; at most {limits.characters} are allowed here")


async def _read_body(request: Request, limits: Limits) -> tuple[bytes | FormData, int]:
    """Reads a body of JSON, or a form, and its size in bytes."""
    kind = parse_options_header(request.headers.get("content-type"))[0].decode("latin-1")
    if kind not in (_MULTIPART, _JSON):
        raise Problem(
            415, "not_supported", f"a body of type {kind or 'unknown'!r} cannot be read; send {_MULTIPART} or {_JSON}"
        )
    most = limits.megabytes * 1e6 * (_BASE64 if kind == _JSON else 1) + _OVERHEAD
    try:
        if kind == _JSON:
            content = b"".join([part async for part in _bounded(request, most, limits)])
            return content, len(content)
        form = await _read_form(request, _bounded(request, most, limits), most, limits)
        return form, sum(value.size or 0 for _, value in form.multi_items() if isinstance(value, UploadFile))
    except ClientDisconnect:
        raise Problem(400, "bad_request", "the connection ended before the request was whole") from None


def _fields(content: bytes | FormData, address: QueryParams) -> dict[str, Any]:
    """Returns the fields of a body and of the address; files of a form are in lists."""
    body = _parsed(content) if isinstance(content, bytes) else _fields_of_form(content)
    options: dict[str, Any] = {}
    for name, value in address.multi_items():
        if name in body or name in options:
            raise _not_valid(f"{name} is given twice; give it once, in the address or the body")
        options[name] = value
    fields = {**body, **options}
    if isinstance(alone := fields.get("expressions"), str):
        fields["expressions"] = [alone]
    return fields


async def _bounded(request: Request, most: float, limits: Limits) -> AsyncGenerator[bytes, None]:
    too_large = Problem(
        413, "too_large", f"the body is larger than the {limits.megabytes:g} MB that are allowed here; send less"
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > most:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        yield part


async def _read_form(request: Request, stream: AsyncGenerator[bytes, None], most: float, limits: Limits) -> FormData:
    parser = MultiPartParser(
        request.headers,
        stream,
        max_files=limits.images + _MORE_FIELDS,
        max_fields=limits.expressions + _MORE_FIELDS,
        max_part_size=_PART_BYTES,
    )
    parser.spool_max_size = int(most) + 1  # never on the disk
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise Problem(400, "bad_request", f"the form cannot be read ({first_line(error)}); {_EXAMPLES}") from error


def _fields_of_form(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if not isinstance(fields.setdefault(name, []), list):
                raise _not_valid(f"{name} is both a text and a file; give one of them")
            fields[name].append(_File(value.filename or "", value.file.read()))
            value.file.close()
        elif name == "expressions":
            fields.setdefault(name, []).append(value)
        elif name in ("image", "images"):
            raise _not_valid(f"{name} is a text; give a file, for example: curl -F {name}=@photo.jpg")
        elif name in fields:
            raise _not_valid(f"{name} is given twice; give it once")
        else:
            fields[name] = value
    return fields


def _files(fields: Mapping[str, Any], name: str) -> list[_File]:
    """Returns the files of this name, [] if there are none."""
    given = fields.get(name)
    return [one for one in given if isinstance(one, _File)] if isinstance(given, list) else []


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        fields = from_json(body)
    except ValueError as error:
        raise Problem(400, "bad_request", f"the body is no JSON ({first_line(error)}); {_EXAMPLES}") from error
    if not isinstance(fields, dict):
        raise Problem(400, "bad_request", f"the body is no JSON object; {_EXAMPLES}")
    return fields


def _decoded(value: object, name: str) -> bytes:
    """Returns the bytes of base64, or of a data URL in base64."""
    if not isinstance(value, str):
        raise _not_valid(f"{name} is no text; give the image file in base64")
    head, comma, rest = value[:100].partition(",")
    text = value[len(head) + 1 :] if comma and head.startswith("data:") and head.endswith(";base64") else value
    try:
        return _decode_base64("".join(text.split()))
    except (binascii.Error, ValueError) as error:
        raise _not_valid(f"{name} is no base64 ({first_line(error)}); give the image file in base64") from error


def _decode_base64(text: str) -> bytes:
    """Decodes base64 part by part, so that other threads may run in between."""
    if "=" in text[:-2]:
        raise ValueError("Discontinuous padding not allowed")
    parts = (text[start : start + _BASE64_PART] for start in range(0, len(text), _BASE64_PART))
    return b"".join([base64.b64decode(part, validate=True) for part in parts])


def _validated(model: type[AnyRequest], fields: Mapping[str, Any]) -> AnyRequest:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _not_valid(f"{one_line(error, model)}; {_EXAMPLES}") from error


def _not_valid(detail: str) -> Problem:
    return Problem(422, "not_valid", detail)
