"""The page as a part of the HTTP interface; it asks for nothing from outside of this machine."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from refseg.service.service import Service

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"], ["ui-monospace", "monospace"]
CONCURRENT = 64  # uploads and clicks at once; images wait in the service's own queue


def mount(app: FastAPI, service: Service) -> FastAPI:
    """Adds the page at "/".

    Args:
        app: with all other routes.
        service: answers.
    """
    folder = Path(tempfile.mkdtemp(prefix="refseg-page-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # uploads, read when gradio is imported
    import gradio as gr
    from gradio import processing_utils

    from refseg.service.page.layout import CSS, Page

    processing_utils.async_ssrf_protected_get = _refuse
    sans, mono = SYSTEM_FONTS
    blocks = Page(service, folder).blocks().queue(default_concurrency_limit=CONCURRENT, max_size=CONCURRENT)
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=gr.themes.Default(font=sans, font_mono=mono),
        css=CSS,
        footer_links=[],
        show_error=False,
        max_file_size=int(service.limits.megabytes * 1e6),
        ssr_mode=False,
        enable_monitoring=False,
    )


async def _refuse(url: str) -> Any:
    """Fetches nothing: an image that a visitor names by an address would be asked for from this machine."""
    raise ValueError("addresses of images are not followed; upload the image")
