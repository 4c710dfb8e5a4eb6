"""Sam3: SAM 3 as a network.

Authors    N. Carion et al. "SAM 3: Segment Anything with Concepts". https://huggingface.co/facebook/sam3
Read with  `encode_image` (its image encoder), `fuse` (words, detector, masks; the score of an object is its own
           probability times that of the phrase being in the image).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.adapter import Adapter
from refseg.adapters.entries.sam3 import ENTRY, Sam3Config
from refseg.adapters.image_processing import process_images
from refseg.adapters.local_model import LocalModel
from refseg.networks.network import Output

TYPES = ("sam3_video",)  # in config.json of its authors' folder, which is of both


class Sam3(Adapter):
    """SAM 3: all objects that a noun phrase fits."""

    entry = ENTRY
    idea = "A detector that a noun phrase conditions, with a mask for each object, on features of a large image encoder"
    expressions_at_once = 4
    config: Sam3Config

    def __init__(self, config: Sam3Config, models: Mapping[str, LocalModel]):
        from transformers import Sam3Model, Sam3Processor

        super().__init__(config, models)
        self.processor = models["model"].load_processor(Sam3Processor)
        self.model = models["model"].load(Sam3Model, types=TYPES)

    @override
    def count_pieces(self, expression: str) -> int:
        return len(self.processor.tokenizer(expression)["input_ids"])

    @override
    def encode_image(self, image: Tensor) -> Any:
        """Returns the features of its image encoder, with B images each."""
        return encode_images(self.model, self.processor, image)

    @override
    def fuse(self, image_features: Any, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        expressions = self.expressions(words, word_mask)
        scores, masks = detect(self.model, self.processor, image_features, expressions, image_of_expression)
        best = scores.argmax(1, keepdim=True)
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
        if self.config.answer == "all":
            kept |= scores > self.config.threshold
        exists = self.certainty(scores.amax(1), self.config.threshold)
        return self.join([mask[some] for mask, some in zip(masks, kept, strict=True)], exists)


def encode_images(model: Any, processor: Any, image: Tensor) -> Any:
    """Returns the features of SAM 3's image encoder of images (B, 3, H, W) of 0 to 255."""
    return model.get_vision_features(process_images(processor, image)["pixel_values"].to(model.device))


def detect(
    model: Any, processor: Any, features: Any, expressions: Sequence[str], image_of_expression: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the scores (M, Q) and mask logits (M, Q, h, w) of SAM 3's objects for M expressions.

    Args:
        model: SAM 3.
        processor: its processor.
        features: of B images, from `encode_images`.
        expressions: M noun phrases.
        image_of_expression: (M,) int64, of the B images.
    """
    levels, places = (
        tuple(level[image_of_expression] for level in features[name])
        for name in ("fpn_hidden_states", "fpn_position_encoding")
    )
    text = processor.tokenizer(
        list(expressions), padding="max_length", truncation=True, max_length=ENTRY.most_pieces, return_tensors="pt"
    ).to(model.device)
    out = model(
        vision_embeds=type(features)(fpn_hidden_states=levels, fpn_position_encoding=places),
        input_ids=text["input_ids"],
        attention_mask=text["attention_mask"],
    )
    return (out.pred_logits.sigmoid() * out.presence_logits.sigmoid()).float(), out.pred_masks
