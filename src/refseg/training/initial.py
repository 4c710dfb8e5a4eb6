"""What a network starts from: weights of one of its parts, bundled with the package or from a file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from refseg.checkpoints import BUNDLED
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.contract import Network


def initialise(network: Network, initial: Mapping[str, str]) -> None:
    """Loads weights into parts of a network; a part that is not named keeps the weights it has.

    Args:
        network: with fresh weights.
        initial: by part ("image_encoder.net"): the name of bundled part weights, or the path of a `.safetensors` file.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or they belong to another part.
    """
    for part, source in initial.items():
        try:
            module = network.get_submodule(part)
        except AttributeError as error:
            raise InvalidInput(f"initial.{part}: the network has no part {part!r}") from error
        try:
            missing, unknown = module.load_state_dict(load_file(_file(part, source)), strict=False)
        except SafetensorError as error:
            raise InvalidInput(f"initial.{part}: {source} is damaged ({error})") from error
        except RuntimeError as error:  # other shapes
            raise InvalidInput(
                f"initial.{part}: {source} does not fit: {str(error).splitlines()[-1].strip()}"
            ) from error
        for names, fault in ((missing, "lacks"), (unknown, "has unknown")):
            if names:
                raise InvalidInput(f"initial.{part}: {source} does not fit: it {fault} {len(names)}, first {names[0]}")


def _file(part: str, source: str) -> Path:
    path = Path(source) if source.endswith(".safetensors") else BUNDLED / f"{source}.safetensors"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.safetensors"))) or "(none)"
        raise MissingFile(
            f"initial.{part}: there are no weights {source!r}; give a .safetensors file, or one of: {names}"
        )
    return path
