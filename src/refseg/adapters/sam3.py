"""Sam3: SAM 3 as a network.

Authors    N. Carion et al. "SAM 3: Segment Anything with Concepts". https://huggingface.co/facebook/sam3
Read with  `encode_image` (its image encoder), `fuse` (words, detector, masks; the score of an object is its own
           probability times that of the phrase being in the image).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.adapter import Adapter
from refseg.adapters.entries.sam3 import ENTRY, Sam3Config
from refseg.adapters.hub import LocalModel
from refseg.networks.network import Output


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
        self.model = models["model"].load(Sam3Model, types=("sam3_video",))  # its authors' folder is of both

    @override
    def count_pieces(self, expression: str) -> int:
        return len(self.processor.tokenizer(expression)["input_ids"])

    @override
    def encode_image(self, image: Tensor) -> Any:
        """Returns the features of its image encoder, with B images each."""
        pixels = self.processor.image_processor(
            self.images(image), input_data_format="channels_first", return_tensors="pt"
        )["pixel_values"]
        return self.model.get_vision_features(pixels.to(image.device))

    @override
    def fuse(self, image_features: Any, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        levels, places = (
            tuple(level[image_of_expression] for level in image_features[name])
            for name in ("fpn_hidden_states", "fpn_position_encoding")
        )
        seen = type(image_features)(fpn_hidden_states=levels, fpn_position_encoding=places)
        text = self.processor.tokenizer(
            self.expressions(words, word_mask),
            padding="max_length",
            truncation=True,
            max_length=self.entry.most_pieces,
            return_tensors="pt",
        ).to(words.device)
        out = self.model(vision_embeds=seen, input_ids=text["input_ids"], attention_mask=text["attention_mask"])
        scores = (out.pred_logits.sigmoid() * out.presence_logits.sigmoid()).float()  # (M, Q)
        best = scores.argmax(1, keepdim=True)
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
        if self.config.answer == "all":
            kept |= scores > self.config.threshold
        masks = out.pred_masks  # (M, Q, h, w)
        return self.join([mask[some] for mask, some in zip(masks, kept, strict=True)], self.certainty(scores.amax(1)))
