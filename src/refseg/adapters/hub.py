"""Models on the hub: found on this machine, downloaded, loaded.

Files      weights in safetensors, and the texts beside them; nothing else is downloaded, and no code is run.
Revision   a branch, a tag or a commit. "main" is what the hub has at the time of the download; the commit that came is
           in the name of the local folder, and a calibrated adapter keeps it.
Network    only `get_model` uses it. `model_folder` looks at this machine alone and answers at once.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Annotated, Any

from pydantic import Field

from refseg.config import Config
from refseg.errors import InvalidInput, MissingFile, RefsegError, UnwritableOutput, first_line, shown, unreadable
from refseg.files.download import RemoteFile, Unreachable, fetch_rest
from refseg.files.lock import only_writer
from refseg.progress import Advance, Progress, no_progress

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.jinja"]
_IN_FOLDERS = ["*/*"]  # exports to other formats, and originals
_TIMEOUT = 5.0  # seconds until the hub answers
MEGABYTE = 10**6
_SETTING_OF_TRANSFORMERS = RLock()  # its verbosity is that of all threads


UNCHECKED = "not checked by us, see its page"  # a licence

Revision = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$", max_length=100)]
"""A branch, tag or commit on the hub, which is also the name of a file or folder in its cache."""


class Fact(Config):
    """A figure that others published, and where."""

    text: str
    source: str


class HubModel(Config):
    """A model on the hub.

    Attributes:
        name: of the model in settings and messages.
        id: "owner/name" on the hub.
        revision: branch, tag or commit.
        licence: of the weights, or where it is stated.
        size: bytes of a download, about.
        parameters: number of them.
        gated: whether the hub wants its licence accepted first.
    """

    name: str
    id: str
    revision: Revision = "main"
    licence: str
    size: int
    parameters: int
    gated: bool = False

    @property
    def page(self) -> str:
        """Address of its page."""
        return f"https://huggingface.co/{self.id}"


def single_precision(name: str, hub_id: str, parameters: int, licence: str = UNCHECKED) -> HubModel:
    """Returns a model whose file has four bytes a parameter."""
    return HubModel(name=name, id=hub_id, licence=licence, size=4 * parameters, parameters=parameters)


def size_text(size: int) -> str:
    """Formats a number of bytes.

    >>> size_text(609_600_000), size_text(3_439_600_000), size_text(24_251)
    ('610 MB', '3.4 GB', '1 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine.

    Attributes:
        name: of the adapter, for messages.
        folder: with config.json and weights.
        own: whether it is the user's own folder, not of the hub's cache.
    """

    name: str
    folder: Path
    own: bool = False

    @property
    def commit(self) -> str:
        """The commit that the hub sent; "" for an own folder."""
        return self.folder.name if self.folder.parent.name == "snapshots" else ""

    def fingerprint(self) -> str:
        """Returns an identifier of its weights: the commit, or the sha256 of an own folder's files."""
        if self.commit:
            return self.commit
        digest = hashlib.sha256()
        for file in weight_files(self.folder):
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        return digest.hexdigest()

    @property
    def way_out(self) -> str:
        """Advice if it is damaged."""
        return "copy it again" if self.own else f"get it again: refseg weights get {self.name}"

    def load(self, model_class: Any, types: Sequence[str] = (), **options: Any) -> Any:
        """Loads a model of a class of transformers, in evaluation mode, on the CPU; nothing in the folder is run.

        Args:
            model_class: of transformers.
            types: types of models in config.json that it reads beside its own.
            options: further arguments of its `from_pretrained`.

        Raises:
            InvalidInput: if the files are damaged, or those of another model.
        """
        self._check_type(model_class, types)
        with quiet_transformers():
            try:
                model, found = model_class.from_pretrained(
                    self.folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # they are told below, in one line
                    **{"dtype": "float32"} | options,  # whatever the file has: a CPU computes in it
                )
            except Exception as error:  # damage raises various errors
                raise self._damaged(model_class, error) from error
        lacking = [*found["missing_keys"], *(one[0] for one in found["mismatched_keys"])]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise InvalidInput(
                f"{self.folder} lacks {sorted(lacking)[0]}{more}, so it is no {model_class.__name__}; {self.way_out}"
            )
        return model.eval()

    def load_processor(self, processor_class: Any, **options: Any) -> Any:
        """Loads a processor of transformers; errors as of `load`."""
        with quiet_transformers():
            try:
                return processor_class.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=False, **options
                )
            except Exception as error:  # damage raises various errors
                raise self._damaged(processor_class, error) from error

    def _check_type(self, model_class: Any, types: Sequence[str]) -> None:
        """Raises InvalidInput if config.json is that of a model of another type."""
        try:
            found = json.loads((self.folder / CONFIG).read_bytes()).get("model_type")
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            raise self._damaged(model_class, error) from error
        wanted = model_class.config_class.model_type
        if found not in (wanted, *types):
            raise InvalidInput(
                f"{self.folder} holds a model of type {shown(found, 40)}, {self.name} takes {wanted!r}; give "
                "the folder of such a model"
            )

    def _damaged(self, wanted: Any, error: Exception) -> RefsegError:
        return unreadable(self.folder, error) or InvalidInput(
            f"{self.folder} is damaged, or no {wanted.__name__} ({first_line(error)}); {self.way_out}"
        )


def model_folder(model: HubModel, name: str) -> Path:
    """Returns the folder of a model in the local cache of the hub, without asking the hub.

    Args:
        model: the model.
        name: of the adapter, for errors.

    Raises:
        MissingFile: if it is not on this machine, or not all of it; the message names the command that gets it.
    """
    folder = _cached(model)
    if folder is None or not is_complete(folder):
        what = "are not" if folder is None else "are not completely"
        raise MissingFile(
            f"the weights {name!r} ({described(model)}) {what} on this machine; get them: refseg weights get {name}, "
            f"or give your own copy by its folder: {own_copy(name)}"
        )
    return folder


def own_copy(name: str) -> str:
    """Returns how an own copy of a model is named, by an example.

    >>> own_copy("clipseg:revision=v1")
    'clipseg=models/clipseg'
    """
    plain = name.partition(":")[0]
    return f"{plain}=models/{plain}"


def described(model: HubModel) -> str:
    """Describes a model in a few words."""
    at = "" if model.revision == "main" else f" at {model.revision}"
    return f"{model.id}{at}, {size_text(model.size)}"


def own_folder(folder: Path, name: str) -> Path:
    """Checks the user's own folder of a model, and returns it.

    Raises:
        MissingFile: if there is no such folder, or a file of it is missing.
    """
    if not folder.is_dir():
        raise MissingFile(f"{folder} is no folder; give one with {CONFIG} and {WEIGHTS}, as {own_copy(name)}")
    if not is_complete(folder):
        raise MissingFile(f"{folder} is no model of transformers: it lacks {_lacking(folder)}; copy it again")
    return folder


def is_complete(folder: Path) -> bool:
    """Whether config and all weights are in a folder, whatever their content."""
    return not _lacking(folder)


def _lacking(folder: Path) -> str:
    """Returns the name of a file that a folder of a model lacks; "" if it is complete."""
    if not (folder / CONFIG).is_file():
        return CONFIG
    return next((file.name for file in weight_files(folder) if not file.is_file()), "")


def weight_files(folder: Path) -> list[Path]:
    """Returns the files of weights that a folder of a model should hold: one, or the parts that its index names."""
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return [folder / WEIGHTS]
    try:
        named = set(json.loads((folder / INDEX).read_bytes())["weight_map"].values())
        return [folder / name for name in sorted(named) if Path(name).name == name]
    except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError):
        return [folder / WEIGHTS]


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
        repair = folder if (folder := _cached(model)) and is_complete(folder) else None
        if repair is not None:
            for file in damaged_files(repair):
                file.resolve().unlink()
                file.unlink(missing_ok=True)
        files = snapshot_download(model.id, revision=model.revision, dry_run=True, **options)
        if not any(file.filename.endswith(".safetensors") for file in files):
            raise MissingFile(f"{model.id} has no weights in safetensors, and others are not read; see {model.page}")
        size = sum(file.file_size or 0 for file in files if file.will_download)
        if size:
            on_message(f"{name}: {model.id}, {size_text(size)} from {constants.ENDPOINT}")
            cache = Path(constants.HF_HUB_CACHE)
            cache.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(cache).free) < size:
                raise UnwritableOutput(
                    f"{cache} has room for {size_text(free)}, {model.id} needs {size_text(size)}; make room, or set "
                    "HF_HOME to a folder on another disk"
                )
        weights = [file for file in files if file.will_download and file.filename.endswith(".safetensors")]
        with progress(sum(file.file_size or 0 for file in weights) // MEGABYTE, of="MB") as advance:
            for file in weights:
                _fetch_weights(model, file.commit_hash, file.filename, advance)
        folder = Path(snapshot_download(model.id, revision=files[0].commit_hash, **options))
        if model.revision != files[0].commit_hash:  # which commit the name stands for
            snapshot_download(model.id, revision=model.revision, **options)
    if damaged := damaged_files(folder):
        raise InvalidInput(f"{damaged[0]}: what the hub sent is damaged; get it again: refseg weights get {name}")
    return folder


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
    blob = _storage(model) / "blobs" / about.etag
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
        with partial.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != about.etag:
            partial.unlink()
            raise Unreachable(f"what the hub sends as {file_name} is damaged")
        os.replace(partial, blob)


def damaged_files(folder: Path) -> list[Path]:
    """Returns the files of weights in a folder whose length is not what their header says."""
    return [file for file in weight_files(folder) if not _has_its_length(file)]


def _has_its_length(file: Path) -> bool:
    """Whether a file of safetensors ends where its header says."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            if length > file.stat().st_size:
                return False
            tensors = json.loads(content.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0) == file.stat().st_size
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        return False


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keeps transformers from writing to the terminal."""
    from transformers.utils import logging

    with _SETTING_OF_TRANSFORMERS:
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def _storage(model: HubModel) -> Path:
    """Returns the folder of a model in the cache of the hub's client."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.id.replace('/', '--')}"


def _cached(model: HubModel) -> Path | None:
    """Returns the local folder of a model, complete or not; None without one."""
    storage = _storage(model)
    try:
        commit = (storage / "refs" / model.revision).read_text(encoding="utf-8").strip()
    except OSError:  # a commit, or not there
        commit = model.revision
    folder = storage / "snapshots" / commit
    return folder if folder.is_dir() else None


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
