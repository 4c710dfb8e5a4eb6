"""Florence2Boxes: the boxes of an expression, as Florence-2 writes them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.boxes import BoxDetector, Boxes, kept_boxes
from refseg.adapters.florence2 import Florence2Text
from refseg.adapters.local_model import LocalModel

TASK = "<OPEN_VOCABULARY_DETECTION>"
PROMPT = "Locate {} in the image."  # of this task, as its processor says
GRID = 1000  # its processor's places in an image: one for each thousandth of a side


class Florence2Boxes(BoxDetector):
    """Florence-2 as a detector; all boxes of an expression have one score, the mean probability of what it wrote.

    Args:
        local: its folder.
        beams: hypotheses of the beam search.
        max_pieces: longest answer.
        batch: expressions that are answered at once.
    """

    def __init__(self, local: LocalModel, beams: int, max_pieces: int, batch: int):
        super().__init__()
        self.text = Florence2Text(local, beams, max_pieces)
        self.batch = batch

    @property
    @override
    def most_pieces(self) -> int:
        return self.text.most_words

    @override
    def count_pieces(self, phrase: str) -> int:
        return self.text.count_pieces(PROMPT.format(phrase))

    @override
    def encode_image(self, image: Tensor) -> Tensor:
        return self.text.encode_image(image)

    @override
    def detect(self, seen: Tensor, phrases: Sequence[str], image_of_phrase: Sequence[int]) -> list[Boxes]:
        found = []
        for start in range(0, len(phrases), self.batch):
            some = slice(start, start + self.batch)
            prompts = [PROMPT.format(phrase) for phrase in phrases[some]]
            texts, likely = self.text.write(prompts, seen[list(image_of_phrase[some])])
            for text, score in zip(texts, likely, strict=True):
                corners = torch.tensor(self._boxes(text), device=seen.device).reshape(-1, 4) / GRID
                found.append(kept_boxes(corners, score.expand(len(corners))))
        return found

    def _boxes(self, text: str) -> list[list[float]]:
        """Returns the boxes in a text, in thousandths of the image's sides; outlines among them as their boxes."""
        answer = self.text.processor.post_process_generation(text=text, task=TASK, image_size=(GRID, GRID))[TASK]
        outlines = [
            [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
            for outline in answer.get("polygons", [])
            for values in outline
            if len(values) >= 4
        ]
        return [*answer.get("bboxes", []), *outlines]
