"""CMIRNet: words and pixels refine each other at every stage, interact on a graph, and are decoded together.

Paper      M. Xu et al. "CMIRNet: Cross-Modal Interactive Reasoning Network for Referring Image Segmentation".
           IEEE TCSVT 2024. https://doi.org/10.1109/TCSVT.2024.3508752
Read with  The overview figure, left to right: `CMIRNet` (image encoder with `guidance.TGMM`), `blocks.aspp`,
           `graph.CGIP` (`CGI`, `IGR`), `decoder.Decoder` with `CMAE` (`SpatialAttention`, `ChannelAttention`), `Head`;
           then losses here, presets in `config`, tables in `studies.cmirnet`.
Stages     The paper's numbers: 1 is the encoder's stem (ResNet only), 2 to 5 are its stages, 6 is the ASPP.
Departs    The authors' weights depend on where their release departs from the paper. Here is the release, two networks
           with ResNet and Swin, which fields of `CMIRNetConfig` tell apart. Eqs. (1) to (20) are compared in the
           headers of `guidance`, `graph` and `decoder`. The loss is a cross-entropy of two classes, weighted 0.9 and
           1.1, over five outputs with Swin; the paper: binary, over six.
Idle       Biases before an instance norm have no effect; they are here because the releases have them.
Shapes     B images, M expressions, T words, N = h * w pixels. Images may have any size that leaves more than one
           pixel at the coarsest stage; the authors' networks take multiples of 32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aspp import ASPP
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View, strength
from refseg.distributed import mean_over_processes
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.errors import InvalidInput
from refseg.losses import weighted_cross_entropy
from refseg.networks.cmirnet.alternatives import SVLA, WPA
from refseg.networks.cmirnet.config import (
    ASPP_STAGE,
    ATTENDED,
    PRESETS,
    CMIRNetConfig,
    LossConfig,
    SVLAConfig,
    TGMMConfig,
    WPAConfig,
)
from refseg.networks.cmirnet.decoder import Decoder, DecoderInputs, Head
from refseg.networks.cmirnet.graph import CGIP, words_of_graph
from refseg.networks.cmirnet.guidance import TGMM, expand_to_expressions
from refseg.networks.network import Network, Output, pad_mask, pad_words


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        maps: (B, C, h, w) by stage, from the finest to the first guided one.
        size_hw: height and width of the images.
    """

    maps: dict[int, Tensor]
    size_hw: tuple[int, int]


class CMIRNet(Network):
    """CMIRNet; `fuse` predicts from the finest stage, `decode` from every stage, as training does."""

    idea = "Words and pixels change each other at every stage, a graph of both is reasoned on, and a mask is decoded"
    presets = PRESETS
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
        """Computes the maps of images (B, 3, H, W) up to the first guided stage."""
        first_guided = int(next(iter(self.tgmm), ASPP_STAGE))
        x, maps = image, {}
        for stage in range(1, first_guided + 1):
            x = maps[stage] = self._stage(stage, x)
        height, width = image.shape[-2:]
        return ImageFeatures({stage: maps[stage] for stage in self.stages if stage in maps}, (height, width))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, max_words, D)."""
        return self.word_encoder(*pad_words(tokens, word_mask, self.config.max_words))

    def fuse(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        """Predicts masks (M, 1, H, W) from the finest stage, for any number of words (M, T, D)."""
        inputs = self.compute_decoder_inputs(image_features, words, word_mask, image_of_expression)
        logits = self.decoder.finest(inputs, cast(Head, self.heads[str(self.stages[0])]))
        return self.answer(resize_map(logits, image_features.size_hw))

    def decode(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> list[Tensor]:
        """Computes logits (M, 1, H, W) of every stage P_i, finest first."""
        decoded = self.decoder(self.compute_decoder_inputs(image_features, words, word_mask, image_of_expression))
        return [resize_map(self.heads[str(stage)](decoded[stage]), image_features.size_hw) for stage in self.stages]

    def compute_decoder_inputs(
        self, image_features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> DecoderInputs:
        """Computes the decoder's inputs; every stage reads the word encoder's words."""
        word_mask = pad_mask(word_mask, words.shape[1])
        sentence = self.word_encoder.sentence(words, word_mask)
        new_words: list[Tensor] = []
        maps, sentences = {}, {int(stage): project(sentence) for stage, project in self.sentences.items()}
        for stage in self.stages:
            if stage in image_features.maps:
                x = expand_to_expressions(image_features.maps[stage], image_of_expression)
            else:
                x = self._stage(stage, x)
            maps[stage] = x
            if str(stage) in self.tgmm:
                maps[stage], more, new_sentence = self.tgmm[str(stage)](x, words, sentence, word_mask)
                x = x + maps[stage]
                new_words += [] if more is None else [more]
                sentences |= {} if new_sentence is None else {stage: new_sentence}
        if self.multiply is not None:
            maps[stage] = x = x * self.multiply(sentence)[:, :, None, None]
        graph = None if self.cgip is None else self.cgip(x, words, new_words, word_mask)
        return DecoderInputs(maps, graph, sentences)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        """Computes a stage's map from the one before, the first from the image."""
        if stage == 1:
            return self.image_encoder.stem(x)
        return self.aspp(x) if stage == ASPP_STAGE else self.image_encoder.stages[stage - 2](x)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes mask and box loss, averaged over the stages' outputs."""
        return self._losses(batch, self.config.loss)

    def box_only_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the loss of pretraining on boxes, independent of the config's."""
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
        """Returns word importance, the decoder's spatial attention, and how strong features are from stage to stage."""
        views, encoders = [], [*self.image_encoder.stages, self.aspp]  # of stages 2 to 6; the stem is no module
        for name, guide in self.tgmm.items():
            stage = int(name)
            if stage > 1:
                encoder = encoders[stage - 2]
                views.append(View(f"image, stage {stage}", encoder, strength, "map", f"f_v^{stage}, Fig. 10"))
            if isinstance(guide, TGMM):
                views.append(
                    View(
                        f"words, stage {stage}",
                        guide.importance,
                        lambda a: a.mean(1),
                        "words",
                        "Eq. (2)",
                        meaning="importance of each word: attention of pixels to it, averaged over them and over heads",
                    )
                )
            source = f"f_v,e^{stage}, Fig. 10"
            views.append(View(f"image and words, stage {stage}", guide, lambda out: strength(out[0]), "map", source))
        graph = {} if self.cgip is None else {"CGI": self.cgip.interact, "IGR": self.cgip.igr}
        views += [View(name, step, strength, "map", "Fig. 10") for name, step in graph.items() if step is not None]
        for stage in reversed(self.stages):
            part = self.decoder.stage(stage)
            if part.attend is not None:
                source = f"f^dc,{stage}, Fig. 10"
                views.append(View(f"decoder, stage {stage}", part.join, strength, "map", source))
                views.append(View(f"pixels, stage {stage}", part.attend.spatial, lambda a: a[:, 0], "map", "Fig. 6"))
                source = f"f^cmae,{stage}, Fig. 10"
                views.append(View(f"attended, stage {stage}", part.attend, strength, "map", source))
        return views

    def components(self) -> dict[str, list[nn.Module]]:
        """Returns the modules behind each row of the paper's costs (Table IX), which leave out the word encoder."""
        stages = [self.decoder.stage(number) for number in self.stages]
        return {
            "TGMM": [self.tgmm],
            "CGIP": [self.cgip] if self.cgip else [],
            "CMAE": [part for stage in stages for part in (stage.attend, stage.refine) if part is not None],
            "baseline": [
                self.image_encoder,
                self.aspp,
                *[part for stage in stages for part in (stage.project, stage.join)],
                self.heads,
                self.sentences,
                *([self.multiply] if self.multiply else []),
            ],
        }


def guidance(
    config: TGMMConfig | WPAConfig | SVLAConfig,
    stage: int,
    channels: int,
    text: int,
    width: int,
    words: bool,
    sentence: bool,
) -> nn.Module:
    """Builds TGMM or an alternative for a stage; `words` and `sentence` tell which of its outputs are used."""
    match config:
        case SVLAConfig():
            return SVLA(config, channels, text, width, words, sentence)
        case WPAConfig():
            heads = config.aspp_heads if stage == ASPP_STAGE else config.heads
            return WPA(config, heads, channels, text, width, words, sentence)
        case TGMMConfig():
            heads = config.aspp_heads if stage == ASPP_STAGE else config.heads
            return TGMM(config, heads, channels, text, width, words, sentence)


def box_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Averages 1 - IoU of the boxes around logits (M, 1, H, W) and masks (M, H, W); 0 if all masks are empty."""
    known = masks.flatten(1).any(1)
    found, true = soft_box(logits[:, 0].float().sigmoid()), soft_box(masks.float())
    shared = (torch.minimum(found[:, 2:], true[:, 2:]) - torch.maximum(found[:, :2], true[:, :2])).clamp(min=0).prod(1)
    area_found, area_true = ((box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (found, true))
    union = area_found + area_true - shared
    count = mean_over_processes(known.sum().float()).clamp(min=1e-6)
    return torch.where(known, 1 - shared / union.clamp(min=1e-6), 0).sum() / count


def soft_box(mask: Tensor) -> Tensor:
    """Computes boxes (M, 4) x1, y1, x2, y2 in pixels around masks (M, H, W) of probabilities; exact for 0 and 1.

    A column is empty with the probability that its most probable pixel is. The box begins at the expected number of
    empty columns before the first other one; likewise from the right and in rows. An empty mask has x1 = W, x2 = 0.
    """
    columns, rows = 1 - mask.amax(1), 1 - mask.amax(2)  # (M, W), (M, H): probability of being empty
    x1, y1 = (empty.cumprod(1).sum(1) for empty in (columns, rows))
    x2, y2 = (empty.shape[1] - empty.flip(1).cumprod(1).sum(1) for empty in (columns, rows))
    return torch.stack([x1, y1, x2, y2], dim=1)
