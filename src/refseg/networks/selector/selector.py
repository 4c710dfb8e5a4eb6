"""Selector: finds objects without words, then chooses among them; a small network of our own for CPUs.

Idea       A finder turns the image into at most a few dozen objects with masks, once and without language. A chooser
           reads the expression and decides for each object whether it is a referent, so none, one and many need no
           special case.
Read with  `maps` (cells, units), `finder.ObjectFinder` (maps, centres, objects), `finder.Pairs` (object pairs),
           `chooser.Chooser` (words, blocks, scores), `Selector` (scores to mask, training), `losses.FinderLoss`.
Units      u = sqrt(H * W) / 128, a pixel of a 128 x 128 image: lengths in the config are in u and scale with the image.
           Pixel centres are at integer coordinates; a map at 1/s has its cell i at s * i + (s - 1) / 2.
"""

import math
from collections.abc import Callable
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.batch import Batch, Objects
from refseg.blocks.view import View
from refseg.errors import InvalidInput
from refseg.networks.network import ABSENT, Network, Output, chosen_objects
from refseg.networks.selector.chooser import Block, Chooser
from refseg.networks.selector.config import SelectorConfig
from refseg.networks.selector.finder import Candidates, FoundObjects, ObjectFinder
from refseg.networks.selector.losses import FinderLoss, ProgramLoss, chooser_loss
from refseg.networks.selector.maps import length_unit, true_cells


class Selector(Network):
    """Finder, chooser, and the rule from their scores to a mask."""

    knows_objects = True
    exports_any_size = True
    idea = (
        "It finds objects first, without words, then chooses among them: words can never change a mask, and what is "
        "not found cannot be chosen"
    )
    supervision = (
        "more than a referring data set gives: id maps of all objects, true centres and radii, and the class of every "
        "object's shape, colour, size and material (the benchmark's stand-in for detection pretraining), and the sets "
        "of objects that each sentence's program goes through"
    )
    needs_objects = True
    config: SelectorConfig

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        self.finder = ObjectFinder(config)
        self.chooser = Chooser(config, vocabulary_size)
        self.finder_criterion = FinderLoss(config)
        self.full_precision_parts = ("finder.centre.",)
        self.program_criterion = ProgramLoss(config) if config.program_weight else None
        self.training_only = ("finder_criterion.", "program_criterion.")
        self.training_only += () if config.agreement else ("finder.attributes.",)

    @property
    def object_classes(self) -> tuple[int, ...]:
        """Number of classes of each attribute of the objects."""
        return self.config.attributes

    def encode_image(self, image: Tensor) -> FoundObjects:
        """Finds the objects of normalised images (B, 3, H, W); H and W are multiples of 16."""
        return self.finder(image)

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words, see `chooser.WordEncoder`."""
        return self.chooser.words(tokens, word_mask)

    def fuse(
        self, image_features: FoundObjects, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        """Predicts masks of M expressions; logits are above 0 exactly on the chosen objects (see `chosen`)."""
        found, image = image_features, image_of_expression
        states = self.chooser(found.tokens, found.valid, found.pairs, words, word_mask, image)
        scores, exists = self.chooser.answer(states[-1], found.valid[image])
        exists = exists.masked_fill(~found.selectable.any(1)[image], ABSENT)
        scores = self.fall_back(scores, exists, found.selectable[image])
        value, owner = self._owners(found)
        owner_score = scores.gather(1, owner[image].flatten(1)).unflatten(1, owner.shape[1:])
        certain = (exists - self.exists_threshold_logit)[:, None, None]
        logits = torch.minimum(torch.minimum(value[image], owner_score), certain).unsqueeze(1)
        return Output(logits, exists, scores, found.masks, found.selectable, found.centres)

    def fall_back(self, scores: Tensor, exists: Tensor, selectable: Tensor) -> Tensor:
        """Masks the scores (M, Q); with the fallback one is above 0 whenever the expression has a referent."""
        if self.config.fallback == "best":
            scores = scores.masked_fill(~selectable, -math.inf)
            best = scores.amax(1, keepdim=True)
            certain = (exists - self.exists_threshold_logit).unsqueeze(1)
            scores = torch.where((scores == best) & (best <= 0), torch.maximum(scores, certain), scores)
        return scores.masked_fill(~selectable, ABSENT)

    def familiarity_features(self, image_features: FoundObjects) -> Tensor:
        """Returns the coarse map (B, C, H/8, W/8)."""
        return image_features.coarse

    def id_map(self, found: FoundObjects) -> Tensor:
        """Returns the objects as disjoint regions (B, H, W) int64: 0 = no object, q + 1 = object q."""
        value, owner = self._owners(found)
        return torch.where(value > 0, owner + 1, 0)

    def chosen(self, output: Output) -> Tensor:
        """Returns the referents (M, Q) bool; their regions of the id map are exactly the logits above 0."""
        return chosen_objects(output, self.exists_threshold_logit)

    def _owners(self, found: FoundObjects) -> tuple[Tensor, Tensor]:
        """Returns the largest mask logit of each pixel (B, H, W), and the object that has it."""
        masks = found.masks.masked_fill(~found.selectable[..., None, None], ABSENT)
        if self.config.mask_stride > 1:  # before the maximum, since the other order moves borders
            masks = F.interpolate(masks, scale_factor=self.config.mask_stride, mode="bilinear", align_corners=False)
        value, owner = masks.max(dim=1)
        return value.clamp(min=ABSENT), owner  # the same whether there are free slots or not

    # Training ------------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the losses of finder and chooser, on the objects that the finder selects."""
        maps = self.finder.maps(batch.image)
        found = self.finder.describe(maps, self.finder.select_candidates(maps))
        assert batch.objects is not None
        matched = self.match(found, batch.objects)
        find = self.finder_criterion(maps, found, matched, self.finder.attributes, batch.objects, dense_weight=0.25)
        choose = self.choose_from(found, matched, batch)
        parts = {**find, **choose, "finder": find["loss"], "chooser": choose["loss"]}
        return {**parts, "loss": choose["loss"] + 0.5 * find["loss"]}

    def choose_from(self, found: FoundObjects, matched: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Computes `choose_loss` of a batch's expressions on objects that were found in its images."""
        return self.choose_loss(
            found.tokens,
            found.valid,
            found.pairs,
            matched,
            batch.tokens,
            batch.word_mask,
            batch.image_of_expression,
            batch.targets,
            batch.steps,
        )

    def find_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the finder's loss on objects at the true centres; the expressions are not read."""
        objects = batch.objects
        assert objects is not None
        maps = self.finder.maps(batch.image)
        free = (0, 1 if objects.present.shape[1] == 0 else 0)  # at least one slot, even if all images are empty
        cells = F.pad(true_cells(objects, *maps.centre.shape[-2:]), free)
        present = F.pad(objects.present, free)
        found = self.finder.describe(maps, Candidates(cells, present, present))
        matched = torch.where(present, torch.arange(cells.shape[1], device=cells.device), -1)
        return self.finder_criterion(maps, found, matched, self.finder.attributes, objects, dense_weight=0.5)

    def choose_loss(
        self,
        found_tokens: Tensor,
        valid: Tensor,
        pairs: Tensor,
        matched: Tensor,
        tokens: Tensor,
        word_mask: Tensor,
        image_of_expression: Tensor,
        targets: Tensor,
        steps: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Computes the chooser's loss on objects that were found before.

        Args:
            found_tokens: (S, Q, D) of S images, as in `FoundObjects`.
            valid: (S, Q).
            pairs: (S, Q, Q, P).
            matched: (S, Q) int64, index of the true object of each found object; -1 = none.
            tokens: (M, L).
            word_mask: (M, L).
            image_of_expression: (M,) int64, index of the S images.
            targets: (M, N) bool, True on the referents among the true objects.
            steps: (M, S, N) bool, sets of true objects that each program goes through; None: not known.
        """
        filled = int((valid.any(0) * torch.arange(1, valid.shape[1] + 1, device=valid.device)).max())
        valid, matched, found_tokens = valid[:, :filled], matched[:, :filled], found_tokens[:, :filled]
        pairs = pairs[:, :filled, :filled]

        program = self.program_criterion if steps is not None else None

        def score(some: Tensor, length: int) -> tuple[Tensor, ...]:
            mask, image = word_mask[some, :length], image_of_expression[some]
            words = self.encode_words(tokens[some, :length], mask)
            states = self.chooser(found_tokens, valid, pairs, words, mask, image)
            answer = self.chooser.answer(states[-1], valid[image])
            return answer if program is None else (*answer, program(states))

        scores, exists, *read = by_length(score, word_mask)
        there, numbers = valid[image_of_expression], matched[image_of_expression] + 1
        losses = chooser_loss(scores, exists, F.pad(targets, (1, 0)).gather(1, numbers), there, targets.any(1))
        if program is None or steps is None:
            return losses
        numbers = numbers[:, None].expand(-1, steps.shape[1], -1)
        missed = program.loss(read[0], F.pad(steps, (1, 0)).gather(2, numbers), there)
        return {**losses, "loss": losses["loss"] + self.config.program_weight * missed, "program": missed.detach()}

    @torch.no_grad()
    def match(self, found: FoundObjects, objects: Objects) -> Tensor:
        """Matches found to true objects: (B, Q) int64 indices of true objects, -1 = none.

        Each true object takes the found object nearest to its centre, unless that is too far; of two that take the
        same, the nearer one keeps it.

        Raises:
            InvalidInput: if the images were resized, since the true objects are not.
        """
        size_hw = (objects.id_map.shape[-2], objects.id_map.shape[-1])
        if size_hw != found.size_hw:
            known, side = (f"{height} x {width} pixels" for height, width in (size_hw, found.size_hw))
            raise InvalidInput(
                f"objects are known in images of {known}, and the network sees {side}; set data.preprocessing.side to "
                f"{math.isqrt(math.prod(size_hw))} and leave data.crop_from out"
            )
        difference = found.centres[:, :, None, :2] - objects.centres[:, None].float()  # (B, Q, N, 2)
        distance = difference.square().sum(-1).sqrt()
        possible = found.selectable[:, :, None] & objects.present[:, None]
        distance = distance.masked_fill(~possible, math.inf)
        nearest = distance == distance.amin(1, keepdim=True)
        wanted = nearest & (distance < self.config.duplicate_distance * length_unit(size_hw))
        distance = F.pad(distance.masked_fill(~wanted, math.inf), (1, 0), value=1e9)  # column 0: no object
        return distance.argmin(-1) - 1

    def views(self) -> list[View]:
        """Returns the finder's centre map, and the objects' attention to words."""
        views = [View("centres", self.finder.centre, lambda out: out[:, 0].sigmoid(), "map", "finder")]
        for number, block in enumerate(self.chooser.blocks, start=1):
            assert isinstance(block, Block)
            views.append(
                View(
                    f"words, block {number}",
                    block.cross.seen,
                    _of_objects,
                    "words",
                    "chooser",
                    meaning="attention of objects to each word, averaged over them and over heads",
                )
            )
        return views

    def image_encoder_weights(self) -> dict[str, Tensor]:
        """Returns the finder's stages as weights of `encoders.small.SmallImageEncoder.net`."""
        return self.finder.stages.state_dict()

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters of the finder, heads for training included, and of the chooser."""
        finder = chain(self.finder.parameters(), self.finder_criterion.parameters())
        program = self.program_criterion.parameters() if self.program_criterion else ()
        return {"finder": list(finder), "chooser": [*self.chooser.parameters(), *program]}


def _of_objects(weights: Tensor) -> Tensor:
    """Averages attention weights (M, heads, Q, L) over heads and objects: (M, L)."""
    return weights.mean((1, 2))


def by_length(score: Callable[[Tensor, int], tuple[Tensor, ...]], word_mask: Tensor) -> tuple[Tensor, ...]:
    """Runs `score(rows, length)` on expressions in groups of similar length, to save padding.

    Args:
        score: function from rows (m,) of the batch, and their largest number of words, to tensors of m rows.
        word_mask: (M, L).
    """
    if len(word_mask) < 48 or torch.compiler.is_compiling():
        return score(torch.arange(len(word_mask), device=word_mask.device), word_mask.shape[1])
    lengths = word_mask.sum(1)
    order = lengths.argsort(stable=True)
    parts = [score(rows, max(int(lengths[rows].max()), 1)) for rows in order.chunk(3)]
    back = order.argsort()
    return tuple(torch.cat(column)[back] for column in zip(*parts, strict=True))
