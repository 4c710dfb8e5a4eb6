"""Finders that are ready on this machine; nothing here imports torch."""

from importlib.metadata import entry_points
from typing import Any

from refseg.errors import InvalidInput, MissingFile, choose_one, shown, weights_choice
from refseg.finders import FINDERS
from refseg.finders.published import PUBLISHED_FINDERS

FOR_PHOTOGRAPHS = ("coco80",)  # the best one first


def check_finder(name: Any) -> None:
    """Checks that a finder is known, and that its weights are on this machine.

    Raises:
        InvalidInput, MissingFile: if not; the message names the command that gets them.
    """
    if not isinstance(name, str) or (name not in FINDERS and not entry_points(group="refseg.finders", name=name)):
        raise InvalidInput(f"unknown finder {shown(name)}; {choose_one(name, FINDERS)}")
    published = PUBLISHED_FINDERS.get(name)
    if published is not None and not published.is_installed():
        raise MissingFile(f"the finder {name!r} is not on this machine; {published.way_out}")


def installed_finder() -> str | None:
    """Returns the name of the best finder for photographs whose weights are on this machine."""
    return next((name for name in FOR_PHOTOGRAPHS if PUBLISHED_FINDERS[name].is_installed()), None)


def reader_advice(shown: str) -> str:
    """Returns what to do with photographs or filmed videos: take the reader, or get a finder for it first."""
    reader = weights_choice("reader")
    if installed_finder():
        return f"for {shown} take {reader}"
    return f"{shown} need a finder; {PUBLISHED_FINDERS[FOR_PHOTOGRAPHS[0]].way_out}, then take {reader}"
