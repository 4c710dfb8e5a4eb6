"""Florence2: Florence-2 as a network.

Paper      B. Xiao et al. "Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks". CVPR 2024.
           https://arxiv.org/abs/2311.06242
Read with  `encode_image` (its image encoder), `Florence2Text.write` (the text that answers a task about an image),
           `fuse` (the outlines in it, filled).
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from typing_extensions import override

from refseg.adapters.adapter import Adapter
from refseg.adapters.entries.florence2 import ENTRY, Florence2Config
from refseg.adapters.image_processing import process_images
from refseg.adapters.local_model import LocalModel
from refseg.networks.network import Output

TASK = "<REFERRING_EXPRESSION_SEGMENTATION>"
PROMPT = "Locate {} in the image with mask"  # of this task, as its processor says
INSIDE_LOGIT = 4.0  # of masks inside of an outline; its negative outside
MOST_PIXELS = 2**20  # of mask logits; of a larger image they are coarser


@dataclass
class Florence2Features:
    """Features (B, N, D) of images of one size."""

    features: Tensor
    size_hw: tuple[int, int]


class Florence2Text(nn.Module):
    """Florence-2's image encoder and the text that it writes about an image.

    Args:
        local: its folder.
        beams: hypotheses of the beam search.
        max_pieces: longest text.
    """

    def __init__(self, local: LocalModel, beams: int, max_pieces: int):
        from transformers import Florence2ForConditionalGeneration, Florence2Processor

        super().__init__()
        self.processor = local.load_processor(Florence2Processor)
        self.model = local.load(Florence2ForConditionalGeneration)
        self.beams, self.max_pieces = beams, max_pieces
        positions: int = self.model.config.text_config.max_position_embeddings
        self.most_words = positions - self.processor.num_image_tokens  # pieces of a prompt

    def count_pieces(self, prompt: str) -> int:
        """Returns the number of pieces of a prompt."""
        tokenizer = self.processor.tokenizer
        return len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) + 2  # with begin and end

    def encode_image(self, image: Tensor) -> Tensor:
        """Returns the features (B, N, D) of images (B, 3, H, W) of 0 to 255."""
        pixels = process_images(self.processor, image)["pixel_values"].to(image.device)
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    def write(self, prompts: Sequence[str], features: Tensor) -> tuple[list[str], Tensor]:
        """Writes an answer for each prompt.

        Args:
            prompts: M tasks in words.
            features: (M, N, D) of their images.

        Returns:
            the M texts with their special pieces, and the mean probability of the pieces of each, (M,).
        """
        tokenizer = self.processor.tokenizer
        texts = [f"{tokenizer.bos_token}{prompt}{tokenizer.eos_token}" for prompt in prompts]
        words = tokenizer(
            texts,
            add_special_tokens=False,
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self.most_words,
            return_tensors="pt",
        ).to(features.device)
        embedded = self.model.get_input_embeddings()(words["input_ids"])
        inputs = torch.cat([features.to(embedded.dtype), embedded], dim=1)
        image_mask = words["attention_mask"].new_ones(features.shape[:2])
        mask = torch.cat([image_mask, words["attention_mask"]], dim=1)
        read = self.model.get_encoder()(inputs_embeds=inputs, attention_mask=mask)
        limit = min(self.max_pieces, self.model.config.text_config.max_position_embeddings - 1)
        ids = self.model.generate(
            encoder_outputs=copy(read), attention_mask=mask, max_new_tokens=limit, num_beams=self.beams, do_sample=False
        )
        # the probabilities of what was written, whose storing while it is searched would take a gigabyte
        logits = self.model(encoder_outputs=read, attention_mask=mask, decoder_input_ids=ids[:, :-1]).logits
        likely = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].exp()
        ended = (ids[:, 1:] == tokenizer.eos_token_id).cumsum(1) - (ids[:, 1:] == tokenizer.eos_token_id).long()
        written = (ended == 0).to(likely.dtype)
        return tokenizer.batch_decode(ids, skip_special_tokens=False), (likely * written).sum(1) / written.sum(1)


class Florence2(Adapter):
    """Florence-2: the outline of what an expression names, written as text."""

    entry = ENTRY
    idea = "A sequence-to-sequence model of many tasks, which writes the corners of an outline as words"
    config: Florence2Config

    def __init__(self, config: Florence2Config, models: Mapping[str, LocalModel]):
        super().__init__(config, models)
        self.text = Florence2Text(models["model"], config.beams, config.max_pieces)
        self.expressions_at_once = config.batch

    @property
    @override
    def most_pieces(self) -> int:
        return self.text.most_words

    @override
    def count_pieces(self, expression: str) -> int:
        return self.text.count_pieces(PROMPT.format(expression))

    @override
    def encode_image(self, image: Tensor) -> Florence2Features:
        size_hw = (image.shape[-2], image.shape[-1])
        return Florence2Features(self.text.encode_image(image), size_hw)

    @override
    def fuse(
        self, image_features: Florence2Features, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        height, width = image_features.size_hw
        coarser = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
        size_hw = max(1, round(height * coarser)), max(1, round(width * coarser))
        objects, scores = [], []
        expressions = self.expressions(words, word_mask)
        for start in range(0, len(expressions), self.config.batch):
            some = slice(start, start + self.config.batch)
            prompts = [PROMPT.format(expression) for expression in expressions[some]]
            texts, likely = self.text.write(prompts, image_features.features[image_of_expression[some]])
            for text, score in zip(texts, likely.tolist(), strict=True):
                masks = fill_outlines(self._outlines(text, size_hw), size_hw)
                if self.config.answer == "best":
                    masks = masks[:1]
                objects.append(torch.from_numpy(np.where(masks, INSIDE_LOGIT, -INSIDE_LOGIT)).float().to(words.device))
                scores.append(score if len(masks) else 0.0)
        return self.join(objects, self.certainty(torch.tensor(scores, device=words.device), self.config.threshold))

    def _outlines(self, text: str, size_hw: tuple[int, int]) -> list[list[list[float]]]:
        """Returns the objects in a text, each a list of outlines [x, y, x, y, ...] in pixels."""
        size_wh = size_hw[1], size_hw[0]
        answer = self.text.processor.post_process_generation(text=text, task=TASK, image_size=size_wh)
        found: list[list[list[float]]] = answer[TASK]["polygons"]
        return found


def fill_outlines(objects: Sequence[Sequence[Sequence[float]]], size_hw: tuple[int, int]) -> np.ndarray:
    """Returns the masks (N, H, W) of objects that are lists of outlines [x, y, x, y, ...]; without area, no mask."""
    masks = []
    for outlines in objects:
        mask = Image.new("1", (size_hw[1], size_hw[0]))
        for outline in outlines:
            if len(outline) >= 6:
                ImageDraw.Draw(mask).polygon([float(value) for value in outline], fill=1)
        if mask.getbbox():
            masks.append(np.asarray(mask))
    return np.array(masks, bool).reshape(-1, *size_hw)
