"""Downloads of models from the hub into its cache on this machine.

Files      weights in safetensors, and the texts beside them; nothing else is downloaded, and no code is run.
Revision   a branch, a tag or a commit. "main" is what the hub has at the time of the download; the commit that came is
           in the name of the local folder, and a calibrated adapter keeps it.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refseg.adapters.hub_model import HubModel, described, size_text
from refseg.adapters.local_model import cache_of, cached_folder, damaged_files, is_complete, own_copy
from refseg.errors import InvalidInput, MissingFile, RefsegError, UnwritableOutput, first_line, shown
from refseg.files.digest import sha256
from refseg.files.download import RemoteFile, Unreachable, fetch_rest
from refseg.files.lock import only_writer
from refseg.progress import Advance, Progress, no_progress

_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.jinja"]
_IN_FOLDERS = ["*/*"]  # exports to other formats, and originals
_TIMEOUT = 5.0  # seconds until the hub answers
MEGABYTE = 10**6


def get_model(
    model: HubModel,
    name: str,
    on_message: Callable[[str], None] = lambda line: None,
    progress: Progress = no_progress,
) -> Path:
    """Returns the folder of a model in the local cache of the hub; what is missing is downloaded.

    A download that was broken off goes on where it was; files that are damaged are downloaded again.

    Args:
        model: the model.
        name: of the adapter, for errors.
        on_message: receives a line with the size before a download.
        progress: shows how many megabytes of the weights are there.

    Raises:
        MissingFile: if the hub cannot be reached, or has no such model or no weights in safetensors.
        InvalidInput: if the hub wants the licence accepted first.
        UnwritableOutput: if there is no room, or the cache cannot be written.
    """
    from huggingface_hub import constants, snapshot_download

    options: dict[str, Any] = {"allow_patterns": _PATTERNS, "ignore_patterns": _IN_FOLDERS, "etag_timeout": _TIMEOUT}
    _check_reachable(model, name)
    with _hub_errors(model, name), _quiet_hub():
        _remove_damaged(model)
        files = snapshot_download(model.id, revision=model.revision, dry_run=True, **options)
        if not any(file.filename.endswith(".safetensors") for file in files):
            raise MissingFile(f"{model.id} has no weights in safetensors, and others are not read; see {model.page}")
        missing, commit = [file for file in files if file.will_download], files[0].commit_hash
        if size := sum(file.file_size or 0 for file in missing):
            on_message(f"{name}: {model.id}, {size_text(size)} from {constants.ENDPOINT}")
            _check_room(model, size)
        weights = [file for file in missing if file.filename.endswith(".safetensors")]
        with progress(sum(file.file_size or 0 for file in weights) // MEGABYTE, of="MB") as advance:
            for file in weights:
                _fetch_weights(model, commit, file.filename, advance)
        folder = Path(snapshot_download(model.id, revision=commit, **options))
        if model.revision != commit:  # which commit the name stands for
            snapshot_download(model.id, revision=model.revision, **options)
    if damaged := damaged_files(folder):
        raise InvalidInput(f"{damaged[0]}: what the hub sent is damaged; get it again: refseg weights get {name}")
    return folder


def _remove_damaged(model: HubModel) -> None:
    """Removes damaged files of a model that is there as a whole, so that they are downloaded again."""
    folder = cached_folder(model)
    if folder is not None and is_complete(folder):
        for file in damaged_files(folder):
            file.resolve().unlink()
            file.unlink(missing_ok=True)


def _check_room(model: HubModel, size: int) -> None:
    """Raises UnwritableOutput if the cache has no room for so many bytes."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(cache).free) < size:
        raise UnwritableOutput(
            f"{cache} has room for {size_text(free)}, {model.id} needs {size_text(size)}; make room, or set HF_HOME "
            "to a folder on another disk"
        )


def _fetch_weights(model: HubModel, commit: str, file_name: str, advance: Advance) -> None:
    """Downloads a file of weights to where the hub's client looks for it; goes on where it was broken off.

    The client itself begins anew with each call. It names a large file by its sha256, which is checked; other files
    are left to it.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    link = hf_hub_url(model.id, file_name, revision=commit, endpoint=constants.ENDPOINT)
    about = get_hf_file_metadata(link, timeout=_TIMEOUT, endpoint=constants.ENDPOINT)
    if about.etag is None or not re.fullmatch(r"[0-9a-f]{64}", about.etag):
        return
    blob = cache_of(model) / "blobs" / about.etag
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial, arrived = blob.with_name(f"{about.etag}.part"), 0

    def on_bytes(count: int) -> None:
        nonlocal arrived
        advance((arrived + count) // MEGABYTE - arrived // MEGABYTE)
        arrived += count

    with only_writer(blob, beside=True):
        fetch_rest(RemoteFile(link, about.size, about.etag, build_hf_headers()), partial, on_bytes)
        if sha256(partial) != about.etag:
            partial.unlink()
            raise Unreachable(f"what the hub sends as {file_name} is damaged")
        os.replace(partial, blob)


def _check_reachable(model: HubModel, name: str) -> None:
    """Raises MissingFile unless the hub answers one request: its own client would retry for half a minute."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        raise _unreachable(model, name, "HF_HUB_OFFLINE is set")
    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    except Exception as error:  # whichever HTTP library the hub's client uses, it failed
        raise _unreachable(model, name, f"{constants.ENDPOINT}: {first_line(error)}") from error


def _unreachable(model: HubModel, name: str, why: str) -> MissingFile:
    return MissingFile(
        f"the weights {name!r} ({described(model)}) cannot be downloaded: the hub cannot be reached ({why}); where "
        f"there is internet: refseg weights get {name}, then copy the folder and give it as "
        f"{own_copy(name)}; bundled, without download: selector"
    )


@contextmanager
def _hub_errors(model: HubModel, name: str) -> Iterator[None]:
    """Turns errors of the hub's client into ours."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RefsegError:
        raise
    except Exception as error:
        causes = [error]
        while (cause := causes[-1].__cause__) is not None and isinstance(cause, Exception):
            causes.append(cause)

        def is_caused_by(kind: type[Exception]) -> bool:
            return any(isinstance(one, kind) for one in causes)

        if is_caused_by(GatedRepoError):
            raise InvalidInput(
                f"{model.id} wants its licence accepted at {model.page}, then: hf auth login, then: refseg weights get "
                f"{name}"
            ) from error
        if is_caused_by(RevisionNotFoundError):
            raise MissingFile(
                f"{model.id} has no revision {shown(model.revision)}; give a branch, a tag or a commit of {model.page}"
            ) from error
        if is_caused_by(RepositoryNotFoundError):
            raise MissingFile(f"the hub has no (public) {model.id}; it may have moved: {model.page}") from error
        if isinstance(error, Unreachable):
            raise MissingFile(f"{model.id} cannot be downloaded ({error}): refseg weights get {name}") from error
        number = getattr(error, "errno", None)
        if isinstance(error, OSError) and not isinstance(error, HfHubHTTPError) and number is not None:
            raise UnwritableOutput(
                f"{error.filename or 'the cache of the hub'} cannot be written ({os.strerror(number)}); set HF_HOME to "
                "a folder with room for it"
            ) from error
        if isinstance(error, HFValidationError | ValueError):
            raise InvalidInput(f"{model.id} cannot be downloaded ({first_line(error)}); see {model.page}") from error
        raise MissingFile(
            f"{model.id} cannot be downloaded ({first_line(causes[-1])}); what arrived is kept, the same command goes "
            f"on: refseg weights get {name}"
        ) from error


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keeps the hub's client from writing to the terminal."""
    from huggingface_hub import logging
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    level, hides = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if hides:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if hides:
            enable_progress_bars()
