"""Loads and saves checkpoint folders."""

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from refseg import networks
from refseg.adapters import ADAPTERS, adapter_class
from refseg.checkpoints.checkpoint import Checkpoint, to_device, use_threshold
from refseg.checkpoints.config_file import brings_weights, check_destination, open_config, read_text
from refseg.checkpoints.empty_network import load_into
from refseg.checkpoints.familiarity import Familiarity
from refseg.checkpoints.precision import use_precision
from refseg.checkpoints.schema import (
    CARD,
    CONFIG,
    FORMAT,
    RECIPE,
    WEIGHTS,
    BytePairsEntry,
    CharactersEntry,
    CheckpointConfig,
    FamiliarityEntry,
    NetworkEntry,
    TokenizerEntry,
    VocabularyEntry,
    WordListEntry,
    WordPiecesEntry,
)
from refseg.checkpoints.tokenizers import build_tokenizer
from refseg.errors import InvalidInput, option, shortened
from refseg.files.atomic import all_or_nothing
from refseg.files.tensor_files import check_finite, read_safetensors, safetensors_shapes
from refseg.hardware import check_precision_name
from refseg.networks.network import Network
from refseg.runtimes.entry import FAMILIARITY_FILE, RuntimeEntry
from refseg.text.characters import Characters
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import Vocabulary
from refseg.text.word_list import WordList

_COMPLETE = f"a checkpoint folder holds {WEIGHTS} and {CONFIG}"


def load_checkpoint(where: str | Path, device: str = "cpu", precision: str = "f32") -> Checkpoint:
    """Loads a checkpoint, with its network in evaluation mode.

    Args:
        where: a folder, the name of bundled weights ("selector") or of downloaded ones
            ("dmmi_swin_base/refzom"), a hub id ("owner/name"), or an adapter ("clipseg"), with a local copy of its
            model, if wanted ("clipseg=FOLDER"); of compositions and adapters with settings, if wanted
            ("reader:finder=selector").
        device: where the network runs: "cpu", "cuda", ..., or "auto" for a GPU if there is one.
        precision: of its arithmetic: "f32", "bf16" or "auto" (`checkpoints.precision.use_precision`).

    Raises:
        MissingFile: if there are no such weights, or a file of the folder is missing.
        InvalidInput: if the files do not fit each other or are damaged, or the device or precision is unknown.
    """
    check_precision_name(precision)
    checkpoint = _load(where, device)
    use_precision(checkpoint, precision)
    return checkpoint


def _load(where: str | Path, device: str) -> Checkpoint:
    folder, config = open_config(where)
    tokenizer = build_tokenizer(config.tokenizer)
    if config.runtime is not None:
        return _exported(config, config.runtime, tokenizer, folder, device)
    name, words, clip = config.network.name, len(tokenizer), config.preprocessing.clip
    if name in networks.COMPOSITIONS:
        composed = networks.network_class(name)(networks.configured(name, config.network.config), words)
        return _checkpoint(composed, tokenizer, config, None, folder, device)
    if name in ADAPTERS:
        adapter = adapter_class(name).load(config.network.config)
        checkpoint = _checkpoint(adapter, adapter.tokenizer, config, None, folder, device)
        checkpoint.card = checkpoint.card or adapter.entry.card()
        return checkpoint
    try:
        settings = networks.configured(name, config.network.config)
        with torch.device("meta"):  # sizes are checked against the weights before memory is allocated
            plan = networks.build(name, settings, words)
    except InvalidInput as error:
        raise InvalidInput(f"{folder / CONFIG}: {error}") from error
    if not plan.accepts_offsets(clip.offsets):
        raise InvalidInput(f"{folder / CONFIG}: its network does not take clips of frames {list(clip.offsets)}")
    stored = safetensors_shapes(folder / WEIGHTS, _COMPLETE)
    _check_shapes(plan, stored, folder)
    tensors = read_safetensors(folder / WEIGHTS, _COMPLETE)
    check_finite(tensors, folder / WEIGHTS)
    familiarity = _familiarity(config.familiarity, tensors, folder / WEIGHTS) if config.familiarity else None
    # Numbers of the right type stay in the mapped file, which processes share; Windows could not replace it then.
    copy, own = sys.platform == "win32", plan.state_dict()
    given = {name: value.to(own[name].dtype, copy=copy) for name, value in tensors.items() if name in own}
    build = partial(networks.build, name, settings, words)
    if own.keys() <= given.keys():
        network = load_into(build, given)
    else:  # without what only training needs
        network = build()
        network.load_state_dict(given, strict=False)
    return _checkpoint(network, tokenizer, config, familiarity, folder, device)


def _exported(
    config: CheckpointConfig, entry: RuntimeEntry, tokenizer: Tokenizer, folder: Path, device: str
) -> Checkpoint:
    from refseg.runtimes.exported import ExportedGraphs
    from refseg.runtimes.network import ExportedNetwork

    settings = networks.configured(config.network.name, config.network.config)
    network = ExportedNetwork(ExportedGraphs(folder, entry), settings)
    familiarity = None
    if config.familiarity:
        tensors = read_safetensors(folder / FAMILIARITY_FILE, _COMPLETE)
        check_finite(tensors, folder / FAMILIARITY_FILE)
        familiarity = _familiarity(config.familiarity, tensors, folder / FAMILIARITY_FILE)
    return _checkpoint(network, tokenizer, config, familiarity, folder, device)


def _checkpoint(
    network: Network,
    tokenizer: Tokenizer,
    config: CheckpointConfig,
    familiarity: Familiarity | None,
    folder: Path,
    device: str,
) -> Checkpoint:
    checkpoint = Checkpoint(
        name=config.network.name,
        network=network.eval(),
        tokenizer=tokenizer,
        preprocessing=config.preprocessing,
        calibration=config.calibration,
        familiarity=familiarity,
        knows=config.knows,
        recipe=read_text(folder / RECIPE),
        card=read_text(folder / CARD),
        trained_on=config.trained_on,
        runtime=config.runtime,
    )
    use_threshold(checkpoint, config.calibration.exists_threshold)
    return to_device(checkpoint, device)


def save_checkpoint(checkpoint: Checkpoint, folder: str | Path, half: bool = False) -> None:
    """Saves a checkpoint; the folder is there completely or not at all, and replaces a checkpoint.

    Args:
        checkpoint: the checkpoint.
        folder: of the checkpoint.
        half: Whether parameters are saved in float16, and those that only training needs are omitted.

    Raises:
        UnwritableOutput: if the folder cannot be written, or holds something else than a checkpoint.
        InvalidInput: for exported weights, and for those that were rounded to compute in bfloat16.
    """
    if checkpoint.network.compute_dtype != torch.float32:
        raise InvalidInput(
            f"weights that compute in {checkpoint.precision} have been rounded to it, and would be saved so; load them "
            f"with {option('precision', 'f32')}"
        )
    if checkpoint.runtime is not None:
        raise InvalidInput(
            "exported weights cannot be changed; change those that they were exported from, and export them again"
        )
    folder = Path(folder)
    check_destination(folder)
    folder = folder.absolute()
    with all_or_nothing(folder.parent, replaces=True) as staging:
        new = staging / folder.name
        new.mkdir()
        if not brings_weights(checkpoint.name):
            write_tensors(_tensors(checkpoint, half), new / WEIGHTS)
        write_texts(checkpoint, new)


def write_texts(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes what a checkpoint folder holds beside its weights: config, recipe and card."""
    config = _config(checkpoint).model_dump(mode="json", exclude=None if checkpoint.runtime else {"runtime"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for name, text in ((RECIPE, checkpoint.recipe), (CARD, checkpoint.card)):
        if text:
            (folder / name).write_text(text, encoding="utf-8")


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes a file of tensors that all users may read, as safetensors does not make it."""
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


def familiarity_tensors(familiarity: Familiarity | None) -> dict[str, Tensor]:
    """Returns the tensors of a familiarity statistic by their names in a file."""
    if familiarity is None:
        return {}
    return {
        "familiarity.mean": familiarity.mean.float().cpu().clone(),
        "familiarity.precision": familiarity.precision.float().cpu().clone(),
    }


def _config(checkpoint: Checkpoint) -> CheckpointConfig:
    familiarity = checkpoint.familiarity
    return CheckpointConfig(
        format=FORMAT,
        network=NetworkEntry(name=checkpoint.name, config=checkpoint.network.config.model_dump(mode="json")),
        tokenizer=_tokenizer_entry(checkpoint.tokenizer),
        preprocessing=checkpoint.preprocessing,
        calibration=checkpoint.calibration,
        familiarity=familiarity
        and FamiliarityEntry(threshold=float(familiarity.threshold), fitted_on=familiarity.fitted_on),
        knows=checkpoint.knows,
        trained_on=checkpoint.trained_on,
        runtime=checkpoint.runtime,
    )


def _tokenizer_entry(tokenizer: Tokenizer) -> TokenizerEntry:
    from refseg.text.byte_pairs import BytePairs

    match tokenizer:
        case WordList():  # before its base class
            return WordListEntry(words=tokenizer.words, max_words=tokenizer.max_words)
        case Vocabulary():
            return VocabularyEntry(words=tokenizer.words, max_words=tokenizer.max_words)
        case BytePairs():
            return BytePairsEntry(max_words=tokenizer.max_words)
        case Characters():
            return CharactersEntry(max_words=tokenizer.max_words)
    return WordPiecesEntry(max_words=tokenizer.max_words)


def _tensors(checkpoint: Checkpoint, half: bool) -> dict[str, Tensor]:
    """Returns all tensors by name; `half` applies to parameters only, since statistics of norms may be tiny."""
    network = checkpoint.network
    parameters = {name for name, _ in network.named_parameters()}
    tensors = {}
    for name, value in network.state_dict().items():
        if half and name.startswith(network.training_only):
            continue
        value = value.half() if half and name in parameters else value
        tensors[name] = value.detach().cpu().clone().contiguous()
    return {**tensors, **familiarity_tensors(checkpoint.familiarity)}


def _check_shapes(network: Network, stored: Mapping[str, tuple[tuple[int, ...], str]], folder: Path) -> None:
    """Refuses weights of another network; only parameters for training may be missing.

    Args:
        network: may be on the meta device.
        stored: shape and type of the tensors in the file, by name.
        folder: of the checkpoint, for errors.
    """
    state = network.state_dict()
    own = {name: tuple(value.shape) for name, value in state.items()}
    given = {name: shape for name, (shape, _) in stored.items() if not name.startswith("familiarity.")}
    missing = [name for name in own if name not in given and not name.startswith(network.training_only)]
    unexpected = [name for name in given if name not in own]
    misshapen = [name for name, shape in given.items() if own.get(name, shape) != shape]
    mistyped = [
        name
        for name, (_, kind) in stored.items()
        if name in own and kind.startswith(("F", "BF")) != state[name].is_floating_point()
    ]
    for names, fault in (
        (missing, "lacks"),
        (unexpected, "has unknown"),
        (misshapen, "has other shapes of"),
        (mistyped, "has numbers of another type in"),
    ):
        if names:
            first = shortened(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            raise InvalidInput(f"{folder / WEIGHTS} {fault} {first}; it does not belong to the network of {CONFIG}")


def _familiarity(entry: FamiliarityEntry, tensors: Mapping[str, Tensor], file: Path) -> Familiarity:
    try:
        mean, precision = tensors["familiarity.mean"], tensors["familiarity.precision"]
    except KeyError as error:
        raise InvalidInput(f"{file} lacks {error}, which {CONFIG} asks for; copy both again") from error
    if mean.ndim != 1 or precision.shape != (len(mean), len(mean)):
        raise InvalidInput(f"{file} has other shapes of familiarity.precision; copy it again")
    return Familiarity(mean=mean, precision=precision, threshold=entry.threshold, fitted_on=entry.fitted_on)
