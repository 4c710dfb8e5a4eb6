"""Configs of all encoders, and the tables of published ones."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from refseg.config import Channels, Config, Layers, Repeats
from refseg.errors import choose_one


class SwinConfig(Config):
    """A Swin Transformer; the defaults are Swin-B with windows of 12."""

    kind: Literal["swin"] = "swin"
    width: Channels = 128  # channels of the first stage
    depths: tuple[Layers, Layers, Layers, Layers] = (2, 2, 18, 2)
    heads: tuple[Repeats, Repeats, Repeats, Repeats] = (4, 8, 16, 32)
    window: int = Field(12, le=256, ge=2)
    drop_path: float = Field(0.3, ge=0, lt=1)  # of the last block in training; rises linearly from 0


class ResNetConfig(Config):
    """A ResNet of bottlenecks; the defaults are ResNet-101."""

    kind: Literal["resnet"] = "resnet"
    depths: tuple[Layers, Layers, Layers, Layers] = (3, 4, 23, 3)
    output_stride: Literal[8, 16, 32] = 32  # of the last map; below 32 the last stages are dilated instead


class DeepLabConfig(Config):
    """DeepLab's dilated ResNet at stride 8; the defaults are ResNet-101."""

    kind: Literal["deeplab"] = "deeplab"
    depths: tuple[Layers, Layers, Layers, Layers] = (3, 4, 23, 3)


class ClipImageConfig(Config):
    """CLIP's ResNet; the defaults are ResNet-50."""

    kind: Literal["clip_resnet"] = "clip_resnet"
    depths: tuple[Layers, Layers, Layers, Layers] = (3, 4, 6, 3)
    width: int = Field(64, le=16_384, ge=2)  # channels of the stem; 32 times as many at the end
    joint: Channels = 1024  # channels that its attention pooling shares with the sentence


class DarkNetConfig(Config):
    """A DarkNet; the defaults are DarkNet-53 with the convolutions that follow it in YOLOv3."""

    kind: Literal["darknet"] = "darknet"
    width: int = Field(32, le=16_384, ge=2)  # channels of the first convolution; 32 times as many at the end
    blocks: tuple[Layers, Layers, Layers, Layers, Layers] = (1, 2, 8, 8, 4)  # of the stem and the four stages
    pairs: Layers = 3  # of convolutions after the last block


class I3DConfig(Config):
    """I3D, an Inception with filters inflated in time, which takes clips; only the published size."""

    kind: Literal["i3d"] = "i3d"


class SmallConfig(Config):
    """The small encoder for drawn scenes."""

    kind: Literal["small"] = "small"
    finder: tuple[Channels, Channels, Channels, Channels] = (32, 48, 96, 192)  # at 1/2 to 1/16, as Selector's
    top: Channels = 192  # channels of the last map, with `finest` 4
    finest: Literal[2, 4] = 4  # stride of the first of four maps; with 2 there is none at 1/32
    coarsest: Literal[16, 32] = 32  # stride of the last map, where that of the first is 4


class SmallClipsConfig(SmallConfig):
    """The small encoder for drawn clips, with temporal shifts."""

    kind: Literal["small_clips"] = "small_clips"  # type: ignore[assignment]


class BertConfig(Config):
    """A BERT; the defaults are BERT-base."""

    kind: Literal["bert"] = "bert"
    width: Channels = 768
    layers: Layers = 12
    heads: Repeats = 12
    feed_forward: Channels = 3072
    positions: Channels = 512
    dropout: float = Field(0.0, ge=0, lt=1)  # most published networks keep BERT in evaluation mode
    sentence: Literal["first", "mean"] = "first"  # state of [CLS], or mean of the words, for one without pretraining


class ClipTextConfig(Config):
    """CLIP's text Transformer; the defaults are those of its ResNet-50."""

    kind: Literal["clip_text"] = "clip_text"
    width: Channels = 512
    layers: Layers = 12
    heads: Repeats = 8
    joint: Channels = 1024  # channels of the sentence
    positions: Channels = 77


class GruConfig(Config):
    """Fixed word vectors and a bidirectional GRU."""

    kind: Literal["gru"] = "gru"
    vector: Channels = 300  # channels of a word vector
    width: Channels = 1024
    dropout: float = Field(0.1, ge=0, lt=1)  # of word vectors, with the same channels for a whole sentence
    learn_vectors: bool = False


class LstmConfig(Config):
    """Word vectors and an LSTM."""

    kind: Literal["lstm"] = "lstm"
    vector: Channels = 300  # channels of a word vector
    width: Channels = 1000


IMAGE_ENCODERS: dict[str, Config] = {
    "swin_tiny": SwinConfig(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7),
    "swin_small": SwinConfig(width=96, heads=(3, 6, 12, 24), window=7),
    "swin_base": SwinConfig(),
    "swin_large": SwinConfig(width=192, heads=(6, 12, 24, 48)),
    "resnet50": ResNetConfig(depths=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(),
    "resnet101_stride16": ResNetConfig(output_stride=16),
    "resnet101_stride8": ResNetConfig(output_stride=8),
    "deeplab_resnet101": DeepLabConfig(),
    "clip_resnet50": ClipImageConfig(),
    "clip_resnet101": ClipImageConfig(depths=(3, 4, 23, 3), joint=512),
    "darknet53": DarkNetConfig(),
    "small": SmallConfig(),
    "small_fine": SmallConfig(finest=2),
    "small_stride16": SmallConfig(coarsest=16),
}


CLIP_ENCODERS: dict[str, Config] = IMAGE_ENCODERS | {  # of networks that take clips
    "i3d": I3DConfig(),
    "small_clips": SmallClipsConfig(),
}


WORD_ENCODERS: dict[str, Config] = {
    "bert_base": BertConfig(),
    "bert_small": BertConfig(width=128, layers=2, heads=4, feed_forward=256, positions=32, sentence="mean"),
    "clip_text_rn50": ClipTextConfig(),
    "clip_text_rn101": ClipTextConfig(joint=512),
    "gru": GruConfig(),
    "lstm": LstmConfig(),
}


def _named(table: dict[str, Config]) -> BeforeValidator:
    def look_up(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in table:
            raise ValueError(f"unknown encoder {value!r}; {choose_one(value, table)}")
        return table[value]

    return BeforeValidator(look_up)


ImageConfig = SwinConfig | ResNetConfig | DeepLabConfig | ClipImageConfig | DarkNetConfig | SmallConfig


ClipConfig = ImageConfig | I3DConfig | SmallClipsConfig


WordConfig = BertConfig | ClipTextConfig | GruConfig | LstmConfig


ImageEncoderConfig = Annotated[Annotated[ImageConfig, Field(discriminator="kind")], _named(IMAGE_ENCODERS)]


ClipEncoderConfig = Annotated[Annotated[ClipConfig, Field(discriminator="kind")], _named(CLIP_ENCODERS)]


WordEncoderConfig = Annotated[Annotated[WordConfig, Field(discriminator="kind")], _named(WORD_ENCODERS)]
