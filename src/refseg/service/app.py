"""The HTTP interface of a service."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from refseg import __version__
from refseg.service import openapi
from refseg.service.access import TokenRequired
from refseg.service.messages import Answer, Format
from refseg.service.problems import Problem
from refseg.service.requests import BatchImage, BatchRequest, Options, read_batch, read_segment
from refseg.service.service import Service, Slots

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(service: Service, token: str | None = None, origins: Sequence[str] = (), page: bool = False) -> FastAPI:
    """Returns the ASGI application of a service, which starts and stops with it.

    Args:
        service: answers the requests.
        token: token that requests must bring; None lets everybody ask.
        origins: origins whose pages may read answers in a browser (CORS), "https://example.org".
        page: whether there is a web page at "/" (needs gradio).
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()
            at_end.close()

    at_end = ExitStack()
    app = FastAPI(
        title="refseg",
        description=openapi.DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its scripts come from elsewhere
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(Exception, _answer_mistake)
    _add_segmenting(app, service)
    _add_watching(app, service)
    if page:
        from refseg.service.page.mount import mount

        at_end.callback(mount(app, service).close)
    else:
        app.get("/", include_in_schema=False)(_overview)
    if token is not None:
        app.add_middleware(TokenRequired, token=token)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after"],
        )
    return app


def _add_segmenting(app: FastAPI, service: Service) -> None:
    @app.post("/v1/segment", **openapi.SEGMENT)
    async def segment(request: Request) -> Response:
        with service.request("/v1/segment") as slots:
            async with _time_to_read(slots, service):
                asked = await read_segment(request, service.limits)
            service.check_weights(asked.weights)
            about = BatchImage(image=asked.image, expressions=asked.expressions)
            found = await _ask(service, slots, about, asked)
            if asked.format is not Format.JSON:
                return Response(found.body, media_type=found.media_type, headers={"x-refseg-weights": found.weights})
            facts = {**_facts(service, found), "seconds": _seconds(slots, service)}
            return Response(_joined(facts, "results", found.body), media_type="application/json")

    @app.post("/v1/segment/batch", **openapi.BATCH)
    async def segment_batch(request: Request) -> Response:
        with service.request("/v1/segment/batch") as slots:
            async with _time_to_read(slots, service):
                asked = await read_batch(request, service.limits)
            service.check_weights(asked.weights)
            service.widen(slots, len(asked.images))
            answers = await asyncio.gather(*(_one_of_batch(service, slots, asked, one) for one in asked.images))
            facts = {"version": __version__, "seconds": _seconds(slots, service)}
            return Response(_joined(facts, "images", b"[%s]" % b",".join(answers)), media_type="application/json")


def _add_watching(app: FastAPI, service: Service) -> None:
    @app.get("/v1/weights", **openapi.WEIGHTS)
    async def weights() -> dict[str, Any]:
        return {"version": __version__, "weights": [vars(facts) for facts in service.weights]}

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", **openapi.HEALTHZ)
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", **openapi.READYZ)
    async def readyz() -> Response:
        if service.is_ready:
            return PlainTextResponse("ready\n")
        if service.stopping:
            raise Problem(503, "stopping", "the service is being stopped", 5)
        raise Problem(503, "not_ready", "no worker has loaded its weights", 5)

    @app.get("/metrics", **openapi.METRICS)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.media_type)


async def _overview(request: Request) -> Response:
    return PlainTextResponse(openapi.OVERVIEW.replace("ADDRESS", str(request.base_url).rstrip("/")))


@asynccontextmanager
async def _time_to_read(slots: Slots, service: Service) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(slots.seconds_left):
            yield
    except TimeoutError:
        raise Problem(
            408,
            "timeout",
            f"the request did not arrive within {service.limits.seconds:g} seconds; send less, or faster",
        ) from None


async def _ask(service: Service, slots: Slots, about: BatchImage, asked: Options) -> Answer:
    return await service.answer(
        slots,
        about.image,
        about.expressions or (),
        weights=asked.weights,
        threshold=asked.threshold,
        format=asked.format,
        words=asked.words,
    )


async def _one_of_batch(service: Service, slots: Slots, asked: BatchRequest, one: BatchImage) -> bytes:
    """Returns the JSON of an image of a batch: its results, or its problem."""
    name = {"name": one.name} if one.name else {}
    try:
        found = await _ask(service, slots, one, asked)
    except Problem as problem:
        service.metrics.problems.labels(problem.code).inc()
        return json.dumps({**name, "problem": problem.to_dict()}).encode()
    facts = _facts(service, found)
    del facts["version"]
    return _joined({**name, **facts}, "results", found.body)


def _facts(service: Service, found: Answer) -> dict[str, Any]:
    digests = {facts.name: facts.sha256 for facts in service.weights}
    return {
        "weights": found.weights,
        "sha256": digests[found.weights],
        "version": __version__,
        "image_sha256": found.digest,
    }


def _seconds(slots: Slots, service: Service) -> float:
    return round(service.limits.seconds - slots.seconds_left, 4)


def _joined(facts: dict[str, Any], name: str, body: bytes) -> bytes:
    """Returns a JSON object of facts and one more field, whose JSON is there already."""
    return b'%s, "%s": %s}\n' % (json.dumps(facts).encode()[:-1], name.encode(), body)


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Answers what starlette refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    path, method = request.url.path, request.method
    if error.status_code == 404:
        return Problem(404, "not_found", f"there is no {path[:100]!r}; /openapi.json says what there is").response()
    if error.status_code == 405:
        allowed = headers.get("Allow", headers.get("allow", "another method"))
        detail = f"{method} cannot be used with {path[:100]}; use {allowed}"
        return Problem(405, "method_not_allowed", detail, headers=headers).response()
    return Problem(error.status_code, "bad_request", str(error.detail), headers=headers).response()


async def _answer_mistake(_: Request, error: Exception) -> Response:
    """Answers what no code foresaw; the server logs it."""
    return Problem(500, "internal_error", "the service could not answer; its log says why").response()
