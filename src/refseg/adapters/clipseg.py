"""ClipSeg: CLIPSeg as a network.

Paper      T. Lüddecke, A. Ecker. "Image Segmentation Using Text and Image Prompts". CVPR 2022.
           https://arxiv.org/abs/2112.10003
Read with  `encode_image` (CLIP's image encoder, three of its layers), `encode_words` (CLIP's sentence vector, which
           modulates the decoder), `fuse` (the decoder).
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from refseg.adapters.adapter import OUTSIDE_LOGIT, Adapter
from refseg.adapters.entries.clipseg import ENTRY, ClipSegConfig
from refseg.adapters.image_processing import process_images
from refseg.adapters.local_model import LocalModel
from refseg.networks.network import Output


class ClipSeg(Adapter):
    """CLIPSeg: the logit of each pixel to show what a phrase names."""

    entry = ENTRY
    idea = "A small decoder on CLIP's image features, modulated by CLIP's vector of the phrase"
    expressions_at_once = 32
    config: ClipSegConfig

    def __init__(self, config: ClipSegConfig, models: Mapping[str, LocalModel]):
        from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

        super().__init__(config, models)
        self.processor = models["model"].load_processor(CLIPSegProcessor)
        self.model = models["model"].load(CLIPSegForImageSegmentation)
        self.threshold = config.threshold

    @override
    def count_pieces(self, expression: str) -> int:
        return len(self.processor.tokenizer(expression)["input_ids"])

    @override
    def encode_image(self, image: Tensor) -> tuple[Tensor, ...]:
        """Returns the features (B, N, D) of the layers that the decoder reads."""
        pixels = process_images(self.processor, image)["pixel_values"]
        seen = self.model.clip.vision_model(
            pixels.to(image.device), output_hidden_states=True, interpolate_pos_encoding=True
        )
        return tuple(seen.hidden_states[layer + 1] for layer in self.model.extract_layers)

    @override
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the vectors (M, D) of the expressions."""
        expressions = self.expressions(tokens, word_mask)
        # the tokenizer of a checkpoint may state no limit; all texts are padded to it, so that none changes another's
        limit = self.model.config.text_config.max_position_embeddings
        words = self.processor.tokenizer(
            expressions, padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        ).to(tokens.device)
        vectors: Tensor = self.model.get_conditional_embeddings(
            len(expressions), words["input_ids"], words["attention_mask"]
        )
        return vectors

    @override
    def fuse(
        self, image_features: tuple[Tensor, ...], words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        seen = [features[image_of_expression] for features in image_features]
        logits: Tensor = self.model.decoder(seen, words).logits  # (M, h, w)
        if self.config.answer == "best":
            logits = surest_part(logits, math.log(self.threshold / (1 - self.threshold)))
        return self.answer(logits[:, None].float())


def surest_part(logits: Tensor, threshold_logit: float) -> Tensor:
    """Lowers the logits (M, h, w) outside of the connected part that holds the largest one of each map."""
    inside = logits > threshold_logit
    part = logits == logits.amax((1, 2), keepdim=True)
    while True:
        grown = part
        for _ in range(16):  # the part grows by a pixel to all sides, as far as the mask goes
            grown = F.max_pool2d(grown[:, None].float(), kernel_size=3, stride=1, padding=1)[:, 0].bool() & inside
        if not grown.any() or bool((grown == part).all()):
            return torch.where(part | ~inside, logits, OUTSIDE_LOGIT)
        part = grown
