"""The page: a tab for images and one for videos.

Answers    are kept for a while, so that masks are switched on and off without asking again; a visitor holds their key.
Pictures   are drawn and written on threads, and handed over as files, which the event loop only sends.
Requests   are plain ones, not gradio's queue: one that joins it while the page's stream of an earlier answer is being
           closed is never answered.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from refseg.service.page.files import KEPT_SECONDS, TemporaryFiles
from refseg.service.page.image import CSS as IMAGE_CSS
from refseg.service.page.image import ImageTab
from refseg.service.page.video import CSS as VIDEO_CSS
from refseg.service.page.video import VideoTab
from refseg.service.service import Service

T = TypeVar("T")
MAX_THREADS = 2  # that draw pictures and write downloads
WELCOME = "Say what to find in an image or a short video: one thing, several, or something that is not there."
CSS = (
    """
.refseg-legend { list-style: none; padding: 0; } .refseg-legend li { margin: 0 0 .6em 0; }
.refseg-colour { display: inline-block; width: .9em; height: .9em; border-radius: 3px; margin-right: .5em; }
.refseg-small { opacity: .75; font-size: .85em; }
.refseg-warning { border-left: 3px solid #d97706; padding-left: .6em; }
.refseg-problem { border-left: 3px solid #dc2626; padding-left: .6em; }
.gradio-container .prose { overflow-wrap: break-word; }
.refseg-unseen-button { display: none !important; }
:focus-visible { outline: 2px solid #2563eb; outline-offset: 2px; }
"""
    + IMAGE_CSS
    + VIDEO_CSS
)


class Page:
    """The page of a service.

    Args:
        service: answers.
        files: of uploads, pictures and downloads.
    """

    def __init__(self, service: Service, files: TemporaryFiles):
        self._may_work = asyncio.Semaphore(MAX_THREADS)
        self.image, self.video = (tab(service, files, self._on_thread) for tab in (ImageTab, VideoTab))

    def blocks(self) -> gr.Blocks:
        """Builds the page; each tab has its own sentences and answers."""
        with gr.Blocks(title="refseg", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as blocks:
            gr.Markdown(f"# refseg\n{WELCOME}")
            with gr.Tabs():
                with gr.Tab("Image", elem_id="refseg-image-tab"):
                    self.image.build()
                with gr.Tab("Video", elem_id="refseg-video-tab"):
                    self.video.build()
        return blocks

    async def _on_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function on a thread, few at once."""
        async with self._may_work:
            return await asyncio.to_thread(function, *arguments)
