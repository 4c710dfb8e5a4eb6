"""What a network starts from: weights of its parts, ours or others'; CLIP's, I3D's, or GloVe."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from refseg.checkpoints import bundled
from refseg.checkpoints.locate import find
from refseg.checkpoints.schema import WEIGHTS
from refseg.conversion.encoders import HUB, TIMM, bert_names, darknet_weights, timm_weights
from refseg.encoders.bert import BertWords
from refseg.encoders.darknet import DarkNet
from refseg.encoders.glove import check_glove, fill_vectors
from refseg.encoders.word_encoder import WordEncoder
from refseg.errors import InvalidInput, MissingFile
from refseg.files.tensor_files import check_finite, read_tensors, safetensors_metadata
from refseg.networks.network import Network
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import FIRST_WORD, Vocabulary

OLD_WEIGHTS = "pytorch_model.bin"  # how older folders of Hugging Face call model.safetensors
CLIP = "clip"  # not a part: both encoders and the pooling, from a file in CLIP's own layout
I3D = "i3d"  # not a part: the image encoder of that name, from a file in the layout of its PyTorch port
WORDS = "words"  # of the metadata of a word encoder's file: the words of its table, a line each
GLOVE = "glove"  # not a part: the word vectors of a word encoder that learns its own, from a text file


def initialise(network: Network, initial: Mapping[str, str], vocabulary: Tokenizer | None = None) -> None:
    """Loads weights into parts of a network; a part that is not named keeps the weights it has.

    Args:
        network: with fresh weights.
        initial: by part ("image_encoder", "image_encoder.net"): the name of bundled part weights, the path of a
            `.safetensors` file, or a checkpoint (a folder, a bundled name, a hub id) whose network has the same part.
            "image_encoder" also takes "timm/NAME", or "timm/NAME:FILE" of a file that was downloaded by hand, and for a
            DarkNet-53 a file such as yolov3.weights; "word_encoder" takes a BERT in Hugging Face's layout (a hub id, a
            folder, a file), or a file that says its words, such as the bundled small_words: the network's words that
            it lacks keep fresh vectors.
            By "clip": the file of a CLIP, such as OpenAI's RN50.pt, for networks with CLIP's encoders. By "i3d": a
            file of I3D's weights for RGB, such as rgb_imagenet.pt, for the image encoder i3d. By "glove": a text file
            of word vectors, such as glove.840B.300d.txt, for the word encoders lstm and gru.
        vocabulary: the network's words; without it a file of word vectors is looked at, but not used.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or they belong to another part.
    """
    others: dict[str, Callable[[Network, Path], None]] = {
        CLIP: _from_clip,
        I3D: _from_i3d,
        GLOVE: partial(_from_glove, vocabulary=vocabulary),
    }
    for part, source in initial.items():
        try:
            if part in others:
                others[part](network, Path(source))
            else:
                _load(network, part, source, vocabulary)
        except (InvalidInput, MissingFile) as error:
            raise type(error)(f"initial.{part}: {error}") from error


def _load(network: Network, part: str, source: str, vocabulary: Tokenizer | None) -> None:
    try:
        module = network.get_submodule(part)
    except AttributeError as error:
        raise InvalidInput(f"the network has no part {part!r}") from error
    if source.startswith(TIMM):
        module = getattr(module, "net", module)
        weights = timm_weights(module, source)
    elif isinstance(module, DarkNet) and source.endswith(".weights"):
        weights = darknet_weights(module, Path(source))
    elif isinstance(module, WordEncoder) and (words := _words_of(source)):
        weights = _with_words(module, _weights(part, source), words, vocabulary)
    elif isinstance(module, BertWords):
        weights = bert_names(_weights(part, source, f"download {HUB.format(source)} by hand and give that file"))
        _check_words(module, weights, source)
    else:
        weights = _weights(part, source)
    check_finite(weights, Path(source))
    try:
        missing, unknown = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # other shapes
        raise InvalidInput(f"{source} does not fit: {str(error).splitlines()[-1].strip()}") from error
    for names, fault in ((missing, "lacks"), (unknown, "has unknown")):
        if names:
            raise InvalidInput(f"{source} does not fit: it {fault} {len(names)}, first {names[0]}")


def _weights(part: str, source: str, otherwise: str = "") -> dict[str, Tensor]:
    """What a file, or a checkpoint, has of a part; `otherwise` says what to do where there is none."""
    file = _named_file(source)
    if file == Path(source) and not file.is_file():
        raise MissingFile(f"{file} is missing")
    if not file.is_file():
        try:
            folder = find(source)
        except MissingFile as error:
            names = ", ".join(sorted(file.stem for file in bundled.FOLDER.glob("*.safetensors"))) or "(none)"
            choices = otherwise or f"give a .safetensors file, a checkpoint, or one of: {names}"
            raise MissingFile(f"there are no weights {source!r}; {choices}") from error
        file = next((each for each in (folder / WEIGHTS, folder / OLD_WEIGHTS) if each.is_file()), folder / WEIGHTS)
        if not file.is_file():
            raise MissingFile(f"{file} is missing")
    way_out = otherwise or "give a .safetensors file of this part, or a checkpoint"
    tensors = read_tensors(file, way_out)
    for start in (f"{part}.", f"{part.partition('.')[2]}."):  # of a checkpoint; of a file of the part around this one
        if named := {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}:
            return named
    return tensors


def _named_file(source: str) -> Path:
    """Returns the file that a source names by its ending, or else that of bundled part weights, if there are any."""
    file = Path(source)
    return file if file.suffix in (".safetensors", ".bin", ".pt", ".pth") else bundled.FOLDER / f"{source}.safetensors"


def _words_of(source: str) -> list[str]:
    """Returns the words of a word encoder's file, of which it has a vector each; [] if it does not say them."""
    file = _named_file(source)
    if file.suffix != ".safetensors" or not file.is_file():
        return []
    return safetensors_metadata(file, "give a .safetensors file of this part").get(WORDS, "").splitlines()


def _with_words(
    module: WordEncoder, weights: dict[str, Tensor], words: Sequence[str], vocabulary: Tokenizer | None
) -> dict[str, Tensor]:
    """Gives the network's words the vectors that a file has of them; the others keep those that they have."""
    if not isinstance(vocabulary, Vocabulary):
        return weights
    name = next(name for name, parameter in module.named_parameters() if parameter is module.table.weight)
    theirs, own = weights.get(name), module.table.weight.detach().clone()
    if theirs is None or len(theirs) != len(words) + FIRST_WORD or theirs.shape[1:] != own.shape[1:]:
        return weights  # it does not fit, which loading says
    ids = vocabulary.id_of_word()
    known = [(ids[word], row) for row, word in enumerate(words, start=FIRST_WORD) if word in ids]
    rows = torch.tensor([*((k, k) for k in range(FIRST_WORD)), *known])
    own[rows[:, 0]] = theirs[rows[:, 1]].to(own.dtype)
    return {**weights, name: own}


def _check_words(words: BertWords, weights: Mapping[str, Tensor], source: str) -> None:
    name = "embeddings.word_embeddings.weight"
    own, theirs = words.bert.state_dict()[name], weights.get(f"bert.{name}")
    if theirs is not None and len(theirs) != len(own):
        raise InvalidInput(
            f"{source} knows {len(theirs):,} word pieces, the network's tokenizer {len(own):,}; take an uncased BERT"
        )


def _from_clip(network: Network, file: Path) -> None:
    from refseg.conversion.clip import from_clip, read_clip

    weights = from_clip(network, read_clip(file))
    check_finite(weights, file)
    network.load_state_dict(weights, strict=False)


def _from_i3d(network: Network, file: Path) -> None:
    from refseg.conversion.i3d import from_i3d, read_i3d
    from refseg.encoders import i3d

    encoder = getattr(network, "image_encoder", None)
    if not isinstance(encoder, i3d.I3D):
        raise InvalidInput("the network's image encoder is no I3D; set network.image_encoder=i3d")
    weights = from_i3d(encoder, read_i3d(file))
    check_finite(weights, file)
    encoder.load_state_dict(weights, strict=False)


def _from_glove(network: Network, file: Path, vocabulary: Tokenizer | None) -> None:
    vectors = getattr(getattr(network, "word_encoder", None), "vectors", None)
    if not isinstance(vectors, nn.Embedding):
        raise InvalidInput("the network has no word vectors; give it the word encoder lstm or gru")
    check_glove(file, vectors.embedding_dim)
    if isinstance(vocabulary, Vocabulary):
        if not vectors.weight.requires_grad:
            nn.init.zeros_(vectors.weight)  # a word that the file lacks says nothing, and will not learn to
        fill_vectors(vectors, file, vocabulary.id_of_word())
