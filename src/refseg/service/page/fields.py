"""Parts that the page has for images and for videos alike."""

from collections.abc import Callable, Collection, Sequence
from html import escape
from typing import Any, TypeVar

import gradio as gr

T = TypeVar("T")
SUITED = ""  # the choice of weights that leaves it to the image or the video
PLAIN: dict[str, Any] = {"api_visibility": "private", "queue": False}
"""Settings of events, which are plain requests: the header of `layout` says why."""


def add_expressions(placeholder: str, elem_id: str) -> gr.Textbox:
    """Adds the field of the expressions."""
    return gr.Textbox(label="Expressions, one a line", placeholder=placeholder, lines=5, max_lines=16, elem_id=elem_id)


def add_weights(choices: Sequence[tuple[str, str]], label: str, elem_id: str) -> gr.CheckboxGroup:
    """Adds the choice of weights, which is hidden where there is none."""
    return gr.CheckboxGroup(choices, value=[choices[0][1]], label=label, visible=len(choices) > 1, elem_id=elem_id)


def chosen_weights(choices: Sequence[tuple[str, str]], chosen: Collection[str] | None) -> list[str | None]:
    """Returns the names of the weights that are asked, in the order of the choices, the first ones if none is chosen.

    None are those that suit the image or the video.
    """
    names = [name for _, name in choices if name in (chosen or ())] or [choices[0][1]]
    return [None if name == SUITED else name for name in names]


def add_columns(count: int, fill: Callable[[int], T]) -> tuple[list[gr.Column], list[T]]:
    """Adds hidden columns side by side, one for each of the weights.

    Args:
        count: number of columns.
        fill: function that adds what is in a column, by its number.
    """
    columns, filled = [], []
    with gr.Row():
        for number in range(count):
            with gr.Column(min_width=300, visible=False) as column:
                filled.append(fill(number))
            columns.append(column)
    return columns, filled


def show_columns(shown: int, count: int) -> list[gr.Column]:
    """Returns what makes the first columns visible, and hides the others."""
    return [gr.Column(visible=number < shown) for number in range(count)]


def add_problem(elem_id: str, problem: str = "") -> gr.HTML:
    """Adds the place for a problem."""
    return gr.HTML(_format_problem(problem), visible=bool(problem), elem_id=elem_id)


def show_problem(problem: str = "") -> gr.HTML:
    """Returns what shows a problem, as it is written; without one, what hides it."""
    return gr.HTML(_format_problem(problem), visible=bool(problem))


def _format_problem(problem: str) -> str:
    return f'<p class="refseg-problem" role="alert">{escape(problem, quote=False)}</p>' if problem else ""


def hide_answers() -> list[Any]:
    """Returns what hides the last answers: values of their key, of the problem, and of their part of the page."""
    return [None, show_problem(), gr.Column(visible=False)]


def add_download(elem_id: str) -> gr.DownloadButton:
    """Adds a download that is never seen; `click` starts it once it has a file.

    It is hidden by a style, since a part of gradio that is not visible becomes so together with what is around it.
    """
    return gr.DownloadButton(elem_id=elem_id, elem_classes="refseg-unseen-button")


def click(elem_id: str) -> str:
    """Returns the script that clicks an element, for example a download that is not seen."""
    return f"() => document.querySelector('#{elem_id}').click()"
