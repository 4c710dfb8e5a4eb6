"""Fields that the parts of the page for images and for videos have in common."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

SUITED = ""  # the choice of weights that leaves it to the image or the video
PLAIN: dict[str, Any] = {"api_visibility": "private", "queue": False}
"""Settings of events, which are plain requests: the header of `layout` says why."""


def add_expressions(placeholder: str, elem_id: str) -> gr.Textbox:
    """Adds the field of the expressions."""
    return gr.Textbox(label="Expressions, one a line", placeholder=placeholder, lines=5, max_lines=16, elem_id=elem_id)


def add_weights(choices: Sequence[tuple[str, str]], label: str, elem_id: str) -> gr.CheckboxGroup:
    """Adds the choice of weights, which is hidden where there is none."""
    return gr.CheckboxGroup(choices, value=[choices[0][1]], label=label, visible=len(choices) > 1, elem_id=elem_id)


def click(elem_id: str) -> str:
    """Returns the script that clicks an element, for example a hidden download."""
    return f"() => document.querySelector('#{elem_id}').click()"
