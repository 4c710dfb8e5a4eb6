"""Finds the checkpoint folder of a path, a bundled name or a hub id."""

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from refseg.adapters.catalogue import CATALOGUE as ADAPTERS
from refseg.adapters.entries.parts import PARTS
from refseg.adapters.local_model import own_copy
from refseg.checkpoints import bundled, catalogue
from refseg.checkpoints.schema import CARD, CONFIG, RECIPE, WEIGHTS
from refseg.errors import InvalidInput, MissingFile, did_you_mean, first_line, shown
from refseg.files.yaml_values import parse_yaml
from refseg.runtimes.entry import FAMILIARITY_FILE, GRAPH_FILES

_HUB_ID = re.compile(r"(?!.*(--|\.\.|\.git$))[A-Za-z0-9]([\w.-]{0,94}\w)?/[A-Za-z0-9]([\w.-]{0,94}\w)?", re.ASCII)
_SETTING = r"([a-z_]*revision=[^,=:\\]+|[a-z_]+=[^,=:/\\]+(=[^,:]+)?)"  # a revision such as refs/pr/1
_SETTINGS = re.compile(rf"(?P<weights>.+):(?P<settings>{_SETTING}(,{_SETTING})*)")
_HUB_TIMEOUT = 5.0  # timeout of the hub
REVISION = "revision"
"""Setting of weights on the hub: a branch, a tag, a commit or a pull request (refs/pr/1)."""


def with_settings(where: str | Path, settings: Mapping[str, Any]) -> str:
    """Returns the name of weights with settings behind it, as `find` and `settings_of` read it.

    >>> with_settings("reader", {"finder": "coco80", "threshold": 0.4})
    'reader:finder=coco80,threshold=0.4'
    """
    texts = [f"{name}={value}" for name, value in settings.items()]
    for text in texts:
        if not _SETTINGS.fullmatch(f"weights:{text}"):
            raise InvalidInput(f"{shown(text)} cannot be a setting of weights; give for example finder=coco80")
    return f"{where}{',' if settings_of(where) else ':'}{','.join(texts)}" if texts else str(where)


def settings_of(where: str | Path) -> dict[str, Any]:
    """Returns the settings behind the name of weights; a revision is text, since "1.10" is no number.

    >>> settings_of("reader:finder=coco80,threshold=0.4"), settings_of("reader"), settings_of("you/own:revision=1.10")
    ({'finder': 'coco80', 'threshold': 0.4}, {}, {'revision': '1.10'})
    >>> settings_of("you/own:revision=refs/pr/1")
    {'revision': 'refs/pr/1'}
    """
    found = _SETTINGS.fullmatch(str(where))
    pairs = [one.partition("=") for one in found["settings"].split(",")] if found else []
    return {name: value if name.endswith(REVISION) else parse_yaml(value) for name, _, value in pairs}


def named_adapter(where: str | Path) -> tuple[str, str | None] | None:
    """Returns the name of an adapter that weights name, and the own folder of `NAME=FOLDER`; None for other weights.

    Raises:
        MissingFile: for `NAME=` without a folder.
        InvalidInput: for the hub id of an adapter's model, or a part of the reader.
    """
    found = _SETTINGS.fullmatch(str(where))
    text = found["weights"] if found else str(where)
    name, equals, folder = text.partition("=")
    if name in ADAPTERS and equals and not folder:
        raise MissingFile(f"{text} names no folder; give one, such as {own_copy(name)}, or {name} alone")
    if name in ADAPTERS and (equals or not Path(name).is_dir()):
        return name, folder or None
    if name in PARTS and not Path(name).exists():
        raise InvalidInput(f"{name} is a part of the reader, and no network by itself; give {PARTS[name].usage}")
    for entry in ADAPTERS.values():
        if any(model.id == text for choices in entry.parts.values() for model in choices):
            raise InvalidInput(f"{text} is a model of the adapter {entry.name}; give its name: {entry.name}")
    return None


def bundled_names() -> list[str]:
    """Returns the names of the bundled weights."""
    return sorted(path.parent.name for path in bundled.FOLDER.glob(f"*/{CONFIG}"))


def find(where: str | Path) -> Path:
    """Finds the folder of a checkpoint; hub ids are downloaded, published weights only by `refseg weights get`.

    Raises:
        MissingFile: if it is neither a folder, nor bundled, nor on the hub.
        InvalidInput: for an open model, which has no such folder, a revision of weights that are here, or no revision.
    """
    if adapter := named_adapter(where):
        raise InvalidInput(
            f"{adapter[0]} is an open model, used as its authors trained it; give weights of refseg: a checkpoint "
            f"folder, or one of: {', '.join(bundled_names())}"
        )
    revision = settings_of(where).get(REVISION)
    if found := _SETTINGS.fullmatch(str(where)):
        where = found["weights"]
    path, name = Path(where), str(where)
    try:
        path.stat()
        exists = True
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except (OSError, ValueError) as error:  # no permission, or too long a name
        raise InvalidInput(
            f"{name!r} cannot be opened ({first_line(error)}); give another checkpoint folder"
        ) from error
    local = path if exists and path.is_dir() else None
    local = local or (bundled.FOLDER / name if name in bundled_names() else catalogue.installed(name))
    if local and revision is not None:
        raise InvalidInput(f"{name} is not from the hub, and has no revisions; leave out {REVISION}={revision}")
    if local:
        return local
    if revision is not None and any(part.startswith(".") or not part for part in revision.split("/")):
        raise InvalidInput(f"{shown(revision)} is no revision; give a branch, a tag, a commit or refs/pr/1")
    names = [*bundled_names(), *ADAPTERS]
    meant = did_you_mean(name, [*names, *(entry.name for entry in catalogue.CATALOGUE)])
    choices = f"{meant}give a checkpoint folder, a hub id 'owner/name', or one of: {', '.join(names)}"
    if exists:
        raise InvalidInput(_about_file(path, choices))
    if (path.parent / RECIPE).is_file():  # the folder of a training
        so_far = f", or take the best so far: {path.with_name('best')}" if path.with_name("best").is_dir() else ""
        raise MissingFile(
            f"{path} is missing, since the training in {path.parent} has not come to its end; go on with: refseg train "
            f"--resume --out {quote(str(path.parent))}{so_far}"
        )
    if isinstance(where, str) and is_hub_id(name) and not path.parent.is_dir():
        return _download(name, choices, revision)
    if name in bundled.FORMER:
        choices = f"they were bundled before, and lie in releases/{name} of refseg's repository: give that folder"
    raise MissingFile(f"there are no weights {name!r}; {choices}")


def _about_file(path: Path, choices: str) -> str:
    """Returns the way from a file to weights: its checkpoint folder, or the command that converts it."""
    if path.name in (WEIGHTS, CONFIG) and (path.parent / CONFIG).is_file():
        return f"{path} is a file of a checkpoint; give its folder: {path.parent}"
    from refseg.checkpoints.official_release import conversion_command

    if command := conversion_command(path):
        folder = command.partition("--out ")[2].partition(" --")[0]
        return f"{path} is a file of an official release; convert it, and give the folder {folder}: {command}"
    return f"{path} is a file, and of no official release that `refseg convert` reads; {choices}"


def _download(hub_id: str, choices: str, revision: str | None) -> Path:
    from huggingface_hub import constants, get_session, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    online = not constants.HF_HUB_OFFLINE and is_reachable(get_session(), constants.ENDPOINT)
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=[WEIGHTS, CONFIG, RECIPE, CARD, FAMILIARITY_FILE, *GRAPH_FILES],
                local_files_only=not online,
                etag_timeout=_HUB_TIMEOUT,
            )
        )
    except RevisionNotFoundError as error:
        raise MissingFile(
            f"{hub_id!r} has no revision {revision!r}; leave it out, or give a commit, a tag or a branch"
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingFile(f"the hub has no (public) {hub_id!r}; {choices}") from error
    except LocalEntryNotFoundError as error:
        raise MissingFile(
            f"{hub_id!r} is neither a folder nor in the local hub cache, and the hub cannot be reached; {choices}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise MissingFile(f"{hub_id!r} cannot be downloaded ({first_line(error)}); {choices}") from error


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of a hub id, "owner/name"."""
    return _HUB_ID.fullmatch(text) is not None


def is_reachable(session: Any, endpoint: str) -> bool:
    """Whether the hub answers one request; its own client would retry for half a minute."""
    try:
        session.head(endpoint, timeout=_HUB_TIMEOUT)
    except Exception:  # whichever HTTP library the hub's client uses, it failed
        return False
    return True
