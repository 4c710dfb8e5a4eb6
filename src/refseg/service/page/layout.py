"""The parts of the page, and what happens when they are used.

Answers    are kept for a while, so that masks are switched on and off without asking again; a visitor holds their key.
Pictures   are drawn and written on threads, and handed over as files, which the event loop only sends.
Requests   are plain ones, not gradio's queue: one that joins it while the page's stream of an earlier answer is being
           closed is never answered.
"""

import asyncio
import random
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from refseg.errors import RefsegError
from refseg.masks.pictures import encode_picture
from refseg.service.page.answers import Answered, Kept, ask, split_expressions
from refseg.service.page.downloads import write_archive
from refseg.service.page.drawing import draw_difference, draw_overlay
from refseg.service.page.fields import PLAIN, SUITED, add_expressions, add_weights, click
from refseg.service.page.files import KEPT_SECONDS, TemporaryFiles
from refseg.service.page.legend import format_legend, format_readings
from refseg.service.page.samples import draw_sample
from refseg.service.page.video import CSS as VIDEO_CSS
from refseg.service.page.video import VideoTab
from refseg.service.problems import Problem
from refseg.service.service import Service
from refseg.video.formats import is_video_file

T = TypeVar("T")
MAX_KEPT_BYTES = 256e6  # of answers
MAX_DRAWN_AT_ONCE = 2  # pictures
WELCOME = "Say what to find in an image or a short video: one thing, several, or something that is not there."
PICTURE: dict[str, Any] = {
    "interactive": False,
    "visible": False,
    "buttons": ["download", "fullscreen"],
    "elem_classes": "refseg-picture",
}
CSS = (
    """
.refseg-legend { list-style: none; padding: 0; } .refseg-legend li { margin: 0 0 .6em 0; }
.refseg-colour { display: inline-block; width: .9em; height: .9em; border-radius: 3px; margin-right: .5em; }
.refseg-small { opacity: .75; font-size: .85em; }
.refseg-word { position: relative; display: inline-block; padding: 0 .3em; border-radius: 3px; }
.refseg-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.refseg-warning { border-left: 3px solid #d97706; padding-left: .6em; }
.refseg-picture img { max-height: 70vh; object-fit: contain; }
#refseg-problem p, .refseg-problem p { border-left: 3px solid #dc2626; padding-left: .6em; }
:focus-visible { outline: 2px solid #2563eb; outline-offset: 2px; }
"""
    + VIDEO_CSS
)


class Page:
    """The page of a service.

    Args:
        service: answers.
        files: of pictures and downloads.
    """

    def __init__(self, service: Service, files: TemporaryFiles):
        self.service, self.files, self.kept = service, files, Kept(KEPT_SECONDS, MAX_KEPT_BYTES)
        self._may_draw = asyncio.Semaphore(MAX_DRAWN_AT_ONCE)
        setup = service.setups[0]
        suited = [("what suits the image", SUITED)] if setup.by_image else []
        self.choices = [*suited, *((name, name) for name in setup.weights if name != setup.for_videos)]

    def blocks(self) -> gr.Blocks:
        """Builds the page: a tab for images and one for videos, each with its own sentences and answers."""
        with gr.Blocks(title="refseg", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as blocks:
            gr.Markdown(f"# refseg\n{WELCOME}")
            with gr.Tabs():
                self._image_tab()
                with gr.Tab("Video", elem_id="refseg-video-tab"):
                    VideoTab(self.service, self.files, self._on_thread, self._get_path).build()
        return blocks

    def _image_tab(self) -> None:
        with gr.Tab("Image", elem_id="refseg-image-tab"):
            with gr.Row():
                with gr.Column():
                    image = gr.Image(
                        label="Image: drop it, paste it, or choose a file",
                        type="filepath",
                        sources=["upload", "clipboard"],
                        buttons=["fullscreen"],
                        height=380,
                    )
                    image.preprocess = self._get_path  # type: ignore[method-assign]
                    sample = gr.Button("Draw a scene", elem_id="refseg-sample")
                with gr.Column():
                    text = add_expressions("the dog left of the red chair\nboth people in hats", "refseg-expressions")
                    weights = add_weights(self.choices, "Weights; several are shown side by side", "refseg-weights")
                    find = gr.Button("Find", variant="primary", elem_id="refseg-find")
                    problem = gr.Markdown(visible=False, elem_id="refseg-problem")
            with gr.Column(visible=False) as results:
                with gr.Row():
                    shown = gr.CheckboxGroup([], label="Shown", scale=3, elem_id="refseg-shown")
                    opacity = gr.Slider(0, 1, 0.5, step=0.1, label="Opacity of masks", scale=2)
                    boxes = gr.Checkbox(label="Boxes", scale=1)
                columns, pictures, legends = self._columns()
                differing = gr.Image(**PICTURE, elem_id="refseg-difference")
                with gr.Accordion("How the sentences were read", open=False):
                    read = gr.HTML()
                save = gr.Button("Masks, pictures and JSON (.zip)", elem_id="refseg-save")
                file = gr.DownloadButton(visible="hidden", elem_id="refseg-file")
            key = gr.State(None)

            looks, drawn = [key, shown, opacity, boxes], [problem, results, *pictures, differing]
            found = find.click(
                self.find,
                [image, text, weights],
                [key, problem, results, shown, *columns, *legends, read],
                **PLAIN,
            )
            found.success(self.draw, looks, drawn, **PLAIN)
            for look in (shown, opacity, boxes):
                look.input(self.draw, looks, drawn, show_progress="hidden", trigger_mode="always_last", **PLAIN)
            sample.click(self.sample, None, [image, text], **PLAIN)
            gr.on([image.upload, image.clear, sample.click], self.clear, None, [key, problem, results], **PLAIN)
            saved = save.click(self.save, key, [problem, results, file], **PLAIN)
            saved.success(None, js=click("refseg-file"), api_visibility="private")

    def _columns(self) -> tuple[list[gr.Column], list[gr.Image], list[gr.HTML]]:
        """Builds a picture and a legend for each of the weights, side by side."""
        columns, pictures, legends = [], [], []
        with gr.Row():
            for number in range(len(self.choices)):
                with gr.Column(min_width=300, visible=False) as column:
                    pictures.append(gr.Image(**PICTURE, elem_id=f"refseg-picture-{number}"))
                    legends.append(gr.HTML(elem_id=f"refseg-legend-{number}"))
                columns.append(column)
        return columns, pictures, legends

    async def find(self, image: str | None, text: str | None, weights: list[str] | None) -> list[Any]:
        """Asks about the image; returns the values of all parts but the pictures."""
        try:
            if not image:
                return self._tell("drop an image first, or draw a scene")
            names = [name for _, name in self.choices if name != SUITED and name in (weights or [])]
            try:
                if is_video_file(Path(image)):
                    return self._tell("this is a video: choose the tab Video, and drop it there")
                content = await asyncio.to_thread(Path(image).read_bytes)
            except OSError:
                return self._tell("the image is no longer kept: drop it again")
            found = await ask(self.service, content, split_expressions(text or ""), names or [None])
        except (RefsegError, Problem) as error:
            return self._tell(str(error))
        count = len(found.columns)
        legends = [f"<h3>{escape(column.weights)}</h3>{format_legend(column)}" for column in found.columns]
        return [
            self.kept.put(found),
            gr.Markdown(visible=False),
            gr.Column(visible=True),
            gr.CheckboxGroup(found.expressions, value=found.expressions),
            *(gr.Column(visible=number < count) for number in range(len(self.choices))),
            *legends,
            *[""] * (len(self.choices) - count),
            format_readings(found.columns),
        ]

    async def draw(self, key: str | None, shown: list[str], opacity: float, boxes: bool) -> list[Any]:
        """Returns the problem, the results' part, and the pictures of what was found."""
        return await self._on_thread(self._draw, key, shown, opacity, boxes)

    def _draw(self, key: str | None, shown: list[str], opacity: float, boxes: bool) -> list[Any]:
        found, count = self.kept.get(key), len(self.choices)
        if found is None:
            told = [gr.skip()] * 2 if key is None else self._tell_expired()
            return [*told, *[gr.Image(visible=False)] * (count + 1)]
        pictures = []
        for one in found.columns:
            drawn = None if one.problem else self._write_picture(draw_overlay(found, one, shown, opacity, boxes))
            pictures.append(gr.Image(drawn, label=one.weights, visible=drawn is not None))
        hidden = [gr.Image(visible=False)] * (count - len(pictures))
        return [gr.skip(), gr.skip(), *pictures, *hidden, self._difference(found, shown)]

    def _difference(self, found: Answered, shown: list[str]) -> gr.Image:
        columns = [column for column in found.columns if not column.problem]
        if len(columns) < 2:
            return gr.Image(visible=False)
        first, second = columns[:2]
        picture, agreement = draw_difference(found, first, second, shown)
        label = f"Where they differ: both (green), {first.weights} only (blue), {second.weights} only (orange)"
        return gr.Image(self._write_picture(picture), label=f"{label}; IoU {agreement:.1%}", visible=True)

    def clear(self) -> list[Any]:
        """Hides what was said of another image."""
        return [None, gr.Markdown(visible=False), gr.Column(visible=False)]

    async def sample(self) -> tuple[str, str]:
        """Draws a scene; returns its file and sentences about it."""
        content, expressions = await self._on_thread(draw_sample, random.Random())
        return self._write(content, "-scene.png"), "\n".join(expressions)

    async def save(self, key: str | None) -> list[Any]:
        """Writes the archive of what was found; returns the problem, the results' part and the file."""
        found = self.kept.get(key)
        if found is None:
            return [*self._tell_expired(), None]
        file = self.files.new("-refseg.zip")
        await self._on_thread(write_archive, found, file)
        return [gr.skip(), gr.skip(), str(file)]

    async def _on_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function on a thread, few at once."""
        async with self._may_draw:
            return await asyncio.to_thread(function, *arguments)

    def _get_path(self, payload: Any) -> str | None:
        """Returns the path of an uploaded file, whatever it holds; gradio itself would fail where it is no image."""
        path: str | None = payload.path if payload is not None else None
        if path is not None and not Path(path).resolve().is_relative_to(self.files.folder.resolve()):
            raise ValueError("the file was not uploaded")
        return path

    def _write(self, content: bytes, ending: str) -> str:
        file = self.files.new(ending)
        file.write_bytes(content)
        return str(file)

    def _write_picture(self, picture: Image.Image) -> str:
        return self._write(encode_picture(picture, "JPEG"), ".jpg")

    def _tell_expired(self) -> list[Any]:
        return [gr.Markdown("the answers are no longer kept: click Find again", visible=True), gr.Column(visible=False)]

    def _tell(self, message: str) -> list[Any]:
        """Returns the values of all parts where nothing could be asked."""
        count = len(self.choices)
        told = gr.Markdown(escape(message), visible=True)
        hidden = [gr.Column(visible=False)] * count
        return [None, told, gr.Column(visible=False), gr.CheckboxGroup([], value=[]), *hidden, *[""] * count, ""]
