"""Systems that are asked: weights, weights without language, and masks that another program wrote."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from refseg.array_types import Mask
from refseg.evaluation.stored_masks import StoredMasks
from refseg.robustness.answers import PictureAnswers
from refseg.robustness.asked import AskedPicture

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.inference.crf import DenseCRF

MASKS_AT_ONCE = 8  # that are brought to the size of the picture together


class System(Protocol):
    """Whatever answers questions about pictures."""

    def answer(self, asked: Iterable[AskedPicture]) -> Iterator[PictureAnswers]:
        """Yields the answers about each picture that has questions, in order."""


class NetworkSystem:
    """Weights, each picture encoded once for all of its questions."""

    def __init__(
        self,
        checkpoint: "Checkpoint",
        batch_images: int = 8,
        workers: int = 0,
        without_words: bool = False,
        crf: "DenseCRF | None" = None,
    ):
        """Takes weights.

        Args:
            checkpoint: network with its tokenizer and preprocessing.
            batch_images: number of pictures that the network gets at once.
            workers: threads that draw and resize pictures.
            without_words: whether each sentence is replaced by one word that the network does not know.
            crf: refines the masks.
        """
        self.checkpoint, self.batch_images, self.workers = checkpoint, batch_images, workers
        self.without_words, self.crf = without_words, crf

    def answer(self, asked: Iterable[AskedPicture]) -> Iterator[PictureAnswers]:
        """Yields the answers about each picture that has questions, in order."""
        import math

        import torch

        from refseg.inference.network_input import NetworkInput
        from refseg.inference.predict import (
            SampleQuery,
            exists_probability,
            is_unfamiliar,
            predict,
            truncate,
        )
        from refseg.inference.prefetch import prefetch_map
        from refseg.protocols.standard import Standard

        checkpoint, standard = self.checkpoint, Standard()

        def query(picture: AskedPicture) -> SampleQuery:
            pixels = checkpoint.preprocessing(picture.image)
            annotated = picture.annotated_objects() if checkpoint.network.needs_annotations else None
            sentences = [truncate(checkpoint.tokenizer, question.text) for question in picture.questions]
            return SampleQuery([NetworkInput(*pixels, annotated=annotated)], sentences, picture.number, picture)

        pictures = (picture for picture in asked if picture.questions)
        masks: list[Mask] = []
        exists: list[float] = []
        for prediction in predict(
            checkpoint,
            prefetch_map(query, pictures, self.workers),
            batch_images=self.batch_images,
            split_expressions=True,
            without_words=self.without_words,
            exists_threshold_logit=-math.inf,
            crf=self.crf,
        ):
            of_image = prediction.image_of_expression.tolist()
            probability = exists_probability(checkpoint, prediction.output.exists.double()).tolist()
            start = 0
            while start < len(of_image):
                k = of_image[start]
                end = start + 1
                while end < len(of_image) and of_image[end] == k and end - start < MASKS_AT_ONCE:
                    end += 1
                one, where = prediction.queries[k], slice(start, end)
                with torch.inference_mode():
                    drawn = standard.predict(
                        prediction.output.logits[where].cpu(),
                        one.image.geometry,
                        prediction.predicts_none[where],
                        checkpoint.network.threshold,
                    )
                masks += list(drawn.numpy())
                exists += probability[where]
                if len(masks) == len(one.expressions):
                    picture = one.sample
                    assert isinstance(picture, AskedPicture)
                    unfamiliar = is_unfamiliar(checkpoint, prediction.features, k, one.image.geometry)
                    yield PictureAnswers(picture, masks, exists, unfamiliar)
                    masks, exists = [], []
                start = end


class StoredSystem:
    """Masks by the ids of the questions; those whose truth is not known may be missing."""

    def __init__(self, masks: StoredMasks):
        """Takes stored masks."""
        self.masks = masks

    def answer(self, asked: Iterable[AskedPicture]) -> Iterator[PictureAnswers]:
        """Yields the answers about each picture; InvalidInput if a mask is missing or of another size."""
        from refseg.errors import InvalidInput
        from refseg.evaluation.stored_masks import read_masks

        for picture in asked:
            if not picture.questions:
                continue
            masks: list[Mask | None] = []
            for k, question in enumerate(picture.questions):
                if question.id in self.masks.ids:
                    masks += read_masks(self.masks, [question.id], picture.size_hw)
                elif picture.truth(k) is None:
                    masks.append(None)
                else:
                    raise InvalidInput(
                        f"{self.masks.place} lacks the mask of {question.id}; write an empty one where the answer is "
                        "that nothing matches"
                    )
            yield PictureAnswers(picture, masks, [self.masks.exists(one.id) for one in picture.questions])


class PerfectSystem:
    """The right answers, as far as they are known: what the figures are of a system that errs nowhere."""

    def answer(self, asked: Iterable[AskedPicture]) -> Iterator[PictureAnswers]:
        """Yields the right answers about each picture that has questions."""
        for picture in asked:
            if picture.questions:
                masks = [picture.truth(k) for k in range(len(picture.questions))]
                yield PictureAnswers(picture, masks, [None if mask is None else float(mask.any()) for mask in masks])


def answer_once(system: System, picture: AskedPicture, chosen: Sequence[int]) -> list[Mask]:
    """Returns the answers (H, W) to some of the questions about a picture."""
    (answers,) = system.answer([picture.only(chosen)])
    return [np.zeros(picture.size_hw, np.bool_) if mask is None else mask for mask in answers.masks]
