"""A network by name in one call."""

from typing import Any

from refseg.encoders import build_tokenizer
from refseg.encoders.configs import BertConfig, ClipTextConfig
from refseg.errors import InvalidInput
from refseg.networks import build, configured
from refseg.networks.network import Network


def create_network(name: str, *, vocabulary_size: int | None = None, **config: Any) -> Network:
    """Creates a network with fresh weights.

    Args:
        name: name of a network or a preset.
        vocabulary_size: number of token ids, padding and unknown included; that of the word encoder's tokenizer if not
            given, for word encoders that come with one (BERT, CLIP).
        config: fields of its config that differ from the preset or the defaults.

    Raises:
        InvalidInput: for an unknown name, a wrong config, or a closed vocabulary of unknown size.

    Examples:
        >>> from refseg.networks.create import create_network
        >>> create_network("lavt_small").word_encoder.bert.config.vocab_size
        30522
    """
    settings = configured(name, config)
    return build(name, settings, _tokenizer_size(name, settings) if vocabulary_size is None else vocabulary_size)


def _tokenizer_size(name: str, config: Any) -> int:
    word_encoder = dict(config).get("word_encoder")
    if not isinstance(word_encoder, BertConfig | ClipTextConfig):
        raise InvalidInput(
            f"{name} reads a closed vocabulary, that of its training data; give vocabulary_size, the number of its "
            "words with padding and unknown"
        )
    return len(build_tokenizer(word_encoder, config.max_words, tuple))
