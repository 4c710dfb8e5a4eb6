"""What a network starts from: weights of its parts, bundled with the package, of a checkpoint, or CLIP's own."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from refseg.checkpoints import BUNDLED, WEIGHTS, find
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.contract import Network

CLIP = "clip"  # not a part: both encoders and the pooling, from a file in CLIP's own layout


def initialise(network: Network, initial: Mapping[str, str]) -> None:
    """Loads weights into parts of a network; a part that is not named keeps the weights it has.

    Args:
        network: with fresh weights.
        initial: by part ("image_encoder", "image_encoder.net"): the name of bundled part weights, the path of a
            `.safetensors` file, or a checkpoint (a folder, a bundled name, a hub id) whose network has the same part.
            By "clip": the file of a CLIP, such as OpenAI's RN50.pt, for networks with CLIP's encoders.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or they belong to another part.
    """
    for part, source in initial.items():
        if part == CLIP:
            _from_clip(network, source)
            continue
        try:
            module = network.get_submodule(part)
        except AttributeError as error:
            raise InvalidInput(f"initial.{part}: the network has no part {part!r}") from error
        try:
            missing, unknown = module.load_state_dict(_weights(part, source), strict=False)
        except SafetensorError as error:
            raise InvalidInput(f"initial.{part}: {source} is damaged ({error})") from error
        except RuntimeError as error:  # other shapes
            raise InvalidInput(
                f"initial.{part}: {source} does not fit: {str(error).splitlines()[-1].strip()}"
            ) from error
        for names, fault in ((missing, "lacks"), (unknown, "has unknown")):
            if names:
                raise InvalidInput(f"initial.{part}: {source} does not fit: it {fault} {len(names)}, first {names[0]}")


def _weights(part: str, source: str) -> dict[str, Tensor]:
    """The part's state dict."""
    path = Path(source) if source.endswith(".safetensors") else BUNDLED / f"{source}.safetensors"
    if path.is_file():
        return load_file(path)
    try:
        file = find(source) / WEIGHTS
    except MissingFile as error:
        names = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.safetensors"))) or "(none)"
        raise MissingFile(
            f"initial.{part}: there are no weights {source!r}; give a .safetensors file, a checkpoint, "
            f"or one of: {names}"
        ) from error
    if not file.is_file():
        raise MissingFile(f"initial.{part}: {file} is missing")
    start = f"{part}."
    return {name.removeprefix(start): value for name, value in load_file(file).items() if name.startswith(start)}


def _from_clip(network: Network, source: str) -> None:
    from refseg.conversion.clip import read_clip, take_clip

    try:
        network.load_state_dict(take_clip(network, read_clip(Path(source))), strict=False)
    except InvalidInput as error:
        raise InvalidInput(f"initial.{CLIP}: {error}") from error
