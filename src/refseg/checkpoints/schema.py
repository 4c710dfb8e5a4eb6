"""config.json of a checkpoint folder as pydantic models."""

from typing import Any, Literal

from pydantic import Field

from refseg.checkpoints.calibration import Calibration
from refseg.config import Config, Repeats
from refseg.preprocessing.transform import Preprocessing
from refseg.runtimes.entry import RuntimeEntry

FORMAT = 1
WEIGHTS, CONFIG, RECIPE, CARD = "model.safetensors", "config.json", "recipe.yaml", "card.md"
"""Files of a checkpoint folder."""


class NetworkEntry(Config):
    """A network's name in `NETWORKS` and its config."""

    name: str = Field(max_length=100)
    config: dict[str, Any]


class VocabularyEntry(Config):
    """A closed vocabulary, in order of ids."""

    name: Literal["vocabulary"] = "vocabulary"
    words: tuple[str, ...]
    max_words: Repeats


class WordListEntry(Config):
    """The words of a file, the special ones included, in order of ids."""

    name: Literal["word_list"] = "word_list"
    words: tuple[str, ...]
    max_words: Repeats


class WordPiecesEntry(Config):
    """BERT's word pieces, which come with the package."""

    name: Literal["bert_base_uncased"] = "bert_base_uncased"
    max_words: Repeats


class BytePairsEntry(Config):
    """CLIP's byte pairs, which come with the package."""

    name: Literal["clip_byte_pairs"] = "clip_byte_pairs"
    max_words: Repeats


class CharactersEntry(Config):
    """The expression as it is."""

    name: Literal["characters"] = "characters"
    max_words: int = Field(ge=1, le=100_000)  # bytes


TokenizerEntry = VocabularyEntry | WordListEntry | WordPiecesEntry | BytePairsEntry | CharactersEntry


FAMILIARITY_FLOOR = 1e-2
"""Added to means and deviations of features before their logarithm, since a channel may be 0."""


class FamiliarityEntry(Config):
    """The part of the familiarity statistic that is not a tensor."""

    threshold: float
    fitted_on: str


class CheckpointConfig(Config):
    """Content of `config.json`."""

    format: int
    network: NetworkEntry
    tokenizer: TokenizerEntry = Field(discriminator="name")
    preprocessing: Preprocessing
    calibration: Calibration
    familiarity: FamiliarityEntry | None = None
    knows: str = ""
    trained_on: dict[str, Any] = {}
    runtime: RuntimeEntry | None = None  # of exported networks
