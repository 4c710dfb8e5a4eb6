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
from refseg.service.answer_video import OVERLAY
from refseg.service.messages import VideoProgress
from refseg.service.page.answers import EXPIRED, split_expressions
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
from refseg.service.page.files import TemporaryFiles
from refseg.service.page.legend import format_answer, format_answers, format_failure
from refseg.service.page.samples import draw_clip
from refseg.service.page.video_answers import VideoAnswered, VideoColumn, ask_video, verdict_of
from refseg.service.page.video_archive import write_video_archive
from refseg.service.problems import Problem
from refseg.service.service import Service
from refseg.video.writer import encoder

LONGEST_STEP = 30  # frames from one that is answered to the next
PROGRESS_EVERY = 1.0  # seconds
IF_PLAYED = """style="display: none" onloadeddata="if (this.videoWidth) this.style.display = ''" """
CSS = """
.refseg-video video { max-width: 100%; max-height: 70vh; margin-bottom: .6em; border-radius: 4px; }
#refseg-video-preview video { height: 40vh; object-fit: contain; }
.refseg-progress progress { appearance: none; width: 100%; height: .5em; border: none; }
.refseg-progress progress, .refseg-progress ::-webkit-progress-bar { background: var(--border-color-primary); }
.refseg-progress ::-webkit-progress-value { background: var(--color-accent); }
.refseg-progress ::-moz-progress-bar { background: var(--color-accent); }
"""


class VideoTab:
    """The part of the page for videos.

    Args:
        service: answers.
        files: of uploads, answers and downloads.
        on_thread: function that calls another one on a thread, few at once.
    """

    def __init__(self, service: Service, files: TemporaryFiles, on_thread: Callable[..., Awaitable[Any]]):
        self.service, self.files, self._on_thread = service, files, on_thread
        self._progress: dict[str | None, str] = {}  # of the videos that are asked about now, by visitor
        self._answered: set[str | None] = set()  # visitors whose video is being answered
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
                    elem_id="refseg-video-upload",
                    height=180,
                )
                video.preprocess = self.files.get_upload  # type: ignore[method-assign]
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
                progress = gr.HTML(visible=False, elem_id="refseg-video-progress", elem_classes="refseg-progress")
                timer = gr.Timer(PROGRESS_EVERY, active=False)
                problem = add_problem("refseg-video-problem", _missing())
        with gr.Column(visible=False) as results:
            columns, answers = add_columns(
                len(self.choices), lambda number: gr.HTML(elem_id=f"refseg-video-answer-{number}")
            )
            save = gr.Button("Masks, overlay videos and JSON (.zip)", elem_id="refseg-video-save")
            file = add_download("refseg-video-file")
        key = gr.State(None)

        shown, waiting = [key, problem, results, *columns, *answers], [progress, timer]
        began = find.click(self.begin, None, [problem, *waiting], show_progress="hidden", **PLAIN)
        found = began.then(self.find, [video, text, weights, every], shown, show_progress_on=[text], **PLAIN)
        found.then(self.show_progress, None, waiting, show_progress="hidden", **PLAIN)
        timer.tick(self.show_progress, None, waiting, show_progress="hidden", **PLAIN)
        sample.click(self.sample, None, [video, text, preview], **PLAIN)
        video.upload(self.preview, video, preview, **PLAIN)
        video.clear(lambda: "", None, preview, **PLAIN)
        gr.on([video.upload, video.clear, sample.click], hide_answers, None, [key, problem, results], **PLAIN)
        saved = save.click(self.save, key, [problem, file], **PLAIN)
        saved.success(None, js=click("refseg-video-file"), api_visibility="private")

    def begin(self, request: gr.Request) -> list[Any]:
        """Hides the last problem, and has the page look from time to time how far the answer is."""
        shown = self._progress.setdefault(request.session_hash, format_progress())  # before `find` is there
        return [show_problem(), gr.HTML(shown, visible=True), gr.Timer(active=True)]

    def show_progress(self, request: gr.Request) -> list[Any]:
        """Shows how far the answer is; once it is there, nothing, and the page no longer looks."""
        shown = self._progress.get(request.session_hash, "")
        return [gr.HTML(shown, visible=bool(shown)), gr.Timer(active=bool(shown))]

    async def find(
        self, video: str | None, text: str | None, weights: list[str] | None, every: float, request: gr.Request
    ) -> list[Any]:
        """Asks about the video; returns the values of all parts. While another answer is computed, nothing changes."""
        count, visitor = len(self.choices), request.session_hash
        if visitor in self._answered:
            return [gr.skip()] * (3 + 2 * count)
        self._answered.add(visitor)

        def note(progress: VideoProgress | None) -> None:
            self._progress[visitor] = format_progress(progress)

        note(None)
        try:
            if not video:
                raise InvalidInput("choose a video first, or draw a clip")
            step = min(max(round(every or 1), 1), LONGEST_STEP)
            expressions, asked = split_expressions(text or ""), chosen_weights(self.choices, weights)
            found = await ask_video(self.service, self.files, Path(video), expressions, asked, step, note)
        except (RefsegError, Problem) as error:
            hidden = [gr.Column(visible=False), *show_columns(0, count)]
            return [None, show_problem(str(error)), *hidden, *[""] * count]
        finally:
            self._answered.discard(visitor)
            self._progress.pop(visitor, None)
        shown = [format_column(column) for column in found.columns]
        return [
            found,
            show_problem(),
            gr.Column(visible=True),
            *show_columns(len(shown), count),
            *shown,
            *[""] * (count - len(shown)),
        ]

    async def sample(self) -> tuple[str, str, str]:
        """Draws a clip; returns its file, sentences about it, and a player."""
        file = self.files.new("clip.mp4")
        expressions = await self._on_thread(draw_clip, Random(), file)
        return str(file), "\n".join(expressions), self.preview(str(file))

    def preview(self, video: str | None) -> str:
        """Returns a player of an uploaded video, which appears if the browser can play it."""
        return player(Path(video), "The video", only_if_played=True) if video else ""

    async def save(self, answered: VideoAnswered | None) -> list[Any]:
        """Writes the archive of what was found; returns the problem and the file."""
        try:
            if answered is None:
                raise InvalidInput(EXPIRED)
            file = self.files.new("refseg-video.zip")
            await self._on_thread(write_video_archive, answered, file)
        except RefsegError as error:
            return [show_problem(str(error)), None]
        return [show_problem(), str(file)]


def _missing() -> str:
    """Returns what is not installed, "" if nothing is missing."""
    try:
        encoder()
    except InvalidInput as error:
        return str(error)
    return ""


def format_progress(progress: VideoProgress | None = None) -> str:
    """Returns how far the answer about a video is, as HTML; None while it waits for its turn."""
    if progress is None:
        return '<progress aria-label="Progress"></progress><div>waiting</div>'
    share = f' value="{progress.frames}" max="{progress.count}"' if progress.count else ""
    of = f" of {progress.count}" if progress.count else ""
    told = f"{progress.weights}: frame {progress.frames}{of}"
    return f'<progress aria-label="Progress"{share}></progress><div>{escape(told)}</div>'


def format_column(column: VideoColumn) -> str:
    """Returns the overlay video of a network with the list of its answers, as HTML.

    All that comes from users or networks is escaped.
    """
    if column.problem:
        return format_failure(column.weights, column.problem)
    facts = column.facts
    if facts["playable"]:
        shown = player(column.folder / OVERLAY, f"The video with the masks of {column.weights}")
    else:
        shown = "<p>Browsers cannot play the overlay video that is written here (no H.264); it is in the .zip.</p>"
    height, width = facts["size"]
    about = f"{counted(facts['frames'], 'frame')} of {width} x {height}" + (
        f", {facts['answered']} of them answered" if facts["answered"] < facts["frames"] else ""
    )
    answers = facts["expressions"]
    items = (format_answer(k, one["expression"], verdict_of(one)) for k, one in enumerate(answers))
    warnings = [*facts["warnings"], *(text for one in answers for text in one["warnings"])]
    return format_answers(column.weights, f'{shown}<p class="refseg-small">{about}</p>', items, warnings)


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
