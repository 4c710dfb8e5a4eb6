"""Qwen3VLBoxes: the boxes of a sentence, as a language model that sees images says them."""

import json
import re
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.boxes import MOST_BOXES, BoxDetector, Boxes, kept_boxes
from refseg.adapters.image_processing import to_uint8
from refseg.adapters.local_model import LocalModel

GRID = 1000  # its places in an image, whatever its size
LONGEST_ANSWER = 100_000  # characters that are looked at
PROMPT = (
    "Locate every object in the image that this expression refers to, and no other: {}\n"
    'Answer with JSON alone, [{{"bbox_2d": [x1, y1, x2, y2]}}], with one entry for each object. '
    "If nothing in the image fits the expression, answer: none"
)
_ENTRY = re.compile(r"\{[^{}]{1,500}\}")


class Qwen3VLBoxes(BoxDetector):
    """Qwen3-VL as a detector; each expression is answered by itself, and what is named has the score 1.

    Args:
        local: its folder.
        max_pieces: longest answer.
        precision: "bfloat16" or "float32".
    """

    def __init__(self, local: LocalModel, max_pieces: int, precision: str):
        from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

        super().__init__()
        self.processor = local.load_processor(Qwen3VLProcessor)
        self.model = local.load(Qwen3VLForConditionalGeneration, dtype=getattr(torch, precision))
        self.max_pieces = max_pieces

    @property
    @override
    def most_pieces(self) -> None:
        return None

    @override
    def count_pieces(self, phrase: str) -> int:
        return len(self.processor.tokenizer(phrase)["input_ids"])

    @override
    def encode_image(self, image: Tensor) -> Tensor:
        """Returns the images (B, 3, H, W) uint8."""
        return to_uint8(image)

    @override
    def detect(self, seen: Tensor, phrases: Sequence[str], image_of_phrase: Sequence[int]) -> list[Boxes]:
        found = []
        for phrase, image in zip(phrases, image_of_phrase, strict=True):
            corners = torch.tensor(read_boxes(self.answer(phrase, seen[image])), device=seen.device).reshape(-1, 4)
            found.append(kept_boxes(corners / GRID, torch.ones(len(corners), device=seen.device)))
        return found

    def answer(self, phrase: str, image: Tensor) -> str:
        """Returns what the model says about a phrase and an image (3, H, W) uint8."""
        content = [{"type": "image"}, {"type": "text", "text": PROMPT.format(" ".join(phrase.split()))}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(text=[text], images=[image], return_tensors="pt").to(self.model.device)
        ids = self.model.generate(**inputs, max_new_tokens=self.max_pieces, do_sample=False)
        written = ids[:, inputs["input_ids"].shape[1] :]
        answer: str = self.processor.batch_decode(written, skip_special_tokens=True)[0]
        return answer


def read_boxes(answer: str) -> list[list[float]]:
    r"""Reads the boxes in an answer, left, top, right, bottom in thousandths; whatever is no such box is passed over.

    >>> read_boxes('```json\n[{"bbox_2d": [10, 20, 300, 400], "label": "dog"}, {"bbox_2d": [1, 2')
    [[10.0, 20.0, 300.0, 400.0]]
    >>> read_boxes("none"), read_boxes('[{"bbox_2d": [10, 20, 3000, 400]}]'), read_boxes('{"bbox_2d": [9, 9, 1, 1]}')
    ([], [], [])
    """
    found = []
    for entry in _ENTRY.findall(answer[:LONGEST_ANSWER])[:MOST_BOXES]:
        try:
            values = json.loads(entry, parse_constant=lambda name: None).get("bbox_2d")
        except (ValueError, RecursionError, AttributeError):
            continue
        if not isinstance(values, list) or len(values) != 4:
            continue
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            continue
        left, top, right, bottom = map(float, values)
        if 0 <= left < right <= GRID and 0 <= top < bottom <= GRID:
            found.append([left, top, right, bottom])
    return found
