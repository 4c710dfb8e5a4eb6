"""What each training step sees of a data set of files: as `batches`, a function of seed, stage and step alone.

An epoch goes through referents (each with one of its sentences, as in most published code), through expressions, or
through images (with several of their expressions, which then share the image's features). What does not fill a last
step is left out of an epoch; it is something else in the next.

Of a data set of videos an image is a clip: one of its annotated frames is drawn, and the expressions are asked there. A
network that takes clips gets the frames around it, which are those that answers look at.
"""

from typing import Any
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from refseg.batch import Batch
from refseg.datasets import class_of
from refseg.errors import InvalidInput, setting
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.resampling import linear, resample
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import FileData, Stage
from refseg.samples import Clip
from refseg.text.left_right import mirrored
from refseg.text.noun_phrases import erase, noun_positions, phrases
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import PADDING, split_words
from refseg.training.data.clip_frames import (
    ClipItems,
    described,
    objects_of,
    one_frame,
    seen,
    targets_of,
    with_words,
)
from refseg.training.data.epoch_order import EpochOrder
from refseg.training.progress import print_once

KEPT_TEXTS = 2**15  # whose tokens a worker remembers, about 10 MB
Item = tuple[int, NDArray[np.int64]]  # number of an image, and of those of its expressions that may be asked


class FileBatches(Dataset):
    """Step by step the batches of a stage; `[part]` is what process `rank` of `world` sees in a part of a step.

    A step has `stage.accumulate` parts, so part p belongs to step p // accumulate.

    Args:
        samples: the data set.
        tokenizer: of the network.
        data: how images and truth are made.
        stage: what a step holds.
        key: the run's seed and the stage's number.
        rank, world: process, and number of processes.
        erases: does the network learn from expressions with a phrase erased?
    """

    def __init__(
        self,
        samples: Any,
        tokenizer: Tokenizer,
        data: FileData,
        stage: Stage,
        key: tuple[int, int],
        rank: int = 0,
        world: int = 1,
        erases: bool = False,
    ):
        self.samples, self.tokenizer, self.data, self.stage, self.erases = samples, tokenizer, data, stage, erases
        self.key, self.rank, self.images = key, rank, stage.images // (world * stage.accumulate)
        self.at_once = stage.images // stage.accumulate  # of all processes
        self.enlarged, self.kinds = enlarged(data), samples.kinds
        self.items = items_of(samples, data)
        if self.items.left_out:
            print_once(f"split {data.train} of {data.dataset}: {self.items.left_out} have no word and are left out")
        if len(self.items) < stage.images:
            what = f"{stage.images} {data.item}s, split {data.train} of {data.dataset} has {len(self.items)}"
            at_once = world * stage.accumulate
            most = len(self.items) // at_once * at_once
            fewer = setting(f"stages.{stage.name}.images", most) if most else "give it a larger split"
            raise InvalidInput(f"a step of stage {stage.name} takes {what}; {fewer}")
        if data.spread_no_target:
            assert isinstance(self.items, Items)  # of videos it is refused
            self._nothing = self.items.about_nothing(samples)
        self.steps_per_epoch = len(self.items) // stage.images
        self._tokens: dict[str, list[int]] = {}
        arrange = self._spread if data.spread_no_target else None
        self.order = EpochOrder(key, len(self.items), self.steps_per_epoch * stage.images, arrange)

    def __len__(self) -> int:
        """Parts of an epoch."""
        return self.steps_per_epoch * self.stage.accumulate

    def __getitem__(self, part: int) -> Batch:
        """The batch of one part of a step."""
        start = part * self.at_once + self.rank * self.images
        places = range(start, start + self.images)
        return self._batch([self.items[self.order[place]] for place in places], places)

    def whole(self, images: range) -> Batch:
        """These images as they are, with all of their expressions that have words."""
        return self._batch([(number, with_words(self.samples[number])) for number in images], None)

    def _spread(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same order, with items about nothing evenly between the others."""
        groups = [order[self._nothing[order] == empty] for empty in (False, True)]
        places = np.concatenate([(np.arange(len(group)) + 0.5) / max(len(group), 1) for group in groups])
        return np.concatenate(groups)[np.argsort(places, kind="stable")]

    def _batch(self, items: list[Item], places: range | None) -> Batch:
        images, truths, meant, texts, erased, ids, counts, types = [], [], [], [], [], [], [], []
        frames, flips = [], []
        for number, (image, asked) in enumerate(items):
            rng = np.random.default_rng((*self.key, 1, places[number] if places else 0))
            sample = self.samples[image]
            flip = places is not None and rng.random() < self.stage.flip
            most = None if places is None else self.stage.expressions_per_image
            if places is not None:
                asked = rng.permutation(asked)
            if isinstance(sample, Clip):
                sample = one_frame(sample, asked, rng, most)
                asked = np.arange(len(sample.asked))
            asked = asked[:most]
            pixels, geometry = seen(sample, self.data.preprocessing if places is None else self.enlarged)
            asked_masks = [place_mask(self._truth(sample, index), geometry, self.data.mask) for index in asked]
            masks = torch.stack(asked_masks) if asked_masks else pixels.new_zeros(0, *pixels.shape[-2:])
            if places is not None and self.data.crop_from:
                pixels, masks = random_crop([pixels, masks], self.data.preprocessing.side, rng)
            frames.append(sample)
            flips.append(flip)
            if flip:
                pixels, masks = pixels.flip(-1), masks.flip(-1)
            images.append(pixels)
            truths.append(masks)
            for index in asked:
                expression = sample.expressions[index]
                text = mirrored(expression.text) if flip else expression.text
                texts.append(self._ids(text))
                erased.append(self._erase(text, texts[-1], rng))
                meant.append(expression.targets)
                ids.append(expression.id)
                if self.kinds:
                    types.append(self.kinds.index(expression.kind))
            counts.append(len(asked))
        tokens, objects = padded(texts), objects_of(frames, flips)
        return Batch(
            image=stacked(images),
            tokens=tokens,
            word_mask=padded([[1] * len(text) for text in texts]).bool(),
            image_of_expression=torch.arange(len(items)).repeat_interleave(torch.tensor(counts)),
            targets=targets_of(meant, objects),
            truth=torch.cat([F.pad(mask, self._missing(mask, images)) for mask in truths]),
            types=torch.tensor(types) if types else None,
            objects=objects,
            erased=padded(erased) if self.erases else None,
            ids=tuple(ids),
        )

    def _truth(self, sample: Any, index: int) -> NDArray[np.bool_]:
        return boxed(sample, index) if self.data.truth == "box" else sample.mask(index)

    def _ids(self, text: str) -> list[int]:
        if text not in self._tokens:  # a worker meets its sentences again in every epoch
            if len(self._tokens) == KEPT_TEXTS:
                self._tokens.clear()
            self._tokens[text] = self.tokenizer.ids(text)
        return self._tokens[text]

    def _erase(self, text: str, tokens: list[int], rng: np.random.Generator) -> list[int]:
        """The tokens with one noun phrase as padding, which one is drawn anew or once for the whole run."""
        if not self.erases:
            return tokens
        nouns = phrases(noun_positions(text))
        if not nouns:
            return tokens
        drawn = np.random.default_rng((self.key[0], crc32(text.encode()))) if self.stage.erasure == "fixed" else rng
        erased: list[int] = erase(torch.tensor(tokens), nouns[drawn.integers(len(nouns))]).tolist()
        return erased

    def _missing(self, mask: Tensor, images: list[Tensor]) -> tuple[int, int, int, int]:
        height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
        return 0, width - mask.shape[2], 0, height - mask.shape[1]


def items_of(samples: Any, data: FileData) -> "Items | ClipItems":
    """What an epoch of these data goes through."""
    if class_of(data.dataset).of_clips:
        return ClipItems(samples, data.item, check_words=not samples.all_have_words)
    return Items(samples, data.item)


class Items:
    """What an epoch goes through: `items[i]` is an image's number and the places of those of its expressions asked.

    Expressions without a word are left out: `left_out` says which, "" if there are none. Kept as flat arrays: data sets
    have 100 000 items and more, and each worker has all of them.
    """

    def __init__(self, samples: Any, kind: str):
        """`kind` as `recipe.Files.item`."""
        images, places, keys, before = [], [], [], 0
        wordless: list[str] = []
        for part in samples.indexed_parts:
            numbers, starts = part.by_image
            image = np.repeat(np.arange(len(part)), np.diff(starts))
            place = np.arange(len(numbers)) - starts[image]
            key = {"image": 0 * place, "expression": place}.get(kind)
            key = part.index["expression_ref"][numbers] if key is None else key
            silent = without_words(part)[numbers] & (before + image < len(samples))
            wordless += [part.prefix + part.index.text("expression_id", number) for number in numbers[silent]]
            images.append(before + image[~silent])
            places.append(place[~silent])
            keys.append(key[~silent])
            before += len(part)
        self.left_out = described(wordless)
        image, place = np.concatenate(images), np.concatenate(places)
        if not len(image):
            raise InvalidInput("no expression has a word; look at the file of expressions")
        group = image * (max(key.max() for key in keys) + 1) + np.concatenate(keys)
        inside = image < len(samples)
        image, place, group = image[inside], place[inside], group[inside]
        _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
        rank = np.empty_like(first)
        rank[np.argsort(first)] = np.arange(len(first))
        self._images = image[np.sort(first)]
        self._starts = np.concatenate([[0], np.bincount(rank[inverse]).cumsum()])
        self._places = place[np.argsort(rank[inverse], kind="stable")]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Item:
        return int(self._images[number]), self._places[self._starts[number] : self._starts[number + 1]]

    def about_nothing(self, samples: Any) -> NDArray[np.bool_]:
        """Which items name nothing."""
        numbers, starts = samples.by_image
        first = numbers[starts[self._images] + self._places[self._starts[:-1]]]
        return np.diff(samples.index["expression_targets"])[first] == 0


def without_words(samples: Any) -> NDArray[np.bool_]:
    """Which expressions of an indexed data set, by their number in its index, have no word; of millions in a second."""
    name = f"expression_{samples.text}"
    letters, ends = samples.index[name], samples.index[f"{name}_ends"]
    plain = np.array([chr(byte).isalnum() and byte < 128 for byte in range(256)] + [False])
    has_plain = np.logical_or.reduceat(plain[np.append(letters, 256)], ends[:-1]) & (np.diff(ends) > 0)
    silent: NDArray[np.bool_] = ~has_plain
    for number in np.flatnonzero(silent):
        silent[number] = not split_words(samples.index.text(name, number))
    return silent


def place_mask(mask: NDArray[np.bool_], geometry: Geometry, how: str) -> Tensor:
    """A mask (H, W) of an image where `geometry` has put the image, (h, w) float: see `recipe.Files.mask`."""
    axes = zip(geometry.placed(), mask.shape, geometry.padded_hw, strict=True)
    places = [((torch.arange(n) - start) / slope, own) for (slope, start), own, n in axes]
    if how == "nearest":
        inside, found = [], []
        for place, own in places:
            pixel = place.round()
            inside.append((pixel >= 0) & (pixel < own))
            found.append(pixel.long().clamp(0, own - 1).numpy())
        there = torch.from_numpy(mask[found[0]][:, found[1]])  # before they are numbers of four bytes
        return (there & inside[0][:, None] & inside[1]).float()
    values = torch.from_numpy(mask).float()
    soft = resample(values, *(linear(place, own, "zeros") for place, own in places))
    return (soft > 0).float() if how == "touched" else soft


def enlarged(data: FileData) -> Preprocessing:
    """What training images go through: as others, or to the size that they are cropped from."""
    own, side = data.preprocessing, data.crop_from
    return own.replace(side=side, longest_side=max(side, own.longest_side), multiple_of=1) if side else own


def random_crop(maps: list[Tensor], side: int, rng: np.random.Generator) -> list[Tensor]:
    """The same square of maps (..., h, w), from a random place."""
    top, left = (int(rng.integers(0, max(size - side, 0) + 1)) for size in maps[0].shape[-2:])
    return [each[..., top : top + side, left : left + side] for each in maps]


def boxed(sample: Any, index: int) -> NDArray[np.bool_]:
    """The box around the referents as a mask (H, W), for sets that know no more, or for learning boxes."""
    mask = np.zeros(sample.size_hw, np.bool_)
    if box := sample.box(index):
        left, top, right, bottom = (round(value) for value in box)
        mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


def padded(rows: list[list[int]]) -> Tensor:
    """Rows of ids as (M, L)."""
    if not rows:  # images without language
        return torch.zeros(0, 1, dtype=torch.long)
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PADDING)


def stacked(images: list[Tensor]) -> Tensor:
    """Images or clips (..., h, w) as a batch (B, ..., H, W); 0, the mean colour, right and below smaller ones."""
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    return torch.stack([F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2])) for image in images])
