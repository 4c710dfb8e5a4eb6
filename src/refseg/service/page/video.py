"""The part of the page for videos.

Upload     a plain file field: gradio's own field for videos would convert and trim them in the browser, with a program
           that it fetches from elsewhere.
Players    are those of the browser, which work by keys; what it cannot play is not shown.
"""

from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import gradio as gr

from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError
from refseg.masks.overlay import COLOURS
from refseg.service.answer_video import OVERLAY
from refseg.service.page.answers import split_expressions
from refseg.service.page.fields import PLAIN, SUITED, add_expressions, add_weights, click
from refseg.service.page.files import TemporaryFiles
from refseg.service.page.samples import draw_clip
from refseg.service.page.video_answers import VideoAnswered, VideoColumn, ask_video, verdict_of
from refseg.service.page.video_archive import write_video_archive
from refseg.service.problems import Problem
from refseg.service.service import Service
from refseg.video.writer import encoder

ENDINGS = "mp4 m4v mov 3gp mkv webm avi wmv flv ogv mpg mpeg ts m2ts mts mxf dv gif webp apng png avif".split()
LONGEST_STEP = 30  # frames from one that is answered to the next
IF_PLAYED = """style="display: none" onloadeddata="if (this.videoWidth) this.style.display = ''" """
CSS = """
.refseg-video video { max-width: 100%; max-height: 70vh; margin-bottom: .6em; border-radius: 4px; }
#refseg-video-preview video { width: 100%; max-height: 40vh; }
"""


class VideoTab:
    """The part of the page for videos.

    Args:
        service: answers.
        files: of answers and downloads.
        on_thread: function that calls another one on a thread, few at once.
        get_path: function that returns the path of an uploaded file.
    """

    def __init__(
        self,
        service: Service,
        files: TemporaryFiles,
        on_thread: Callable[..., Awaitable[Any]],
        get_path: Callable[[Any], str | None],
    ):
        self.service, self.files, self._on_thread, self._get_path = service, files, on_thread, get_path
        names = service.setups[0].weights
        suited = [("what suits the video", SUITED)] if len(names) > 1 else []
        self.choices = [*suited, *((name, name) for name in names)]

    def build(self) -> None:
        """Builds it, within a tab of the page."""
        limits = self.service.limits
        with gr.Row():
            with gr.Column():
                video = gr.File(
                    label="Video: drop it, or choose a file (MP4, MOV, WebM, GIF, ...)",
                    file_types=["video", *(f".{ending}" for ending in ENDINGS)],
                    elem_id="refseg-video-upload",
                    height=140,
                )
                video.preprocess = self._get_path  # type: ignore[method-assign, assignment]
                preview = gr.HTML(elem_id="refseg-video-preview")
                sample = gr.Button("Draw a clip", elem_id="refseg-video-sample")
                gr.Markdown(
                    f"At most {counted(limits.frames, 'frame')}, {limits.megabytes:g} MB, and "
                    f"{limits.seconds:g} seconds until there is an answer. Sound is left out.",
                    elem_classes="refseg-small",
                )
            with gr.Column():
                text = add_expressions(
                    "the dog that jumps\nthe person who walks to the left", "refseg-video-expressions"
                )
                weights = add_weights(
                    self.choices, "Weights; several answer one after the other", "refseg-video-weights"
                )
                every = gr.Slider(
                    1,
                    LONGEST_STEP,
                    1,
                    step=1,
                    label="Answer every n-th frame; more is faster, masks stay in between",
                    elem_id="refseg-video-every",
                )
                find = gr.Button("Find", variant="primary", elem_id="refseg-video-find")
                missing = _missing()
                problem = gr.Markdown(
                    missing, visible=bool(missing), elem_id="refseg-video-problem", elem_classes="refseg-problem"
                )
        with gr.Column(visible=False) as results:
            columns, answers = self._columns()
            save = gr.Button("Masks, overlay videos and JSON (.zip)", elem_id="refseg-video-save")
            file = gr.DownloadButton(visible="hidden", elem_id="refseg-video-file")
        key = gr.State(None)

        shown = [key, problem, results, *columns, *answers]
        find.click(self.find, [video, text, weights, every], shown, show_progress_on=[text], **PLAIN)
        sample.click(self.sample, None, [video, text, preview], **PLAIN)
        video.upload(self.preview, video, preview, **PLAIN)
        video.clear(lambda: "", None, preview, **PLAIN)
        gr.on([video.upload, video.clear, sample.click], self.clear, None, [key, problem, results], **PLAIN)
        saved = save.click(self.save, key, [problem, file], **PLAIN)
        saved.success(None, js=click("refseg-video-file"), api_visibility="private")

    def _columns(self) -> tuple[list[gr.Column], list[gr.HTML]]:
        """Builds a place for a video with its legend for each of the weights, side by side."""
        columns, answers = [], []
        with gr.Row():
            for number in range(len(self.choices)):
                with gr.Column(min_width=300, visible=False) as column:
                    answers.append(gr.HTML(elem_id=f"refseg-video-answer-{number}"))
                columns.append(column)
        return columns, answers

    async def find(self, video: str | None, text: str | None, weights: list[str] | None, every: float) -> list[Any]:
        """Asks about the video; returns the values of all parts."""
        count = len(self.choices)
        try:
            if not video:
                raise InvalidInput("choose a video first, or draw a clip")
            names = [name for _, name in self.choices if name in (weights or [])] or [self.choices[0][1]]
            step = min(max(round(every or 1), 1), LONGEST_STEP)
            expressions = split_expressions(text or "")
            asked = [name or None for name in names]
            found = await ask_video(self.service, self.files, Path(video), expressions, asked, step)
        except (RefsegError, Problem) as error:
            told = gr.Markdown(escape(str(error)), visible=True)
            return [None, told, gr.Column(visible=False), *[gr.Column(visible=False)] * count, *[""] * count]
        shown = [format_column(column) for column in found.columns]
        return [
            found,
            gr.Markdown(visible=False),
            gr.Column(visible=True),
            *(gr.Column(visible=number < len(shown)) for number in range(count)),
            *shown,
            *[""] * (count - len(shown)),
        ]

    async def sample(self) -> tuple[str, str, str]:
        """Draws a clip; returns its file, sentences about it, and a player."""
        file = self.files.new_folder() / "clip.mp4"
        expressions = await self._on_thread(draw_clip, Random(), file)
        return str(file), "\n".join(expressions), self.preview(str(file))

    def preview(self, video: str | None) -> str:
        """Returns a player of an uploaded video, which appears if the browser can play it."""
        return player(Path(video), "The video", only_if_played=True) if video else ""

    def clear(self) -> list[Any]:
        """Hides what was said of another video."""
        return [None, gr.Markdown(visible=False), gr.Column(visible=False)]

    async def save(self, answered: VideoAnswered | None) -> list[Any]:
        """Writes the archive of what was found; returns the problem and the file."""
        try:
            if answered is None:
                raise InvalidInput("the answers are no longer kept: click Find again")
            file = self.files.new("-refseg-video.zip")
            await self._on_thread(write_video_archive, answered, file)
        except RefsegError as error:
            return [gr.Markdown(escape(str(error)), visible=True), None]
        return [gr.Markdown(visible=False), str(file)]


def _missing() -> str:
    """Returns what is not installed, "" if nothing is missing."""
    try:
        encoder()
    except InvalidInput as error:
        return escape(str(error))
    return ""


def format_column(column: VideoColumn) -> str:
    """Returns the overlay video of a network with the list of its answers, as HTML.

    All that comes from users or networks is escaped.
    """
    head = f"<h3>{escape(column.weights)}</h3>"
    if column.problem:
        return f'{head}<p class="refseg-warning" role="alert">{escape(column.problem)}</p>'
    facts = column.facts
    if facts["playable"]:
        shown = player(column.folder / OVERLAY, f"The video with the masks of {column.weights}")
    else:
        shown = "<p>Browsers cannot play the overlay video that is written here (no H.264); it is in the .zip.</p>"
    height, width = facts["size"]
    about = f"{counted(facts['frames'], 'frame')} of {width} x {height}" + (
        f", {facts['answered']} of them answered" if facts["answered"] < facts["frames"] else ""
    )
    items = "".join(_item(k, answer, facts) for k, answer in enumerate(facts["expressions"]))
    warnings = dict.fromkeys([*facts["warnings"], *(text for one in facts["expressions"] for text in one["warnings"])])
    return f'{head}{shown}<p class="refseg-small">{about}</p><ul class="refseg-legend">{items}</ul>' + "".join(
        f'<p class="refseg-warning">{escape(text)}</p>' for text in warnings
    )


def player(video: Path, label: str, only_if_played: bool = False) -> str:
    """Returns the browser's player of a video file of the page, as HTML.

    Args:
        video: path of the file.
        label: what it is, for those who cannot see it.
        only_if_played: whether it is hidden until the browser has found that it can play it.
    """
    wait = f" {IF_PLAYED}" if only_if_played else ""
    return (
        f'<div class="refseg-video"><video controls loop muted playsinline preload="auto" aria-label="{escape(label)}" '
        f'src="gradio_api/file={escape(quote(str(video)))}"{wait}></video></div>'
    )


def _item(number: int, answer: dict[str, Any], facts: dict[str, Any]) -> str:
    red, green, blue = COLOURS[number % len(COLOURS)]
    return (
        f'<li><span class="refseg-colour" style="background: rgb({red}, {green}, {blue})"></span>'
        f"<b>{escape(answer['expression'])}</b><br>{escape(verdict_of(answer, facts))}.</li>"
    )
