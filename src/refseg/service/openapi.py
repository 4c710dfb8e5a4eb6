"""What /openapi.json says of the HTTP interface, with examples that work."""

from typing import Any

from refseg.service.messages import Format

DESCRIPTION = "Referring segmentation: an image and expressions in, the masks of what they refer to out."
WHITE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGklEQVR42mP8//8/AymAiYFEMKphVMPQ0QAAVW0DHfeH1GIAAAAASUVORK5CYII="
)
"""A white picture of 16 x 16 pixels, a PNG in base64."""
OVERVIEW = """refseg: an image and expressions in, the masks of what they refer to out

POST /v1/segment        an image and expressions: JSON, or ?format=mask, overlay
POST /v1/segment/batch  several images
GET  /v1/weights        what answers
GET  /openapi.json      all of it, with examples
GET  /healthz /readyz /metrics

curl -F image=@photo.jpg -F 'expressions=the red cup' ADDRESS/v1/segment
"""
RESULT: dict[str, Any] = {
    "expression": "the red star",
    "found": False,
    "exists": 0.000012,
    "exists_threshold": 0.5,
    "decided_by": "existence threshold",
    "familiar": True,
    "size": [16, 16],
    "area": 0,
    "box": None,
    "rle": {"size": [16, 16], "counts": "P8"},
    "instances": [],
    "warnings": [],
    "unknown_words": [],
}
"""A result as JSON; weights with more to tell add `reading` or `candidates`."""
_FACTS = {"weights": "selector", "sha256": "9f2c...", "version": "0.1.0"}
SEGMENT_ANSWER: dict[str, Any] = {**_FACTS, "image_sha256": "41ab...", "seconds": 0.08, "results": [RESULT]}
_PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "unknown weights 'selectr'; did you mean selector? choose one of: selector",
    "code": "not_valid",
}
BATCH_ANSWER: dict[str, Any] = {
    "version": "0.1.0",
    "seconds": 0.11,
    "images": [
        {"name": "a.png", **_FACTS, "image_sha256": "41ab...", "results": [RESULT]},
        {"name": "b.png", "problem": {**_PROBLEM, "detail": "the image is empty; give an image file"}},
    ],
}
del BATCH_ANSWER["images"][0]["version"]
SEGMENT_EXAMPLE = {"image": WHITE, "expressions": ["the red star", "both circles"], "threshold": 0.5}
BATCH_EXAMPLE = {
    "images": [{"name": "a.png", "image": WHITE}, {"name": "b.png", "image": WHITE, "expressions": ["the blue ring"]}],
    "expressions": ["the red star"],
}

_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "Sentences about the image."}
_OPTIONS: dict[str, Any] = {
    "weights": {"type": "string", "description": "Which weights answer; /v1/weights lists them."},
    "threshold": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "description": "Probability of existence above which there is a mask; by default that of the weights.",
    },
    "format": {
        "type": "string",
        "enum": [*Format],
        "default": Format.JSON,
        "description": "json, or pictures: a mask (PNG, 0 and 255) or an overlay for each expression. Of several "
        "expressions they come as a zip, 1.png, 2.png, ... in their order.",
    },
    "words": {
        "type": "boolean",
        "default": False,
        "description": "Whether results tell, as `words`, what weight each word has in the network; in json only.",
    },
}
_BATCH_OPTIONS = {name: schema for name, schema in _OPTIONS.items() if name != "format"}  # a batch is JSON
_BASE64 = {"type": "string", "contentEncoding": "base64", "description": "An image file in base64, or a data URL."}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream", "description": "An image file."}
_STATUSES = {
    400: "The request cannot be read.",
    401: "It brings no valid token.",
    408: "It did not arrive in time.",
    413: "The body or the image is too large.",
    415: "The body, or the image, is of a type that cannot be read.",
    422: "The request can be read, and asks for something that is not possible.",
    500: "A mistake of the service; its log says more.",
    503: "Not now: too many requests, weights being loaded, a worker that died, the end. `code` says which.",
    504: "There was no answer in time.",
}


_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was given, what is allowed, the way out."},
        "code": {"type": "string", "description": "For programs."},
        "retry_after": {"type": "integer", "description": "Seconds."},
    },
    "example": _PROBLEM,
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        content = {"application/problem+json": {"schema": _PROBLEM_SCHEMA}}
        found[status] = {"description": _STATUSES[status], "content": content}
        if status == 503:
            found[status]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def _body(schemas: dict[str, tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """Returns a request body: for each media type a schema and an example."""
    content = {kind: {"schema": schema, "example": example} for kind, (schema, example) in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


_PARAMETERS = [
    {"name": name, "in": "query", "schema": schema, "description": schema["description"]}
    for name, schema in _OPTIONS.items()
]
_IMAGE_OBJECT = _object(["image"], image=_BASE64, expressions=_TEXTS, name={"type": "string"})

SEGMENT: dict[str, Any] = {
    "summary": "Segment an image by one or more expressions",
    "description": "The image is encoded once for all expressions, and kept for a while: asking again is cheaper.",
    "operation_id": "segment",
    "responses": {
        200: {
            "description": "A result for each expression, in their order.",
            "content": {
                "application/json": {"example": SEGMENT_ANSWER},
                "image/png": {"schema": _FILE},
                "image/jpeg": {"schema": _FILE},
                "application/zip": {"schema": _FILE},
            },
        },
        **_problems(400, 401, 408, 413, 415, 422, 500, 503, 504),
    },
    "openapi_extra": {
        "parameters": _PARAMETERS,
        **_body(
            {
                "multipart/form-data": (
                    _object(["image", "expressions"], image=_FILE, expressions=_TEXTS, **_OPTIONS),
                    {"image": "(the file)", "expressions": ["the red star", "both circles"]},
                ),
                "application/json": (
                    _object(["image", "expressions"], image=_BASE64, expressions=_TEXTS, **_OPTIONS),
                    SEGMENT_EXAMPLE,
                ),
            }
        ),
    },
}
BATCH: dict[str, Any] = {
    "summary": "Segment several images",
    "description": "An image that cannot be answered has a `problem` in place of `results`; the others are answered.",
    "operation_id": "segment_batch",
    "responses": {
        200: {
            "description": "An entry for each image, in their order.",
            "content": {"application/json": {"example": BATCH_ANSWER}},
        },
        **_problems(400, 401, 408, 413, 415, 422, 500, 503),
    },
    "openapi_extra": {
        "parameters": [one for one in _PARAMETERS if one["name"] in _BATCH_OPTIONS],
        **_body(
            {
                "multipart/form-data": (
                    _object(
                        ["images", "expressions"],
                        images={"type": "array", "items": _FILE},
                        expressions=_TEXTS,
                        **_BATCH_OPTIONS,
                    ),
                    {"images": ["(a file)", "(another)"], "expressions": ["the red star"]},
                ),
                "application/json": (
                    _object(
                        ["images"],
                        images={"type": "array", "items": _IMAGE_OBJECT},
                        expressions=_TEXTS,
                        **_BATCH_OPTIONS,
                    ),
                    BATCH_EXAMPLE,
                ),
            }
        ),
    },
}
WEIGHTS: dict[str, Any] = {"summary": "List the weights that answer", "operation_id": "weights"}
HEALTHZ: dict[str, Any] = {"summary": "Whether the service runs", "operation_id": "healthz"}
READYZ: dict[str, Any] = {
    "summary": "Whether it accepts requests and a worker can answer them",
    "operation_id": "readyz",
    "responses": _problems(503),
}
METRICS: dict[str, Any] = {"summary": "Metrics in the text format of Prometheus", "operation_id": "metrics"}
