"""Models on this machine: found in the hub's cache or in an own folder, checked, and loaded. The hub is not asked.

Files      weights in safetensors, and the texts beside them; no code is run.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from refseg.adapters.hub_model import HubModel, described
from refseg.errors import InvalidInput, MissingFile, RefsegError, first_line, shown, unreadable

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_SETTING_OF_TRANSFORMERS = RLock()  # its verbosity is that of all threads


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
    folder = cached_folder(model)
    if folder is None or not is_complete(folder):
        what = "are not" if folder is None else "are not completely"
        raise MissingFile(
            f"the weights {name!r} ({described(model)}) {what} on this machine; get them: refseg weights get {name}, "
            f"or give your own copy by its folder: {own_copy(name)}"
        )
    return folder


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


def own_copy(name: str) -> str:
    """Returns how an own copy of a model is named, by an example.

    >>> own_copy("clipseg:revision=v1")
    'clipseg=models/clipseg'
    """
    plain = name.partition(":")[0]
    return f"{plain}=models/{plain}"


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


def cached_folder(model: HubModel) -> Path | None:
    """Returns the local folder of a model, complete or not; None without one."""
    storage = cache_of(model)
    try:
        commit = (storage / "refs" / model.revision).read_text(encoding="utf-8").strip()
    except OSError:  # a commit, or not there
        commit = model.revision
    folder = storage / "snapshots" / commit
    return folder if folder.is_dir() else None


def cache_of(model: HubModel) -> Path:
    """Returns the folder of a model in the cache of the hub's client."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.id.replace('/', '--')}"


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
