"""Image and word encoders by name, imported when they are built."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refseg.encoders.image_encoder import ImageEncoder
    from refseg.encoders.word_encoder import WordEncoder
    from refseg.text.tokenizer import Tokenizer
from refseg.config import Config
from refseg.encoders.configs import (
    CLIP_ENCODERS,
    WORD_ENCODERS,
    BertConfig,
    ClipConfig,
    ClipImageConfig,
    ClipTextConfig,
    DarkNetConfig,
    DeepLabConfig,
    GruConfig,
    I3DConfig,
    LstmConfig,
    ResNetConfig,
    SmallClipsConfig,
    SmallConfig,
    SwinConfig,
    WordConfig,
)


def build_image_encoder(config: ClipConfig) -> "ImageEncoder":
    """Builds an image encoder with initial weights."""
    match config:
        case SwinConfig():
            from refseg.encoders.swin import Swin

            return Swin(config)
        case ResNetConfig():
            from refseg.encoders.resnet import ResNet

            return ResNet(config)
        case DeepLabConfig():
            from refseg.encoders.deeplab import DeepLab

            return DeepLab(config)
        case ClipImageConfig():
            from refseg.encoders.clip_image import ClipResNet

            return ClipResNet(config)
        case DarkNetConfig():
            from refseg.encoders.darknet import DarkNet

            return DarkNet(config)
        case I3DConfig():
            from refseg.encoders.i3d import I3D

            return I3D()
        case SmallClipsConfig():
            from refseg.encoders.small_clips import SmallClipEncoder

            return SmallClipEncoder(config)
        case SmallConfig():
            from refseg.encoders.small import SmallImageEncoder

            return SmallImageEncoder(config)


def build_word_encoder(config: WordConfig, vocabulary_size: int) -> "WordEncoder":
    """Builds a word encoder with initial weights for tokens below `vocabulary_size`."""
    match config:
        case BertConfig():
            from refseg.encoders.bert import BertWords

            return BertWords(config, vocabulary_size)
        case ClipTextConfig():
            from refseg.encoders.clip_text import ClipWords

            return ClipWords(config, vocabulary_size)
        case GruConfig():
            from refseg.encoders.gru import GruWords

            return GruWords(config, vocabulary_size)
        case LstmConfig():
            from refseg.encoders.lstm import LstmWords

            return LstmWords(config, vocabulary_size)


def build_tokenizer(config: WordConfig, max_words: int, texts: Callable[[], Iterable[str]]) -> "Tokenizer":
    """Builds the tokenizer of a published word encoder.

    Args:
        config: of the word encoder.
        max_words: largest number of ids of an expression.
        texts: returns the training expressions, for encoders with a closed vocabulary.
    """
    match config:
        case BertConfig():
            from refseg.text.word_pieces import WordPieces

            return WordPieces(max_words)
        case ClipTextConfig():
            from refseg.text.byte_pairs import BytePairs

            return BytePairs(max_words)
        case GruConfig() | LstmConfig():
            from refseg.text.word_list import WordList

            return WordList.of(texts(), max_words)


def encoder_name(config: Config) -> str:
    """Returns the name of an encoder in its table, or its kind if it is in none."""
    for table in (CLIP_ENCODERS, WORD_ENCODERS):
        for name, known in table.items():
            if known == config:
                return name
    return f"{getattr(config, 'kind', type(config).__name__)} (own settings)"
