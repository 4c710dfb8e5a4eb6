"""What a network starts from: weights of its parts, bundled with the package or of a checkpoint, CLIP's, or GloVe."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from refseg.checkpoints import BUNDLED, WEIGHTS, find
from refseg.encoders.glove import check_glove, fill_vectors
from refseg.encoders.vocabulary import Vocabulary
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.contract import Network

CLIP = "clip"  # not a part: both encoders and the pooling, from a file in CLIP's own layout
GLOVE = "glove"  # not a part: the word vectors of a word encoder that learns its own, from a text file


def initialise(network: Network, initial: Mapping[str, str], vocabulary: Vocabulary | None = None) -> None:
    """Loads weights into parts of a network; a part that is not named keeps the weights it has.

    Args:
        network: with fresh weights.
        initial: by part ("image_encoder", "image_encoder.net"): the name of bundled part weights, the path of a
            `.safetensors` file, or a checkpoint (a folder, a bundled name, a hub id) whose network has the same part.
            By "clip": the file of a CLIP, such as OpenAI's RN50.pt, for networks with CLIP's encoders. By "glove": a
            text file of word vectors, such as glove.840B.300d.txt, for the word encoders lstm and gru.
        vocabulary: the network's words; without it a file of word vectors is looked at, but not used.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or they belong to another part.
    """
    for part, source in initial.items():
        if part == CLIP:
            _from_clip(network, source)
            continue
        if part == GLOVE:
            _from_glove(network, Path(source), vocabulary)
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


def _from_glove(network: Network, file: Path, vocabulary: Vocabulary | None) -> None:
    vectors = getattr(getattr(network, "word_encoder", None), "vectors", None)
    if not isinstance(vectors, nn.Embedding):
        raise InvalidInput(f"initial.{GLOVE}: the network has no word vectors; give it the word encoder lstm or gru")
    try:
        check_glove(file, vectors.embedding_dim)
        if vocabulary is not None:
            fill_vectors(vectors, file, vocabulary.id_of_word())
    except InvalidInput as error:
        raise InvalidInput(f"initial.{GLOVE}: {error}") from error
