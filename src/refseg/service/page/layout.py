"""The parts of the page, and what happens when they are used.

State      what was answered last is kept for each visitor for `KEPT` seconds: masks are switched on and off without
           asking again.
Files      uploads and pictures lie in a temporary folder, and are removed `KEPT` seconds later and at the end.
"""

import random
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from refseg.counting import counted
from refseg.errors import RefsegError
from refseg.service.page.asked import Answered, ask, expressions_of
from refseg.service.page.downloads import archive
from refseg.service.page.drawing import agreement, difference, overlay
from refseg.service.page.samples import draw_sample
from refseg.service.page.words import how_read, legend
from refseg.service.problems import Problem
from refseg.service.service import Service

KEPT = 900  # seconds
SUITED = ""  # the choice of weights that leaves it to the image
CSS = """
.refseg-legend { list-style: none; padding: 0; } .refseg-legend li { margin: 0 0 .6em 0; }
.refseg-colour { display: inline-block; width: .9em; height: .9em; border-radius: 3px; margin-right: .5em; }
.refseg-small { opacity: .75; font-size: .85em; }
.refseg-warning { border-left: 3px solid #d97706; padding-left: .6em; }
.refseg-picture img { max-height: 70vh; object-fit: contain; }
#refseg-problem p { border-left: 3px solid #dc2626; padding-left: .6em; }
:focus-visible { outline: 2px solid #2563eb; outline-offset: 2px; }
"""


class Page:
    """The page of a service.

    Args:
        service: answers.
        folder: for files that are offered for download.
    """

    def __init__(self, service: Service, folder: Path):
        self.service, self.folder = service, folder
        setup = service.setups[0]
        self.names = list(setup.weights)
        suited = [("what suits the image", SUITED)] if setup.by_image else []
        self.choices = [*suited, *((name, name) for name in self.names)]

    def blocks(self) -> gr.Blocks:
        """Builds the page."""
        columns = len(self.choices)
        with gr.Blocks(title="refseg", analytics_enabled=False, delete_cache=(60, KEPT)) as blocks:
            gr.Markdown("# refseg\nSay what to find in an image: one thing, several, or something that is not there.")
            with gr.Row():
                with gr.Column():
                    image = gr.Image(
                        label="Image: drop it, paste it, or choose a file",
                        type="filepath",
                        image_mode=None,
                        sources=["upload", "clipboard"],
                        buttons=["fullscreen"],
                        height=380,
                    )
                    sample = gr.Button("Draw a scene", elem_id="refseg-sample")
                with gr.Column():
                    text = gr.Textbox(
                        label="Expressions, one a line",
                        placeholder="the dog left of the red chair\nboth people in hats",
                        lines=5,
                        max_lines=16,
                        elem_id="refseg-expressions",
                    )
                    weights = gr.CheckboxGroup(
                        self.choices,
                        value=[self.choices[0][1]],
                        label="Weights; several are shown side by side",
                        visible=columns > 1,
                    )
                    find = gr.Button("Find", variant="primary", elem_id="refseg-find")
                    problem = gr.Markdown(visible=False, elem_id="refseg-problem")
            with gr.Column(visible=False) as results:
                with gr.Row():
                    shown = gr.CheckboxGroup([], label="Shown", scale=3)
                    opacity = gr.Slider(0.1, 1, 1, step=0.1, label="Opacity of masks", scale=2)
                    boxes = gr.Checkbox(label="Boxes", scale=1)
                pictures, legends = [], []
                with gr.Row():
                    for number in range(columns):
                        with gr.Column(min_width=300):
                            pictures.append(
                                gr.Image(
                                    format="png",
                                    interactive=False,
                                    buttons=["download", "fullscreen"],
                                    visible=False,
                                    elem_id=f"refseg-picture-{number}",
                                    elem_classes="refseg-picture",
                                )
                            )
                            legends.append(gr.HTML(visible=False, elem_id=f"refseg-legend-{number}"))
                differing = gr.Image(
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    visible=False,
                    elem_id="refseg-difference",
                    elem_classes="refseg-picture",
                )
                with gr.Accordion("How the sentences were read", open=False):
                    read = gr.HTML()
                save = gr.DownloadButton("Masks, pictures and JSON (.zip)", elem_id="refseg-save")
            state = gr.State(None, time_to_live=KEPT)

            drawn = [*pictures, differing]
            looks = [state, shown, opacity, boxes]
            quiet: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
            asked: dict[str, Any] = {
                "fn": self.find,
                "inputs": [image, text, weights],
                "outputs": [state, problem, results, shown, *legends, read, save],
                **quiet,
            }
            find.click(**asked).success(self.draw, looks, drawn, **quiet)
            for look in (shown, opacity, boxes):
                look.input(self.draw, looks, drawn, show_progress="hidden", trigger_mode="always_last", **quiet)
            sample.click(self.sample, None, [image, text], **quiet)
        return blocks

    async def find(self, image: str | None, text: str | None, weights: list[str] | None) -> list[Any]:
        """Asks about the image; returns the values of all parts but the pictures."""
        try:
            if not image:
                return self._told("drop an image first, or draw a scene")
            names = [name for _, name in self.choices if name in (weights or [])] or [self.choices[0][1]]
            content = Path(image).read_bytes()
            found = await ask(self.service, content, expressions_of(text or ""), [one or None for one in names], None)
        except (RefsegError, Problem) as error:
            return self._told(str(error))
        expressions = found.expressions
        legends = [
            gr.HTML(f"<h3>{escape(column.weights)}</h3>{legend(column)}", visible=True) for column in found.columns
        ]
        return [
            found,
            gr.Markdown(visible=False),
            gr.Column(visible=True),
            gr.CheckboxGroup(expressions, value=expressions),
            *_filled(legends, gr.HTML, len(self.choices)),
            how_read(found.columns),
            gr.DownloadButton(value=self._write(found)),
        ]

    def draw(self, found: Answered | None, shown: list[str], opacity: float, boxes: bool) -> list[Any]:
        """Draws the pictures of what was found."""
        count = len(self.choices)
        if found is None:  # it was kept long enough
            return [gr.Image(visible=False)] * (count + 1)
        columns = [column for column in found.columns if not column.problem]
        pictures = [
            gr.Image(overlay(found, column, shown, opacity, boxes), label=column.weights, visible=True)
            for column in columns
        ]
        differing = gr.Image(visible=False)
        if len(columns) > 1:
            first, second = columns[:2]
            label = (
                f"Where they differ: both (green), {first.weights} only (blue), {second.weights} only (orange); IoU "
                f"{agreement(found, first, second, shown):.1%}"
            )
            differing = gr.Image(difference(found, first, second, shown), label=label, visible=True)
        return [*_filled(pictures, gr.Image, count), differing]

    def sample(self) -> tuple[str, str]:
        """Draws a scene; returns its file and sentences about it."""
        content, expressions = draw_sample(random.Random())
        return str(self._file(content, "scene.png")), "\n".join(expressions)

    def _told(self, message: str) -> list[Any]:
        """Returns the values of all parts where nothing could be asked."""
        return [
            None,
            gr.Markdown(escape(message), visible=True),
            gr.Column(visible=False),
            gr.CheckboxGroup([]),
            *_filled([], gr.HTML, len(self.choices)),
            "",
            gr.DownloadButton(value=None),
        ]

    def _write(self, found: Answered) -> str:
        name = f"refseg_{counted(len(found.expressions), 'answer').replace(' ', '_')}.zip"
        return str(self._file(archive(found), name))

    def _file(self, content: bytes, name: str) -> Path:
        """Writes a file into a folder of its own; the page copies it to where it is removed in time."""
        file = Path(tempfile.mkdtemp(dir=self.folder)) / name
        file.write_bytes(content)
        return file


def _filled(given: Sequence[Any], kind: Any, count: int) -> list[Any]:
    """Returns the given parts and hidden ones for the rest."""
    return [*given, *(kind(visible=False) for _ in range(count - len(given)))]
