"""Parts of the reader that come from the hub: where they are on this machine. Nothing here imports torch."""

from pathlib import Path
from typing import Any

from refseg.adapters.entries import sam3
from refseg.adapters.entries.parts import DEFAULT_MASKER, PARTS, PHRASE_FINDERS, SCORERS
from refseg.adapters.local_model import LocalModel, own_copy
from refseg.errors import InvalidInput, MissingFile, choose_one, shown
from refseg.finders.installed import check_finder
from refseg.finders.named_folder import split_folder

FOUND_BY_NAME = PARTS | {"sam3": sam3.ENTRY.replace(usage="--weights reader --set finder=sam3")}
"""With what is a network by itself, too."""


def local_part(name: str, folder: str | Path | None = None) -> LocalModel:
    """Finds the model of a finder or masker on this machine.

    Args:
        name: one of `FOUND_BY_NAME`.
        folder: an own copy in the place of the hub's.

    Raises:
        MissingFile: if it is not there; the message names the command that gets it.
    """
    entry = FOUND_BY_NAME[name]
    config = entry.configured({} if folder is None else {"folder": str(folder)})
    try:
        return entry.local_models(config)["model"]
    except MissingFile as error:  # which names the weights of a network
        setting = entry.usage.rpartition("--set ")[2]
        raise MissingFile(str(error).replace(own_copy(name), f"{setting}=models/{name}")) from error


def check_parts(finder: Any, masker: Any, scorer: Any = None) -> None:
    """Checks the settings of a reader: that its parts are known, and on this machine.

    Args:
        finder: its name, with an own folder behind it if it has one ("gdino=FOLDER").
        masker: its name, likewise; None is the finder's own default.
        scorer: its name, likewise; None is none.

    Raises:
        MissingFile: if one is not there; the message names the command that gets it.
        InvalidInput: if one is unknown, or takes no folder.
    """
    check_folders(finder, masker, scorer)
    check_scorer(scorer)
    check_finder(split_folder(finder)[0] if isinstance(finder, str) else finder)
    if masker is None and split_folder(finder)[0] in PHRASE_FINDERS:
        masker = DEFAULT_MASKER
    for setting in (finder, masker, scorer):
        name, folder = split_folder(setting) if isinstance(setting, str) else ("", None)
        if name in FOUND_BY_NAME:
            local_part(name, folder)


def check_scorer(scorer: Any) -> None:
    """Raises InvalidInput if there is no such scorer of regions."""
    names = [entry.name for entry in SCORERS]
    if scorer is not None and not (isinstance(scorer, str) and split_folder(scorer)[0] in names):
        raise InvalidInput(f"unknown scorer {shown(scorer)}; {choose_one(scorer, names)}")


def check_folders(*settings: str | None) -> None:
    """Raises InvalidInput if there is a folder behind the name of a finder or masker that takes none."""
    for setting in settings:
        name, folder = split_folder(setting) if isinstance(setting, str) else ("", None)
        if folder is not None and name not in FOUND_BY_NAME:
            raise InvalidInput(f"{name} takes no folder; those that do: {', '.join(FOUND_BY_NAME)}")
