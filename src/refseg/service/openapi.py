"""What /openapi.json says of the HTTP interface, with examples that work."""

from collections.abc import Collection
from typing import Any, get_args

from starlette.responses import PlainTextResponse

from refseg.service.messages import Format
from refseg.service.problems import Code, Problem
from refseg.service.schemas import BatchAnswer, ProblemDetails, SegmentAnswer, WeightsAnswer

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
_RLE = {"size": [128, 128], "counts": "QW=5j3:G000O2O0O10000O101N1001O1O1N2M4L3N2M3Nl4"}
RESULT: dict[str, Any] = {
    "expression": "the small orange pentagon",
    "found": True,
    "exists": 0.999975,
    "exists_threshold": 0.899304,
    "decided_by": "mask",
    "familiar": True,
    "size": [128, 128],
    "area": 315,
    "box": [105, 92, 126, 113],  # null where nothing is found, which FastAPI would leave out of an example
    "rle": _RLE,
    "instances": [{"box": [105, 92, 126, 113], "area": 315, "rle": _RLE}],
    "warnings": [],
    "unknown_words": [],
}
"""A result as JSON; weights with more to tell add `reading`, `candidates` or `words`."""
_FACTS = {"weights": "selector", "sha256": "9f2c...", "version": "0.2.0"}
SEGMENT_ANSWER: dict[str, Any] = {**_FACTS, "image_sha256": "41ab...", "seconds": 0.08, "results": [RESULT]}
BATCH_ANSWER: dict[str, Any] = {
    "version": "0.2.0",
    "seconds": 0.11,
    "images": [
        {"name": "a.png", **_FACTS, "image_sha256": "41ab...", "results": [RESULT]},
        {"name": "b.png", "problem": Problem(422, "not_valid", "the image is empty; give an image file").to_dict()},
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


_PROBLEMS = (
    Problem(
        400,
        "bad_request",
        "the body is no JSON (EOF while parsing a list at line 1 column 2); /openapi.json has examples",
    ),
    Problem(401, "unauthorized", "the request brings no valid token; send the header 'Authorization: Bearer TOKEN'"),
    Problem(408, "timeout", "the request did not arrive within 60 seconds; send less, or faster"),
    Problem(
        413,
        "too_large",
        "the image has 48.0 megapixels (8000 x 6000), at most 25 are allowed here; make it smaller first",
    ),
    Problem(415, "not_supported", "the image is of an unknown format; give a PNG or JPEG"),
    Problem(422, "not_valid", "unknown weights 'selectr'; did you mean selector? choose one of: selector"),
    Problem(500, "internal_error", "the service could not answer; its log says why"),
    Problem(503, "queue_full", "64 images of at most 64 are waiting to be answered; ask again later", 3),
    Problem(503, "not_ready", "the weights are being loaded; ask again soon", 5),
    Problem(503, "worker_died", "the worker that had this image has died and is started again; ask again", 5),
    Problem(503, "out_of_memory", "there is not enough memory for this request; make it smaller", 1),
    Problem(503, "stopping", "the service is being stopped; ask another one, or ask again", 5),
    Problem(504, "timeout", "there was no answer within 60 seconds; ask later, or about fewer expressions"),
)
_PROBLEM_SCHEMA = ProblemDetails.model_json_schema()


def _problems(*statuses: int, of: Collection[str] = get_args(Code)) -> dict[int | str, dict[str, Any]]:
    """Returns the responses of these statuses, with an example for each code."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        examples = {one.code: {"value": one.to_dict()} for one in _PROBLEMS if one.status == status and one.code in of}
        content = {"application/problem+json": {"schema": _PROBLEM_SCHEMA, "examples": examples}}
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
            "model": SegmentAnswer,
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
            "model": BatchAnswer,
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
WEIGHTS: dict[str, Any] = {
    "summary": "List the weights that answer",
    "operation_id": "weights",
    "response_model": WeightsAnswer,
    "responses": _problems(401),
}
HEALTHZ: dict[str, Any] = {
    "summary": "Whether the service runs",
    "operation_id": "healthz",
    "response_class": PlainTextResponse,
}
READYZ: dict[str, Any] = {
    "summary": "Whether it accepts requests and a worker can answer them",
    "operation_id": "readyz",
    "response_class": PlainTextResponse,
    "responses": _problems(503, of=("not_ready", "stopping")),
}
METRICS: dict[str, Any] = {
    "summary": "Metrics in the text format of Prometheus",
    "operation_id": "metrics",
    "response_class": PlainTextResponse,
    "responses": _problems(401),
}
