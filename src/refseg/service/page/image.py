"""The part of the page for images."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from refseg.errors import RefsegError
from refseg.masks.pictures import encode_picture
from refseg.service.page.answers import EXPIRED, Answered, Kept, ask, split_expressions
from refseg.service.page.downloads import folder_name, write_archive
from refseg.service.page.drawing import draw_difference, draw_overlay
from refseg.service.page.fields import (
    PLAIN,
    SUITED,
    add_columns,
    add_download,
    add_expressions,
    add_problem,
    add_weights,
    chosen_weights,
    click,
    hide_answers,
    show_columns,
    show_problem,
)
from refseg.service.page.files import KEPT_SECONDS, TemporaryFiles
from refseg.service.page.legend import format_difference, format_legend, format_readings
from refseg.service.page.samples import draw_sample
from refseg.service.problems import Problem
from refseg.service.service import Service

MAX_KEPT_BYTES = 256e6  # of answers
PICTURE: dict[str, Any] = {
    "interactive": False,
    "visible": False,
    "show_label": False,  # which would cover a corner of the picture
    "buttons": ["download", "fullscreen"],
    "elem_classes": "refseg-picture",
}
CSS = """
.refseg-picture img { max-height: 70vh; object-fit: contain; }
.refseg-key { margin-right: 1em; }
.refseg-readings { overflow-x: auto; }
.refseg-readings table :is(th, td) { border-color: var(--border-color-primary) !important; }
.refseg-word { position: relative; display: inline-block; padding: 0 .3em; border-radius: 3px; }
.refseg-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""


class ImageTab:
    """The part of the page for images.

    Args:
        service: answers.
        files: of uploads, pictures and downloads.
        on_thread: function that calls another one on a thread, few at once.
    """

    def __init__(self, service: Service, files: TemporaryFiles, on_thread: Callable[..., Awaitable[Any]]):
        self.service, self.files, self._on_thread = service, files, on_thread
        self.kept = Kept(KEPT_SECONDS, MAX_KEPT_BYTES)
        setup = service.setups[0]
        suited = [("what suits the image", SUITED)] if setup.by_image else []
        self.choices = [*suited, *((name, name) for name in setup.weights if name != setup.for_videos)]

    def build(self) -> None:
        """Builds it, within a tab of the page."""
        with gr.Row():
            with gr.Column():
                image = gr.Image(
                    label="Image: drop it, paste it, or choose a file",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=["fullscreen"],
                    height=380,
                    elem_id="refseg-upload",
                )
                image.preprocess = self.files.get_upload  # type: ignore[method-assign]
                sample = gr.Button("Draw a scene", elem_id="refseg-sample")
            with gr.Column():
                text = add_expressions("the dog left of the red chair\nboth people in hats", "refseg-expressions")
                weights = add_weights(self.choices, "Weights; several are shown side by side", "refseg-weights")
                find = gr.Button("Find", variant="primary", elem_id="refseg-find")
                problem = add_problem("refseg-problem")
        with gr.Column(visible=False) as results:
            with gr.Row():
                shown = gr.CheckboxGroup([], label="Shown", scale=3, elem_id="refseg-shown")
                opacity = gr.Slider(0, 1, 0.5, step=0.1, label="Opacity of masks", scale=2)
                boxes = gr.Checkbox(label="Boxes", scale=1)
            columns, filled = add_columns(len(self.choices), self._add_answer)
            pictures, legends = [picture for picture, _ in filled], [legend for _, legend in filled]
            differing = gr.Image(**PICTURE, elem_id="refseg-difference")
            difference = gr.HTML(visible=False, elem_id="refseg-difference-legend")
            with gr.Accordion("How the sentences were read", open=False):
                read = gr.HTML(elem_classes="refseg-readings")
            save = gr.Button("Masks, pictures and JSON (.zip)", elem_id="refseg-save")
            file = add_download("refseg-file")
        key = gr.State(None)

        looks, drawn = [key, shown, opacity, boxes], [problem, results, *pictures, differing, difference]
        found = find.click(
            self.find,
            [image, text, weights],
            [key, problem, results, shown, *columns, *legends, read],
            show_progress_on=[text],
            **PLAIN,
        )
        found.success(self.draw, looks, drawn, **PLAIN)
        for look in (shown, opacity, boxes):
            look.input(self.draw, looks, drawn, show_progress="hidden", trigger_mode="always_last", **PLAIN)
        sample.click(self.sample, None, [image, text], **PLAIN)
        gr.on([image.upload, image.clear, sample.click], hide_answers, None, [key, problem, results], **PLAIN)
        saved = save.click(self.save, key, [problem, results, file], **PLAIN)
        saved.success(None, js=click("refseg-file"), api_visibility="private")

    def _add_answer(self, number: int) -> tuple[gr.Image, gr.HTML]:
        return gr.Image(**PICTURE, elem_id=f"refseg-picture-{number}"), gr.HTML(elem_id=f"refseg-legend-{number}")

    async def find(self, image: str | None, text: str | None, weights: list[str] | None) -> list[Any]:
        """Asks about the image; returns the values of all parts but the pictures."""
        try:
            if not image:
                return self._show_failure("drop an image first, or draw a scene")
            try:
                content = await asyncio.to_thread(Path(image).read_bytes)
            except OSError:
                return self._show_failure("the image is no longer kept: drop it again")
            asked = chosen_weights(self.choices, weights)
            found = await ask(self.service, content, split_expressions(text or ""), asked)
        except (RefsegError, Problem) as error:
            return self._show_failure(str(error))
        count = len(self.choices)
        legends = [format_legend(column) for column in found.columns]
        return [
            self.kept.put(found),
            show_problem(),
            gr.Column(visible=True),
            gr.CheckboxGroup(found.expressions, value=found.expressions),
            *show_columns(len(legends), count),
            *legends,
            *[""] * (count - len(legends)),
            format_readings(found.columns),
        ]

    async def draw(self, key: str | None, shown: list[str], opacity: float, boxes: bool) -> list[Any]:
        """Returns the problem, the results' part, and the pictures of what was found."""
        return await self._on_thread(self._draw, key, shown, opacity, boxes)

    def _draw(self, key: str | None, shown: list[str], opacity: float, boxes: bool) -> list[Any]:
        found, count = self.kept.get(key), len(self.choices)
        if found is None:
            told = [gr.skip()] * 2 if key is None else [show_problem(EXPIRED), gr.Column(visible=False)]
            return [*told, *[gr.Image(visible=False)] * (count + 1), gr.HTML(visible=False)]
        pictures = [gr.Image(visible=False)] * count
        for k, one in enumerate(found.columns):
            if not one.problem:
                picture = draw_overlay(found, one, shown, opacity, boxes)
                about = f"The image with the masks of {one.weights}, which are described below"
                pictures[k] = self._show_picture(picture, f"{folder_name(k + 1, one.weights)}.jpg", about)
        return [gr.skip(), gr.skip(), *pictures, *self._difference(found, shown)]

    def _difference(self, found: Answered, shown: list[str]) -> list[Any]:
        columns = [column for column in found.columns if not column.problem]
        if len(columns) < 2:
            return [gr.Image(visible=False), gr.HTML(visible=False)]
        first, second = columns[:2]
        picture, agreement = draw_difference(found, first, second, shown)
        legend = format_difference(first.weights, second.weights, agreement)
        about = f"Where the masks of {first.weights} and {second.weights} differ"
        return [self._show_picture(picture, "difference.jpg", about), gr.HTML(legend, visible=True)]

    async def sample(self) -> tuple[str, str]:
        """Draws a scene; returns its file and sentences about it."""
        content, expressions = await self._on_thread(draw_sample, random.Random())
        file = self.files.new("scene.png")
        file.write_bytes(content)
        return str(file), "\n".join(expressions)

    async def save(self, key: str | None) -> list[Any]:
        """Writes the archive of what was found; returns the problem, the results' part and the file."""
        found = self.kept.get(key)
        if found is None:
            return [show_problem(EXPIRED), gr.Column(visible=False), None]
        file = self.files.new("refseg-image.zip")
        await self._on_thread(write_archive, found, file)
        return [gr.skip(), gr.skip(), str(file)]

    def _show_picture(self, picture: Image.Image, name: str, about: str) -> gr.Image:
        file = self.files.new(name)
        file.write_bytes(encode_picture(picture, "JPEG"))
        return gr.Image(str(file), alt_text=about, visible=True)

    def _show_failure(self, problem: str) -> list[Any]:
        """Returns the values of all parts where nothing could be asked."""
        count = len(self.choices)
        hidden = [gr.Column(visible=False), gr.CheckboxGroup([], value=[]), *show_columns(0, count)]
        return [None, show_problem(problem), *hidden, *[""] * count, ""]
