"""What each training step sees: a function of seed, stage and step alone, so that a run can be resumed anywhere.

Scenes come in a new order each epoch; which expressions of a scene are asked, whether it is mirrored, and which words
are hidden is drawn for each place in that order. Several processes share a step: each takes its own scenes of it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from refseg.batch import Batch, CachedObjectBatch, Objects
from refseg.datasets.drawn_scenes.stored_scenes import StoredScenes
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import Stage
from refseg.text.left_right import SIDES
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import PADDING, UNKNOWN
from refseg.training.data.epoch_order import EpochOrder


class TokenTable:
    """All expressions of stored scenes as tokens (E, L) int16.

    Attributes:
        tokens: (E, L) int16.
        mirrored: which id each has when the image is mirrored.
        phrases: (E, L) int8, the noun phrase that each word belongs to, from 1, 0 = none; None if not asked for.
    """

    def __init__(self, texts: list[str], vocabulary: Tokenizer, with_phrases: bool = False):
        """`vocabulary` is the network's tokenizer, one id a word."""
        rows = [vocabulary.ids(text) for text in texts]
        self.tokens = np.full((len(rows), max(map(len, rows))), PADDING, np.int16)
        for row, ids in zip(self.tokens, rows, strict=True):
            row[: len(ids)] = ids
        self.mirrored = np.arange(len(vocabulary), dtype=np.int16)
        for one, other in SIDES:
            a, b = vocabulary.ids(f"{one} {other}")
            if UNKNOWN not in (a, b):
                self.mirrored[[a, b]] = b, a
        self.phrases = phrase_numbers(texts, self.tokens.shape[1]) if with_phrases else None


def phrase_numbers(texts: list[str], length: int) -> NDArray[np.int8]:
    """Of each word of each expression the number of its noun phrase (E, length), from 1; 0 = in none."""
    from refseg.text.noun_phrases import noun_positions, phrases

    numbers = np.zeros((len(texts), length), np.int8)
    known: dict[str, NDArray[np.int8]] = {}  # expressions repeat over scenes
    for row, text in zip(numbers, texts, strict=True):
        if text not in known:
            for number, phrase in enumerate(phrases(noun_positions(text)), start=1):
                row[phrase] = number
            known[text] = row
        row[:] = known[text]
    return numbers


class SceneBatches(Dataset):
    """Step by step the batches of a stage; `[part]` is what process `rank` of `world` sees in a part of a step.

    A step has `stage.accumulate` parts, so part p belongs to step p // accumulate.
    """

    def __init__(
        self,
        scenes: StoredScenes,
        words: TokenTable,
        preprocessing: Preprocessing,
        stage: Stage,
        key: tuple[int, int],
        rank: int = 0,
        world: int = 1,
    ):
        """`key` is the run's seed and the stage's number; stage.images must be a multiple of `world`."""
        self.scenes, self.words, self.preprocessing, self.stage = scenes, words, preprocessing, stage
        self.key, self.rank, self.images = key, rank, stage.images // (world * stage.accumulate)
        self.at_once = stage.images // stage.accumulate  # of all processes
        self.order = EpochOrder(key, stage.cached_scenes or len(scenes))
        if words.phrases is not None:
            self._phrase_counts = words.phrases.max(1, initial=0)
            self._fixed_phrase = _one_of(self._phrase_counts, np.random.default_rng(key[0]))

    def __getitem__(self, part: int) -> Batch | CachedObjectBatch:
        """The batch of one part of a step."""
        start = part * self.at_once + self.rank * self.images
        places = range(start, start + self.images)
        chosen = np.array([self.order[place] for place in places])
        rng = [np.random.default_rng((*self.key, 1, place)) for place in places]
        flip = np.array([one.random() < self.stage.flip for one in rng])
        return self._batch(chosen, flip, rng)

    def whole(self, scenes: range) -> Batch:
        """These scenes as they are, with as many of their expressions as the stage asks."""
        chosen = np.array(scenes)
        return self._batch(chosen, np.zeros(len(chosen), bool), [np.random.default_rng(0) for _ in scenes])

    def _batch(self, chosen: NDArray[np.int64], flip: NDArray[np.bool_], rng: list[np.random.Generator]) -> Batch:
        most = int(self.scenes.counts[chosen].max())
        images, id_maps = self.scenes.images[chosen], self.scenes.id_maps[chosen]
        centres = self.scenes.centres[chosen, :most]
        images[flip], id_maps[flip] = images[flip, :, ::-1], id_maps[flip, :, ::-1]
        centres[flip, :, 0] = images.shape[2] - 1 - centres[flip, :, 0]
        objects = Objects(
            id_map=torch.from_numpy(id_maps.astype(np.int64)),
            centres=torch.from_numpy(centres),
            radii=torch.from_numpy(self.scenes.radii[chosen, :most]),
            attributes=torch.from_numpy(self.scenes.attributes[chosen, :most]),
            present=torch.from_numpy(np.arange(most) < self.scenes.counts[chosen, None]),
        )
        image = self.preprocessing.normalise(torch.from_numpy(images))
        return Batch(image, objects=objects, **self._expressions(chosen, flip, rng, most))  # type: ignore[arg-type]

    def _expressions(
        self, chosen: NDArray[np.int64], flip: NDArray[np.bool_], rng: list[np.random.Generator], most: int
    ) -> dict[str, Tensor]:
        """What a batch holds of the expressions asked about these scenes."""
        numbers, tokens, erased = [], [], []
        for scene, mirror, one in zip(chosen, flip, rng, strict=True):
            first, end = self.scenes.first[scene], self.scenes.first[scene + 1]
            asked = first + one.permutation(end - first)[: self.stage.expressions_per_image]
            ids = self.words.tokens[asked]
            if mirror:
                ids = self.words.mirrored[ids]
            hidden = one.random(ids.shape) < self.stage.unknown_words
            ids = np.where(hidden & (ids != PADDING), UNKNOWN, ids)
            tokens.append(ids)
            if self.words.phrases is not None:
                fixed = self.stage.erasure == "fixed"
                phrase = self._fixed_phrase[asked] if fixed else _one_of(self._phrase_counts[asked], one)
                erased.append(np.where(self.words.phrases[asked] == phrase[:, None], PADDING, ids))
            numbers.append(asked)
        ids = np.concatenate(tokens)
        length = max(int((ids != PADDING).sum(1).max(initial=0)), 1)
        ids = ids[:, :length]
        asked_numbers = np.concatenate(numbers)
        image_of_expression = np.repeat(np.arange(len(chosen)), [len(asked) for asked in numbers])
        arrays = {
            "tokens": ids.astype(np.int64),
            "word_mask": ids != PADDING,
            "image_of_expression": image_of_expression,
            "targets": _members(self.scenes.referents[asked_numbers], most),
            "steps": _members(self.scenes.steps[asked_numbers], most),
            "types": self.scenes.types[asked_numbers].astype(np.int64),
        }
        if erased:
            arrays["erased"] = np.concatenate(erased)[:, :length].astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _members(sets: NDArray[np.uint16], most: int) -> NDArray[np.bool_]:
    """Whether each of `most` objects belongs to sets (...) of bits: (..., most)."""
    return (sets[..., None] >> np.arange(most, dtype=np.uint16) & 1).astype(bool)


def _one_of(counts: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int64]:
    """A number from 1 to each count; 1 where there is none."""
    return 1 + rng.integers(0, np.maximum(counts, 1))
