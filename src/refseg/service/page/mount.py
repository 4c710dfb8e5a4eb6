"""The page as a part of the HTTP interface; it asks for nothing from outside of this machine."""

import os
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from refseg.optional import importing
from refseg.service.page.files import TemporaryFiles
from refseg.service.service import Service

SANS, MONO = ["ui-sans-serif", "system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # fonts of the system
MAX_SESSIONS = 1_000  # visitors whose page is remembered
ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
UPLOAD_OVERHEAD = 1.1  # bytes of a body for each byte of its image


def mount(app: FastAPI, service: Service) -> TemporaryFiles:
    """Adds the page at "/"; returns its files, which are closed when the service ends.

    Args:
        app: with all other routes.
        service: answers.

    Raises:
        InvalidInput: if there is no folder for uploads, or the page's library cannot be imported.
    """
    files = TemporaryFiles()
    files.start_sweeping()
    settings = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(files.folder)}  # uploads lie in the folder
    os.environ |= settings  # read when gradio is imported
    with importing("the page of refseg serve", "serve"):
        import gradio as gr
        from gradio import processing_utils

    from refseg.service.page.layout import CSS, Page

    app.add_route("/v1/{path:path}", _tell_what_there_is, methods=ALL_METHODS, include_in_schema=False)
    processing_utils.async_ssrf_protected_get = _refuse
    blocks = Page(service, files).blocks()
    blocks.state_session_capacity = MAX_SESSIONS
    blocks.has_launched = True  # otherwise gradio takes any file of this machine that a visitor names for an upload
    largest = int(service.limits.megabytes * 1e6)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=gr.themes.Default(font=SANS, font_mono=MONO),
        css=CSS,
        footer_links=[],
        show_error=False,
        max_file_size=largest,
        app_kwargs={"max_body_size": int(UPLOAD_OVERHEAD * largest)},
        ssr_mode=False,
        enable_monitoring=False,
    )
    return files


async def _tell_what_there_is(request: Request) -> Response:
    """Answers requests of unknown paths and methods below /v1, which the page would answer in its own way."""
    for route in request.app.routes:
        if route.matches(request.scope)[0] is Match.PARTIAL:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(route.methods))})
    raise HTTPException(404)


async def _refuse(url: str) -> Any:
    """Fetches nothing: an image that a visitor names by an address would be asked for from this machine."""
    raise ValueError("addresses of images are not followed; upload the image")
