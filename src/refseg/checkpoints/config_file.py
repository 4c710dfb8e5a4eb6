"""Reads the texts of a checkpoint folder."""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from refseg.adapters.catalogue import CATALOGUE as ADAPTERS
from refseg.adapters.local_parts import check_parts
from refseg.adapters.sentences import MOST_BYTES
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.locate import REVISION, bundled_names, find, named_adapter, settings_of
from refseg.checkpoints.schema import CONFIG, FORMAT, WEIGHTS, CharactersEntry, CheckpointConfig, NetworkEntry
from refseg.config import one_line
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput, first_line, option, shown
from refseg.networks import COMPOSITIONS
from refseg.preprocessing.transform import Preprocessing

_MAX_TEXT_SIZE = 2**26  # bytes


def check_weights(where: str | Path, precision: str = "f32") -> None:
    """Checks that there are such weights, that their config can be read, and that they compute in a precision.

    Raises:
        MissingFile, InvalidInput: if not.
    """
    folder, config = open_config(where)
    check_precision(config.network.name, config.runtime is not None, precision)
    if config.network.name in COMPOSITIONS:
        parts = config.network.config
        check_parts(parts.get("finder"), parts.get("masker"), parts.get("scorer"))
    elif entry := ADAPTERS.get(config.network.name):
        entry.local_models(entry.configured(config.network.config))
    for file in weights_files(folder, config):
        if not file.is_file():
            names = ", ".join(one.name for one in weights_files(folder, config))
            raise MissingFile(f"{file} is missing; this checkpoint folder holds {names} and {CONFIG}")


def check_precision(name: str, is_exported: bool, precision: str) -> None:
    """Raises InvalidInput if the network of that name is asked for bf16, and it is not the network that computes."""
    if precision == "bf16" and (is_exported or brings_weights(name)):
        why = "have the precision of their export" if is_exported else "compute in f32"
        raise InvalidInput(f"{name}: these weights {why}; leave out {option('precision', precision)}")


def weights_files(folder: Path, config: CheckpointConfig) -> list[Path]:
    """Returns the files of a checkpoint folder that hold its weights; none where these are elsewhere."""
    if brings_weights(config.network.name):
        return []
    return [folder / name for name in (config.runtime.files if config.runtime else [WEIGHTS])]


def open_config(where: str | Path) -> tuple[Path, CheckpointConfig]:
    """Finds the folder of weights and reads its config, with the settings that stand behind the name.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, their config is not valid, or they have no settings.
    """
    settings = settings_of(where)
    if adapter := named_adapter(where):
        name, own = adapter
        folder, config = Path(name), _adapter_config(name, own)
    else:
        folder = find(where)
        config = read_config(folder / CONFIG)
        if not brings_weights(config.network.name):
            settings.pop(REVISION, None)  # `find` has read it, or refused it
    if settings:
        if not brings_weights(config.network.name):
            raise InvalidInput(
                f"{where}: {', '.join(settings)} cannot be set, since {config.network.name} was trained as it is; "
                f"settings are those of: {', '.join([*COMPOSITIONS, *ADAPTERS])}"
            )
        network = config.network.replace(config={**config.network.config, **settings})
        config = config.replace(network=network)
    return folder, config


def check_destination(folder: Path) -> None:
    """Checks that a checkpoint may be saved to a folder: a new or empty one, or one of another checkpoint.

    Raises:
        UnwritableOutput: if not.
    """
    if folder.exists() and not (folder / CONFIG).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnwritableOutput(f"{folder} exists and is no checkpoint; choose another folder or remove it")


def settings_names(where: str | Path) -> tuple[str, ...]:
    """Returns the names of the settings of compositions and adapters; of other weights none. Errors as of `find`."""
    adapter = named_adapter(where)
    network = _adapter_config(*adapter).network if adapter else read_config(find(where) / CONFIG).network
    if entry := ADAPTERS.get(network.name):
        return tuple(entry.settings.model_fields)
    return tuple(network.config) if network.name in COMPOSITIONS else ()


def brings_weights(name: str) -> bool:
    """Whether the weights of a network are elsewhere than in its checkpoint folder: compositions, adapters."""
    return name in COMPOSITIONS or name in ADAPTERS


def _adapter_config(name: str, folder: str | None) -> CheckpointConfig:
    return CheckpointConfig(
        format=FORMAT,
        network=NetworkEntry(name=name, config={"folder": folder} if folder else {}),
        tokenizer=CharactersEntry(max_words=MOST_BYTES),
        preprocessing=Preprocessing(resize="none", mean=(0, 0, 0), std=(1, 1, 1), multiple_of=1),
        calibration=Calibration(),
        knows=ADAPTERS[name].knows,
    )


def read_config(path: Path) -> CheckpointConfig:
    """Reads config.json of a checkpoint folder.

    Raises:
        MissingFile, InvalidInput: if it is missing, or not valid.
    """
    if not os.path.isfile(path):
        if os.path.isfile(of_run := path.parent / "weights" / CONFIG):
            raise MissingFile(f"{path.parent} is the folder of a training; give its weights: {of_run.parent}")
        names = ", ".join(bundled_names()) or "(none)"
        raise MissingFile(f"{path} is missing, so this is no checkpoint folder; bundled weights: {names}")
    text = read_text(path)
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not valid JSON ({first_line(error)}); copy or download it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        if isinstance(content, dict) and "model_type" in content:
            raise InvalidInput(
                f"{path} is that of a model of transformers ({shown(content['model_type'], 40)}); give the name of its "
                f"open model before the folder, such as clipseg={path.parent}; there are: {', '.join(ADAPTERS)}"
            )
        raise InvalidInput(
            f"{path} has format {shown(found, 40)}, this version of refseg reads {FORMAT}; update refseg"
        )
    try:
        return CheckpointConfig.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {one_line(error)}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def read_text(path: Path) -> str:
    """Reads the text of a file of a checkpoint; "" if it is missing."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe may not end
            raise InvalidInput(f"{path} is no file; put a copy of the file there, or remove it")
        if path.stat().st_size > _MAX_TEXT_SIZE:
            raise InvalidInput(
                f"{path} has more than {_MAX_TEXT_SIZE >> 20} MiB; no file of a checkpoint but {WEIGHTS} does"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 ({first_line(error)}); save it as UTF-8") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
