"""Settings of CMIRNet: the two releases, and the choices of the paper's Tables I to VIII."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from refseg.config import Channels, Config, Repeats
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.losses import SMALL_REFERENTS_AT_HALF

ASPP_STAGE = 6


ATTENDED = 3  # finest stage with attention in the decoder (CMAE)


Off = BeforeValidator(lambda value: None if value is False else value)  # YAML reads "off" as false


class GuidanceConfig(Config):
    """Settings that TGMM and its alternatives share."""

    first_stage: int = Field(3, ge=1, le=6)  # Table VI: stages from here to 6 are guided
    activation: Literal["relu", "gelu"] = "gelu"


class TGMMConfig(GuidanceConfig):
    """The paper's guidance; the defaults are the Swin release, comments give the ResNet release."""

    kind: Literal["tgmm"] = "tgmm"
    heads: Repeats = 1  # in the encoder's stages; ResNet: 8
    aspp_heads: Repeats = 8
    keys: Literal["stage", "width"] = "stage"  # channels of keys and values: those of the stage; ResNet: `width`
    # Table V (a), "re f_ew^new with ori f_ew", and ResNet: pixels read the original words, through their own projection
    visual_words: Literal["new", "original"] = "new"
    sentence: Literal["sum", "gated"] = "sum"  # Eq. (4); ResNet: new words enter through a gate that starts closed


class WPAConfig(GuidanceConfig):
    """Table VIII: `alternatives.WPA`."""

    kind: Literal["wpa"] = "wpa"
    heads: Repeats = 1
    aspp_heads: Repeats = 8


class SVLAConfig(GuidanceConfig):
    """Table VIII: `alternatives.SVLA`."""

    kind: Literal["svla"] = "svla"
    heads: Repeats = 8
    inner: Repeats = 4  # channels inside the attention, as a multiple of `width`
    feed_forward: Channels = 4  # and inside the feed-forward layers


class CGIConfig(Config):
    """Cross-graph interaction."""

    heads: Repeats = 8  # Table VII, together with those of IGR
    neighbours: Repeats = 9  # words connected to a pixel
    kernel: Literal[1, 3] = 3  # of the convolution over (pixel, rank of its word); Eq. (8) may be read as 1
    words: Literal["new", "original"] = "new"  # Table V (b): "re f_ew^fu with ori f_ew"
    head_weights: bool = True  # Table V (b): "wo multi-head weights"
    mask_padding_words: bool = False  # the releases connect pixels to padding as well


class IGRConfig(Config):
    """Intra-graph reasoning."""

    heads: Repeats = 8  # Table VII, together with those of CGI


class CGIPConfig(Config):
    """The paper's graph interaction."""

    kind: Literal["graph"] = "graph"
    cgi: Annotated[CGIConfig | None, Off] = CGIConfig()  # Table V (b): off is "wo CGI"
    igr: Annotated[IGRConfig | None, Off] = IGRConfig()  # Table V (b): off is "wo IGR"

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.cgi is None and self.igr is None:
            raise ValueError("cgi and igr are both off; switch cgip off instead")
        return self


class CrossAttentionConfig(Config):
    """Table V (b): `alternatives.CrossAttention` in place of CGI and IGR."""

    kind: Literal["cross_attention"] = "cross_attention"
    heads: Repeats = 8
    words: Literal["new", "original"] = "new"


class CMAEConfig(Config):
    """Attention of the decoder, with the block after it."""

    sentence: Literal["new", "original"] = "new"  # Table V (c): "re f_el^new with ori f_el"
    channel: bool = True  # Table V (c): "wo CMCA"


class LossConfig(Config):
    """Table II: training on masks, boxes, or both."""

    mask: float = Field(1.0, ge=0)  # weight of the class-weighted cross-entropy
    class_weights: tuple[float, float] = (0.9, 1.1)  # of background and referent in it
    box: float = Field(0.0, ge=0)  # weight of `box_loss`

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.mask == 0 == self.box:
            raise ValueError("mask and box are both 0; nothing is left to learn")
        return self


class CMIRNetConfig(Config):
    """Every choice of the releases and of the paper's tables; the defaults are the release with Swin-B."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: Repeats = 20  # positions of the word encoder; the network also reads padding
    width: Channels = 512  # of new words, sentences, graph and decoder
    stem: bool = False  # whether the decoder includes stage 1; ResNet: true
    fine_projections: bool = True  # whether the decoder projects stages 1 and 2 as well; ResNet: false
    aspp_rates: tuple[Repeats, ...] = Field((3, 6, 9), max_length=16)
    tgmm: Annotated[Annotated[TGMMConfig | WPAConfig | SVLAConfig, Field(discriminator="kind")] | None, Off] = (
        TGMMConfig()
    )  # Tables III, V (a), VI, VIII
    cgip: Annotated[Annotated[CGIPConfig | CrossAttentionConfig, Field(discriminator="kind")] | None, Off] = (
        CGIPConfig()
    )  # Tables III, V (b), VII
    cmae: Annotated[CMAEConfig | None, Off] = CMAEConfig()  # Tables III, V (c); off is also "wo CMSA&CMCA"
    loss: LossConfig = LossConfig()  # Table II

    @model_validator(mode="after")
    def _first_stage_exists(self) -> Self:
        if self.tgmm and self.tgmm.first_stage == 1 and not self.stem:
            raise ValueError("tgmm.first_stage=1 is the stem, which is not decoded; set stem=true or first_stage=2")
        return self


def resnet_release(image_encoder: str) -> CMIRNetConfig:
    """Returns the settings of the authors' network with a ResNet."""
    return CMIRNetConfig(
        image_encoder=image_encoder,
        stem=True,
        fine_projections=False,
        tgmm=TGMMConfig(heads=8, keys="width", visual_words="original", sentence="gated", activation="relu"),
    )


PRESETS = {  # Table I
    "cmirnet_resnet50": resnet_release("resnet50"),
    "cmirnet_resnet101": resnet_release("resnet101"),
    "cmirnet_swin_base": CMIRNetConfig(),
    "cmirnet_swin_large": CMIRNetConfig(image_encoder="swin_large"),
    "cmirnet_small": CMIRNetConfig(
        image_encoder="small",
        word_encoder="bert_small",
        max_words=24,
        width=32,
        loss=LossConfig(class_weights=SMALL_REFERENTS_AT_HALF),
    ),
}
