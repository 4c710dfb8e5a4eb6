"""How the commands that answer about an image or a video are told with which weights."""

from typing import Annotated

import typer

from refseg.bundled import FOR_IMAGES, FOR_VIDEOS

Weights = Annotated[
    str | None,
    typer.Option(
        help=f"A bundled name, a checkpoint folder, or a hub id [default: {FOR_IMAGES}; of a video {FOR_VIDEOS}]."
    ),
]
"""None: `bundled.default_weights`."""
