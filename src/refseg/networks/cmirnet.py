"""CMIRNet: words and pixels refine each other at every stage, reason on a graph, and are decoded together.

Paper      M. Xu et al. "CMIRNet: Cross-Modal Interactive Reasoning Network for Referring Image Segmentation".
           IEEE TCSVT 2024. https://doi.org/10.1109/TCSVT.2024.3508752
Read with  The overview figure, left to right: `CMIRNet` (image encoder with `TGMM`), `blocks.aspp`, `CGIP` (`CGI`,
           `IGR`), `Decoder` with `CMAE` (`SpatialAttention`, `ChannelAttention`), `Head`; then losses, presets, tables.
Stages     The paper's numbers: 1 is the encoder's stem (ResNet only), 2 to 5 are its stages, 6 is the ASPP.
Departs    The authors' weights depend on where their release departs from the paper: a softmax over words in Eq. (1),
           self-attention in Eq. (14), a cosine in Eq. (16), 3 x 3 heads, a weighted cross-entropy. Here is the release,
           which is two networks, one with ResNet and one with Swin; fields of `CMIRNetConfig` say how they differ.
Idle       Biases before an instance norm change nothing. The releases have them, so they are here.
Shapes     B images, M expressions, T words, N = h * w pixels. Sizes follow from the image, which may have any that
           leaves more than one pixel at the coarsest stage; the authors' networks take multiples of 32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, Self, cast

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from refseg.blocks import fast_convolution as fast
from refseg.blocks.aspp import ASPP
from refseg.blocks.attention import attend
from refseg.blocks.convolution import conv_norm
from refseg.blocks.join_scales import JoinScales
from refseg.blocks.pixels import instance_norm
from refseg.blocks.precision import full_precision
from refseg.config import Channels, Config, Repeats
from refseg.encoders import ImageEncoderConfig, WordEncoderConfig, build_image_encoder, build_word_encoder
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS, mean_over_processes, weighted_cross_entropy
from refseg.networks.contract import Network, Output, View, pad_mask, pad_words
from refseg.samples import Batch

ASPP_STAGE = 6
ATTENDED = 3  # the finest stage whose decoder attends (CMAE)
Off = BeforeValidator(lambda value: None if value is False else value)  # how YAML reads "off"


class GuidanceConfig(Config):
    """What TGMM and its rivals share."""

    first_stage: int = Field(3, ge=1, le=6)  # Table VI: stages from here to 6 are guided
    activation: Literal["relu", "gelu"] = "gelu"


class TGMMConfig(GuidanceConfig):
    """The paper's guidance; the defaults are the Swin release, the comments say what the ResNet release has."""

    kind: Literal["tgmm"] = "tgmm"
    heads: Repeats = 1  # in the encoder's stages; ResNet: 8
    aspp_heads: Repeats = 8
    keys: Literal["stage", "width"] = "stage"  # channels of keys and values: as the stage has; ResNet: `width`
    # Table V (a), "re f_ew^new with ori f_ew", and ResNet: pixels read the original words, through their own projection
    visual_words: Literal["new", "original"] = "new"
    sentence: Literal["sum", "gated"] = "sum"  # Eq. (4); ResNet: new words enter through a gate that starts closed


class WPAConfig(GuidanceConfig):
    """Table VIII: `cmirnet_rivals.WPA`."""

    kind: Literal["wpa"] = "wpa"
    heads: Repeats = 1
    aspp_heads: Repeats = 8


class SVLAConfig(GuidanceConfig):
    """Table VIII: `cmirnet_rivals.SVLA`."""

    kind: Literal["svla"] = "svla"
    heads: Repeats = 8
    inner: Repeats = 4  # channels inside the attention, as a multiple of `width`
    feed_forward: Channels = 4  # and inside the feed-forward layers


class CGIConfig(Config):
    """Cross-graph interaction."""

    heads: Repeats = 8  # Table VII, together with those of IGR
    neighbours: Repeats = 9  # words that a pixel is connected with
    kernel: Literal[1, 3] = 3  # of the convolution over (pixel, rank of its word); Eq. (8) may be read as 1
    words: Literal["new", "original"] = "new"  # Table V (b): "re f_ew^fu with ori f_ew"
    head_weights: bool = True  # Table V (b): "wo multi-head weights"
    mask_padding_words: bool = False  # the releases connect pixels with padding as well


class IGRConfig(Config):
    """Intra-graph reasoning."""

    heads: Repeats = 8  # Table VII, together with those of CGI


class CGIPConfig(Config):
    """The paper's graph."""

    kind: Literal["graph"] = "graph"
    cgi: Annotated[CGIConfig | None, Off] = CGIConfig()  # Table V (b): off is "wo CGI"
    igr: Annotated[IGRConfig | None, Off] = IGRConfig()  # Table V (b): off is "wo IGR"

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.cgi is None and self.igr is None:
            raise ValueError("cgi and igr are both off; switch cgip off instead")
        return self


class CrossAttentionConfig(Config):
    """Table V (b): `cmirnet_rivals.CrossAttention` in the place of CGI and IGR."""

    kind: Literal["cross_attention"] = "cross_attention"
    heads: Repeats = 8
    words: Literal["new", "original"] = "new"


class CMAEConfig(Config):
    """The attention of the decoder, with the block that follows it."""

    sentence: Literal["new", "original"] = "new"  # Table V (c): "re f_el^new with ori f_el"
    channel: bool = True  # Table V (c): "wo CMCA"


class LossConfig(Config):
    """Table II: learning from masks, from boxes, or from both."""

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
    max_words: Repeats = 20  # positions of the word encoder, padding included: the network reads it too
    width: Channels = 512  # channels of new words, sentences, graph and decoder
    stem: bool = False  # the decoder goes on to stage 1; ResNet: true
    fine_projections: bool = True  # the decoder projects what it reads of stages 1 and 2 as well; ResNet: false
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


@dataclass
class ImageFeatures:
    """What needs no words of B images.

    Attributes:
        maps: by stage (B, C, h, w), from the finest to the first that words guide.
        size_hw: height and width of the images.
    """

    maps: dict[int, Tensor]
    size_hw: tuple[int, int]


@dataclass
class DecoderInputs:
    """What M expressions make of the image: all that the decoder reads.

    Attributes:
        maps: by stage (M, C, h, w), what guidance adds to the encoder's map; the map itself where nothing guides.
        graph: (M, width, h, w) what CGIP makes of the coarsest stage; None without it.
        sentences: by stage (M, width), what the stage's attention looks for.
    """

    maps: dict[int, Tensor]
    graph: Tensor | None
    sentences: dict[int, Tensor]


class CMIRNet(Network):
    """The network. `fuse` answers with the finest stage, `decode` with each: training supervises all of them."""

    idea = "Words and pixels change each other at every stage, a graph of both is reasoned on, and a mask is decoded"
    config: CMIRNetConfig

    def __init__(self, config: CMIRNetConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        self.image_encoder = build_image_encoder(config.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        text, width = self.word_encoder.channels, config.width
        if self.word_encoder.sentence_channels != text:
            raise InvalidInput(
                f"the words of this word encoder have {text} channels, its sentences "
                f"{self.word_encoder.sentence_channels}; CMIRNet needs as many, choose bert_base or clip_text_rn101"
            )
        top = self.image_encoder.channels[-1]
        channels = dict(enumerate((self.image_encoder.stem_channels, *self.image_encoder.channels, top), start=1))
        self.stages = range(1 if config.stem else 2, ASPP_STAGE + 1)
        guided = [stage for stage in self.stages if config.tgmm and stage >= config.tgmm.first_stage]
        looking = [stage for stage in self.stages if config.cmae and stage >= ATTENDED]
        new_sentences = [s for s in looking if s in guided and config.cmae and config.cmae.sentence == "new"]
        graph_words = words_of_graph(config)

        self.aspp = ASPP(top, top // 4, top, config.aspp_rates)
        self.tgmm = nn.ModuleDict()
        for stage in guided:
            assert config.tgmm is not None
            gives = {"words": graph_words == "new", "sentence": stage in new_sentences}
            self.tgmm[str(stage)] = guidance(config.tgmm, stage, channels[stage], text, width, **gives)
        self.cgip = CGIP(config.cgip, top, text, width) if config.cgip else None
        self.sentences = nn.ModuleDict({str(s): nn.Linear(text, width) for s in looking if s not in new_sentences})
        # Table III, row 1: words have to enter somewhere, and the code base multiplies by them by default
        self.multiply = None if guided or looking or graph_words else nn.Linear(text, top)
        self.decoder = Decoder({stage: channels[stage] for stage in self.stages}, width, config)
        self.heads = nn.ModuleDict({str(stage): Head(width) for stage in self.stages})

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """The maps of images (B, 3, H, W) up to the first guided stage."""
        first_guided = int(next(iter(self.tgmm), ASPP_STAGE))
        x, maps = image, {}
        for stage in range(1, first_guided + 1):
            x = maps[stage] = self._stage(stage, x)
        height, width = image.shape[-2:]
        return ImageFeatures({stage: maps[stage] for stage in self.stages if stage in maps}, (height, width))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, max_words, D) of tokens (M, L)."""
        return self.word_encoder(*pad_words(tokens, word_mask, self.config.max_words))

    def fuse(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        """Logits (M, 1, H, W) of the finest stage; words (M, T, D) may be any number."""
        inputs = self.read(image_features, words, word_mask, image_of_expression)
        logits = self.decoder.finest(inputs, cast(Head, self.heads[str(self.stages[0])]))
        return self.answer(resize(logits, image_features.size_hw))

    def decode(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> list[Tensor]:
        """Logits (M, 1, H, W) of every stage P_i, the finest first."""
        decoded = self.decoder(self.read(image_features, words, word_mask, image_of_expression))
        return [resize(self.heads[str(stage)](decoded[stage]), image_features.size_hw) for stage in self.stages]

    def read(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> DecoderInputs:
        """Everything before the decoder; the words of every stage are the word encoder's."""
        word_mask = pad_mask(word_mask, words.shape[1])
        sentence = self.word_encoder.sentence(words, word_mask)
        new_words: list[Tensor] = []
        maps, sentences = {}, {int(stage): project(sentence) for stage, project in self.sentences.items()}
        for stage in self.stages:
            if stage in image_features.maps:
                x = of_expressions(image_features.maps[stage], image_of_expression)
            else:
                x = self._stage(stage, x)
            maps[stage] = x
            if str(stage) in self.tgmm:
                maps[stage], more, spoken = self.tgmm[str(stage)](x, words, sentence, word_mask)
                x = x + maps[stage]
                new_words += [] if more is None else [more]
                sentences |= {} if spoken is None else {stage: spoken}
        if self.multiply is not None:
            maps[stage] = x = x * self.multiply(sentence)[:, :, None, None]
        graph = None if self.cgip is None else self.cgip(x, words, new_words, word_mask)
        return DecoderInputs(maps, graph, sentences)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        """A stage's map of the one before; of the image for the first."""
        if stage == 1:
            return self.image_encoder.stem(x)
        return self.aspp(x) if stage == ASPP_STAGE else self.image_encoder.stages[stage - 2](x)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Means over the stages' outputs."""
        return self._losses(batch, self.config.loss)

    def box_only_loss(self, batch: Batch) -> dict[str, Tensor]:
        """That of the pretraining on boxes, whatever the network learns from afterwards."""
        return self._losses(batch, LossConfig(mask=0, box=1))

    def _losses(self, batch: Batch, weights: LossConfig) -> dict[str, Tensor]:
        words = self.encode_words(batch.tokens, batch.word_mask)
        outputs = self.decode(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        masks = batch.masks()
        parts: dict[str, tuple[float, Callable[[Tensor, Tensor], Tensor]]] = {
            "mask": (weights.mask, partial(weighted_cross_entropy, weights=weights.class_weights)),
            "box": (weights.box, box_loss),
        }
        losses = {
            name: weight * torch.stack([loss(logits, masks) for logits in outputs]).mean()
            for name, (weight, loss) in parts.items()
            if weight > 0
        }
        return {"loss": torch.stack(list(losses.values())).sum(), **{k: v.detach() for k, v in losses.items()}}

    def views(self) -> list[View]:
        """What each guided stage reads of the words, what the graph makes of pixels, where the decoder looks."""
        views = [
            View(f"words, stage {stage}", cast(TGMM, guide).importance, lambda a: a.mean(1), "words", "Eq. (2)")
            for stage, guide in self.tgmm.items()
            if hasattr(guide, "importance")
        ]
        graph = {} if self.cgip is None else {"CGI": self.cgip.interact, "IGR": self.cgip.igr}
        views += [View(name, step, strength, "map", "Fig. 6") for name, step in graph.items() if step is not None]
        looks = {stage: self.decoder.stage(stage).attend for stage in reversed(self.stages)}
        return views + [
            View(f"pixels, stage {stage}", look.spatial, lambda a: a[:, 0], "map", "Fig. 10")
            for stage, look in looks.items()
            if look is not None
        ]


class TGMM(nn.Module):
    """Text-guided multi-modality modulation: words that the pixels weigh, pixels that the words change."""

    def __init__(
        self, config: TGMMConfig, heads: int, channels: int, text: int, width: int, words: bool, sentence: bool
    ):
        super().__init__()
        inner = channels if config.keys == "stage" else width
        self.heads = heads
        self.scores = Scores(channels, text, inner, heads)
        self.value = nn.Linear(text, inner)
        self.importance = nn.Identity()
        self.visual_words = config.visual_words
        apart = config.visual_words == "original" and (words or sentence)
        self.new_value = nn.Linear(text, inner) if apart else None
        self.read = nn.Linear(inner, channels)
        self.modulate = Modulate(channels, config.activation)
        self.words = nn.Linear(inner, width) if words else None
        self.sentence = {"sum": Sum, "gated": Gated}[config.sentence](inner, text, width) if sentence else None

    def forward(
        self, x: Tensor, text: Tensor, sentence: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What is added to a map, new words (M, T, width), new sentence (M, width); the last two where they are read.

        Args:
            x: (M, C, h, w).
            text: (M, T, D) words, the sentence's position and padding included.
            sentence: (M, D).
            word_mask: (M, T).
        """
        known = word_mask[..., None]
        attention = self.scores(pixels_of(x), text, word_mask).softmax(-1)  # (M, heads, N, T)  Eq. (1)
        importance = self.importance(attention.mean(2))  # (M, heads, T)  Eq. (2)
        value = self.value(text) * known
        new = value if self.new_value is None else self.new_value(text) * known
        new = (new.unflatten(-1, (self.heads, -1)) * importance.mT[..., None]).flatten(-2)  # (M, T, V)  Eq. (3)
        language = self.read(read_words(attention, value if self.visual_words == "original" else new))
        return (
            self.modulate(x, instance_norm(language)),  # Eqs. (5), (6)
            None if self.words is None else self.words(new),
            None if self.sentence is None else self.sentence(new, sentence),
        )


class Scores(nn.Module):
    """How much each pixel looks for each word."""

    def __init__(self, channels: int, text: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, inner)
        self.key = nn.Linear(text, inner)

    def forward(self, pixels: Tensor, text: Tensor, word_mask: Tensor) -> Tensor:
        """(M, heads, N, T) float32 of pixels (M, N, C), words (M, T, D) and word_mask (M, T)."""
        query = instance_norm(self.query(pixels))
        query = query * query.shape[-1] ** -0.5  # of all channels, not of a head's
        key = self.key(text) * word_mask[..., None]
        query, key = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (query, key))
        hidden = 1e4 * (word_mask.float() - 1)
        return (query @ key.to(query.dtype).mT).float() + hidden[:, None, None]


class Sum(nn.Module):
    """Eq. (4): the sentence is the mean of the new words and the original sentence, each projected."""

    def __init__(self, channels: int, text: int, width: int):
        super().__init__()
        self.words = nn.Linear(channels, width)
        self.project = nn.Linear(text, width)

    def forward(self, words: Tensor, sentence: Tensor) -> Tensor:
        """(M, T, V) and (M, D) to (M, width); padding counts in the mean."""
        return self.words(words.mean(1)) + self.project(sentence)


class Gated(nn.Module):
    """The ResNet release's sentence: the mean of the new words enters through a gate that starts closed."""

    def __init__(self, channels: int, text: int, width: int):
        super().__init__()
        self.narrow = nn.Identity() if channels == width else nn.Linear(channels, width)
        self.gate = nn.Parameter(torch.zeros(1))
        self.words = nn.Linear(width, width)
        self.project = nn.Linear(text, width)

    def forward(self, words: Tensor, sentence: Tensor) -> Tensor:
        """As `Sum`."""
        original = self.project(sentence)
        return self.words(self.gate * self.narrow(words.mean(1)) + original) + original


class Modulate(nn.Module):
    """Eq. (6): the map times what its pixels read of the words, between two projections."""

    def __init__(self, channels: int, activation: str):
        super().__init__()
        self.visual = nn.Linear(channels, channels)
        self.mix = nn.Linear(channels, channels)
        self.activation = {"relu": nn.ReLU, "gelu": nn.GELU}[activation]()

    def forward(self, x: Tensor, language: Tensor) -> Tensor:
        """(M, C, h, w) and (M, N, C) to (M, C, h, w)."""
        return map_of(self.activation(self.mix(self.activation(self.visual(pixels_of(x))) * language)), x)


class CGIP(nn.Module):
    """Cross-modal graph interaction and propagation, on the coarsest stage."""

    def __init__(self, config: CGIPConfig | CrossAttentionConfig, channels: int, text: int, width: int):
        super().__init__()
        self.visual = conv_norm(channels, width, 3, bias=True)
        self.text: nn.Linear | None = nn.Linear(text, width)
        self.interact: nn.Module | None
        self.igr: nn.Module | None = None
        if isinstance(config, CrossAttentionConfig):
            from refseg.networks.cmirnet_rivals import CrossAttention

            self.interact = CrossAttention(width, config.heads)
        else:
            self.interact = CGI(config.cgi, width) if config.cgi else None
            self.igr = IGR(config.igr, width) if config.igr else None
        if self.interact is None:
            self.text = None

    def forward(self, x: Tensor, text: Tensor, new_words: list[Tensor], word_mask: Tensor) -> Tensor:
        """(M, width, h, w) of a map (M, C, h, w), words (M, T, D) and new ones (M, T, width); word_mask (M, T)."""
        visual = result = self.visual(x.contiguous())
        if self.interact is not None and self.text is not None:
            words = sum(new_words, F.relu(instance_norm(self.text(text))))  # Eq. (7)
            result = self.interact(visual, words, word_mask)
        return visual + (result if self.igr is None else self.igr(result))


class CGI(nn.Module):
    """Cross-graph interaction: each pixel with the words nearest to it, separately in each head.

    The heads' convolutions are one grouped convolution.
    """

    def __init__(self, config: CGIConfig, width: int):
        super().__init__()
        self.heads, self.neighbours, self.mask_padding = config.heads, config.neighbours, config.mask_padding_words
        kernel = config.kernel
        edge = nn.Conv2d(2 * width, width, kernel, padding=kernel // 2, groups=self.heads)
        self.edge = nn.Sequential(edge, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.head_weights = nn.Linear(width // self.heads, 3 * width // self.heads) if config.head_weights else None

    def forward(self, x: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """(M, C, h, w) of maps (M, C, h, w) and words (M, T, C)."""
        pixels, words = (each.unflatten(-1, (self.heads, -1)) for each in (pixels_of(x), words))
        mask = word_mask if self.mask_padding else torch.ones_like(word_mask)
        near = nearest_words(pixels, words, mask, self.neighbours)  # (M, N, K, heads)
        index = near.flatten(1, 2)[..., None].expand(-1, -1, -1, words.shape[-1])
        near_words = words.gather(1, index).unflatten(1, near.shape[1:3])  # (M, N, K, heads, c)
        pixel = pixels[:, :, None].expand_as(near_words)
        edges = torch.cat([pixel, near_words - pixel], -1).flatten(-2)  # Eq. (8)
        result = self.edge(edges.permute(0, 3, 1, 2)).amax(-1)  # (M, C, N)  Eq. (9)
        if self.head_weights is not None:
            result = result * self.weights(result.amax(-1))[..., None]
        return result.unflatten(-1, x.shape[-2:])

    def weights(self, z: Tensor) -> Tensor:
        """Eqs. (10) to (12): weights (M, C) of the channels, from what is largest (M, C) in each."""
        assert self.head_weights is not None
        key, query, value = self.head_weights(z.unflatten(-1, (self.heads, -1))).chunk(3, dim=-1)  # (M, heads, c)
        attention = (query @ key.mT).float().softmax(-2)  # over the queries
        return (attention.mT @ value.float()).flatten(1)


class IGR(nn.Module):
    """Intra-graph reasoning: self-attention among the pixels."""

    def __init__(self, config: IGRConfig, width: int):
        super().__init__()
        self.heads = config.heads
        self.conv = conv_norm(width, width, 3, bias=True)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, h, w) to the same."""
        qkv = self.qkv(pixels_of(self.conv(x))).unflatten(-1, (self.heads, 3, -1))
        query, key, value = (each.flatten(-2) for each in qkv.unbind(-2))
        return map_of(self.project(attend(query, key, value, self.heads)), x)  # Eq. (14)


class Decoder(nn.Module):
    """From the coarsest stage to the finest, Eq. (15)."""

    def __init__(self, channels: Mapping[int, int], width: int, config: CMIRNetConfig):
        super().__init__()
        self.stages = nn.ModuleDict()
        for stage, inputs in channels.items():
            projected = stage >= ATTENDED or config.fine_projections
            cmae = config.cmae if stage >= ATTENDED else None
            self.stages[str(stage)] = DecoderStage(inputs, width, projected, cmae, first=stage == ASPP_STAGE)

    def forward(self, inputs: DecoderInputs) -> dict[int, Tensor]:
        """Each stage's map (M, width, h, w)."""
        x, decoded = inputs.graph, {}
        for stage in reversed(inputs.maps):
            x = decoded[stage] = self.stage(stage)(x, inputs.maps[stage], inputs.sentences.get(stage))
        return decoded

    def finest(self, inputs: DecoderInputs, head: "Head") -> Tensor:
        """Logits (M, 1, h, w) that `head` gives of the finest stage's map; the inputs are given up on the way."""
        x = inputs.graph
        *coarser, finest = reversed(inputs.maps)
        for stage in coarser:
            x = self.stage(stage)(x, inputs.maps.pop(stage), inputs.sentences.get(stage))
        assert x is not None
        return self.stage(finest).logits(x, inputs.maps[finest], head)

    def stage(self, number: int) -> "DecoderStage":
        """The part for a stage."""
        return cast(DecoderStage, self.stages[str(number)])


class DecoderStage(nn.Module):
    """The stage's own map with the coarser stage's; then the sentence looks at both, if it does."""

    def __init__(self, channels: int, width: int, projected: bool, cmae: CMAEConfig | None, first: bool):
        super().__init__()
        self.first = first
        self.project = conv_norm(channels, width, 1, bias=True) if projected else nn.Identity()
        self.join = JoinScales(width + (width if projected else channels), width)
        self.attend = CMAE(width, cmae) if cmae else None
        self.refine = JoinScales(2 * width, width) if cmae else None

    def forward(self, before: Tensor | None, own: Tensor, sentence: Tensor | None) -> Tensor:
        """(M, width, h, w) of its own map (M, C, h, w) and a sentence (M, width).

        Args:
            before: (M, width, h', w') of the coarser stage; of the graph for the first stage, None without a graph.
            own: (M, C, h, w).
            sentence: (M, width), where the stage attends.
        """
        x = self.join(*self.pair(before, own))
        if self.attend is not None and self.refine is not None:
            x = self.refine(x, self.attend(x, sentence))
        return x

    def logits(self, before: Tensor, own: Tensor, head: "Head") -> Tensor:
        """Logits (M, 1, h, w) that a head gives of this stage's map; of a stage that does not attend.

        At inference on a CPU the map itself never exists as a whole.
        """
        before, own = self.pair(before, own)
        if not self.join.in_strips(own):
            return head(self.join(before, own))
        last = fast.convolution(*head.difference(), fast.precision(own))
        strips = (fast.convolved(each, last) for each in self.join.strips(before, own))
        return fast.whole(strips, own.float())

    def pair(self, before: Tensor | None, own: Tensor) -> tuple[Tensor, Tensor]:
        """What is joined."""
        own = self.project(own)
        if before is None:
            return own, own
        return (own, before) if self.first else (before, own)


class CMAE(nn.Module):
    """Cross-modal attention: pixels like the sentence (CM-SA), then channels of those pixels (CM-CA)."""

    def __init__(self, width: int, config: CMAEConfig):
        super().__init__()
        self.look = SpatialAttention(width)
        self.spatial = nn.Identity()
        self.channel = ChannelAttention(width) if config.channel else None

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """(M, width, h, w) of the same and a sentence (M, width)."""
        pixels = pixels_of(x)
        spatial = self.look(pixels, sentence)
        seen = self.spatial(map_of(spatial, x))  # (M, 1, h, w)
        gain = 1 if self.channel is None else 1 + self.channel(pixels, spatial)[..., None, None]
        return x + x * (seen * gain)  # Eqs. (19), (20)


class SpatialAttention(nn.Module):
    """CM-SA, Eq. (16): the cosine of each pixel and the sentence."""

    def __init__(self, width: int):
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width)

    def forward(self, pixels: Tensor, sentence: Tensor) -> Tensor:
        """(M, N, 1) float32 of pixels (M, N, C) and a sentence (M, C)."""
        key = instance_norm(self.key(pixels))
        query = F.normalize(self.query(sentence).to(key.dtype), dim=-1)
        with full_precision(key):
            return key @ query[..., None] / key.norm(dim=-1, keepdim=True).clamp(min=1e-12)


class ChannelAttention(nn.Module):
    """CM-CA, Eqs. (17) and (18): the channels of the pixels that the sentence looks at."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.squeeze = nn.Linear(width, max(width // 16, 1), bias=False)
        self.excite = nn.Linear(max(width // 16, 1), width, bias=False)

    def forward(self, pixels: Tensor, spatial: Tensor) -> Tensor:
        """(M, C) in [0, 1] of pixels (M, N, C) and their spatial attention (M, N, 1)."""
        value = instance_norm(self.value(pixels))
        with full_precision(value):
            pooled = (spatial.softmax(1).mT @ value)[:, 0]
        return self.excite(F.relu(self.squeeze(pooled))).sigmoid()


class Head(nn.Conv2d):
    """Background and referent; only the difference of their logits matters, so only that is computed."""

    def __init__(self, channels: int):
        super().__init__(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (M, 1, h, w), float32, referent minus background."""
        return F.conv2d(x, *self.difference(), padding=1).float()

    def difference(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        assert self.bias is not None
        return self.weight[1:] - self.weight[:1], self.bias[1:] - self.bias[:1]


def guidance(
    config: TGMMConfig | WPAConfig | SVLAConfig,
    stage: int,
    channels: int,
    text: int,
    width: int,
    words: bool,
    sentence: bool,
) -> nn.Module:
    """TGMM or a rival for a stage with so many channels; it gives new words and a new sentence if they are read."""
    from refseg.networks.cmirnet_rivals import SVLA, WPA

    match config:
        case SVLAConfig():
            return SVLA(config, channels, text, width, words, sentence)
        case WPAConfig():
            heads = config.aspp_heads if stage == ASPP_STAGE else config.heads
            return WPA(config, heads, channels, text, width, words, sentence)
        case TGMMConfig():
            heads = config.aspp_heads if stage == ASPP_STAGE else config.heads
            return TGMM(config, heads, channels, text, width, words, sentence)


def words_of_graph(config: CMIRNetConfig) -> Literal["new", "original", ""]:
    """Which words the graph reads."""
    match config.cgip:
        case CrossAttentionConfig(words=words) | CGIPConfig(cgi=CGIConfig(words=words)):
            return words
    return ""


def read_words(attention: Tensor, value: Tensor) -> Tensor:
    """What pixels read (M, N, V), of attention (M, heads, N, T) and words (M, T, V)."""
    value = value.unflatten(-1, (attention.shape[1], -1)).transpose(1, 2)
    return (attention.to(value.dtype) @ value).transpose(1, 2).flatten(2)


def nearest_words(pixels: Tensor, words: Tensor, word_mask: Tensor, count: int) -> Tensor:
    """The words nearest to each pixel (M, N, count, heads) int64, the nearest first.

    Nearest is by the angle between them. Of words equally near the first of the sentence wins, on every device and in
    every batch: angles are computed in float64 and compared in float32, so that equal words are equally near, and the
    sort is stable. Where there are fewer words than `count`, the farthest is repeated.

    Args:
        pixels: (M, N, heads, c).
        words: (M, T, heads, c).
        word_mask: (M, T), words that may be chosen.
        count: number of words.
    """
    with torch.no_grad(), full_precision(pixels):
        pixels, words = (F.normalize(each.double(), dim=-1).transpose(1, 2) for each in (pixels, words))
        cosine = (pixels @ words.mT).float().masked_fill(~word_mask[:, None, None], -torch.inf)  # (M, heads, N, T)
        order = cosine.sort(dim=-1, descending=True, stable=True).indices
        rank = torch.arange(count, device=order.device).minimum(word_mask.sum(1, keepdim=True) - 1)  # (M, count)
        index = rank.clamp(min=0)[:, None, None].expand(*order.shape[:3], -1)
        return order.gather(-1, index).permute(0, 2, 3, 1)


def box_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean of 1 - IoU of the boxes around logits (M, 1, H, W) and masks (M, H, W); 0 if all masks are empty."""
    known = masks.flatten(1).any(1)
    found, true = soft_box(logits[:, 0].float().sigmoid()), soft_box(masks.float())
    shared = (torch.minimum(found[:, 2:], true[:, 2:]) - torch.maximum(found[:, :2], true[:, :2])).clamp(min=0).prod(1)
    area_found, area_true = ((box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (found, true))
    union = area_found + area_true - shared
    count = mean_over_processes(known.sum().float()).clamp(min=1e-6)
    return torch.where(known, 1 - shared / union.clamp(min=1e-6), 0).sum() / count


def soft_box(mask: Tensor) -> Tensor:
    """The box (M, 4) x1, y1, x2, y2 in pixels around masks (M, H, W) of probabilities; exact where they are 0 or 1.

    A column is empty as surely as its surest pixel is. The expected number of empty columns before the first that is
    not, is where the box begins; the same from the right and in rows. A mask without pixels has x1 = W and x2 = 0.
    """
    columns, rows = 1 - mask.amax(1), 1 - mask.amax(2)  # (M, W), (M, H): how surely empty
    x1, y1 = (empty.cumprod(1).sum(1) for empty in (columns, rows))
    x2, y2 = (empty.shape[1] - empty.flip(1).cumprod(1).sum(1) for empty in (columns, rows))
    return torch.stack([x1, y1, x2, y2], dim=1)


def pixels_of(x: Tensor) -> Tensor:
    """A map (M, C, h, w) as pixels (M, N, C)."""
    return x.flatten(2).mT


def map_of(pixels: Tensor, like: Tensor) -> Tensor:
    """Pixels (M, N, C) as a map (M, C, h, w) of the size of another."""
    return pixels.mT.unflatten(-1, like.shape[-2:])


def of_expressions(x: Tensor, image_of_expression: Tensor) -> Tensor:
    """The map of each expression's image (M, C, h, w), from maps (B, C, h, w); nothing is copied for one image."""
    return x.expand(len(image_of_expression), -1, -1, -1) if len(x) == 1 else x[image_of_expression]


def resize(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Logits (M, 1, h, w) at the size of the image."""
    return F.interpolate(logits, size_hw, mode="bilinear", align_corners=False)


def strength(x: Tensor) -> Tensor:
    """Mean absolute value of the channels, (M, h, w) of maps (M, C, h, w)."""
    return x.abs().mean(1)


def resnet_release(image_encoder: str) -> CMIRNetConfig:
    """The authors' network with a ResNet."""
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
        loss=LossConfig(class_weights=SMALL_REFERENTS),
    ),
}


def tables() -> dict[str, dict[str, CMIRNetConfig]]:
    """The rows of the paper's tables, by table and in their order; from Table II on they are variants of Swin-B.

    The authors published no code of them. What they leave open is read so:
    - where there is no TGMM, the decoder reads the encoder's map itself, sentences are one projection of the word
      encoder's, and the graph reads the projected text alone;
    - without TGMM, CGIP and CMAE the ASPP's map is multiplied by the projected sentence;
    - without CGIP the decoder's first block reads the ASPP's map twice, so that its parameters remain;
    - without CMSA and CMCA the blocks behind them go too, and without VLG and LVG all of TGMM: the numbers are those of
      rows 6 and 5 of Table III;
    - the Swin network has no stage 1: guided from there, it gets one from the patch embedding.
    """
    full = CMIRNetConfig()
    tgmm, cgip, cmae = TGMMConfig(), CGIPConfig(), CMAEConfig()
    cgi, igr = CGIConfig(), IGRConfig()
    return {
        "I": {name: config for name, config in PRESETS.items() if name != "cmirnet_small"},
        "II": {
            "masks": full,
            "masks and boxes": full.replace(loss=LossConfig(box=1)),
            "pretraining on boxes": full.replace(loss=LossConfig(mask=0, box=1)),
        },
        "III": {
            f"{row}: {', '.join(parts) or 'baseline'}": full.replace(
                tgmm=tgmm if "TGMM" in parts else None,
                cgip=cgip if "CGIP" in parts else None,
                cmae=cmae if "CMAE" in parts else None,
            )
            for row, parts in enumerate(
                [(), ("TGMM",), ("CGIP",), ("CMAE",), ("CGIP", "CMAE"), ("TGMM", "CGIP"), ("TGMM", "CMAE")]
                + [("TGMM", "CGIP", "CMAE")],
                start=1,
            )
        },
        "V (a)": {
            "re f_ew^new with ori f_ew": full.replace(tgmm=tgmm.replace(visual_words="original")),
            "wo VLG&LVG": full.replace(tgmm=None),
        },
        "V (b)": {
            "re f_ew^fu with ori f_ew": full.replace(cgip=cgip.replace(cgi=cgi.replace(words="original"))),
            "wo CGI": full.replace(cgip=cgip.replace(cgi=None)),
            "wo IGR": full.replace(cgip=cgip.replace(igr=None)),
            "w Cross-Attention": full.replace(cgip=CrossAttentionConfig()),
            "wo multi-head weights": full.replace(cgip=cgip.replace(cgi=cgi.replace(head_weights=False))),
        },
        "V (c)": {
            "re f_el^new with ori f_el": full.replace(cmae=cmae.replace(sentence="original")),
            "wo CMCA": full.replace(cmae=cmae.replace(channel=False)),
            "wo CMSA&CMCA": full.replace(cmae=None),
        },
        "VI": {
            f"TGMM-{first}~6" if first < ASPP_STAGE else "TGMM-6": full.replace(
                stem=first == 1, tgmm=tgmm.replace(first_stage=first)
            )
            for first in range(1, ASPP_STAGE + 1)
        },
        "VII": {
            f"{heads} heads": full.replace(
                cgip=cgip.replace(cgi=cgi.replace(heads=heads), igr=igr.replace(heads=heads))
            )
            for heads in (2, 4, 8, 16)
        },
        "VIII": {
            "WPA": full.replace(tgmm=WPAConfig()),
            "SVLA": full.replace(tgmm=SVLAConfig()),
            "TGMM": full,
        },
    }


def components(network: CMIRNet) -> dict[str, list[nn.Module]]:
    """The modules behind each row of the paper's table of costs (Table IX), which leaves the word encoder out."""
    stages = [network.decoder.stage(number) for number in network.stages]
    return {
        "TGMM": [network.tgmm],
        "CGIP": [network.cgip] if network.cgip else [],
        "CMAE": [part for stage in stages for part in (stage.attend, stage.refine) if part is not None],
        "baseline": [
            network.image_encoder,
            network.aspp,
            *[part for stage in stages for part in (stage.project, stage.join)],
            network.heads,
            network.sentences,
            *([network.multiply] if network.multiply else []),
        ],
    }
