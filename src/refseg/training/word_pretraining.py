"""Word pretraining: a word encoder learns, without pixels, which objects of a scene an expression refers to.

Objects are given by what is true of them (attributes, centre, size, drawing order), and a chooser over them is taught
with the words. It stands in for the text that BERT, CLIP's text encoder and GloVe come trained on.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.batch import Batch, Objects
from refseg.networks.network import ABSENT, Network, Output
from refseg.networks.selector.chooser import MASKED, Block, Words, key_bias
from refseg.networks.selector.config import SelectorConfig
from refseg.networks.selector.losses import chooser_loss
from refseg.training.pretraining import PretrainingHeads

WORD_PRETRAINING = "word_pretraining"  # the objective of a stage that teaches this
UNIT = 40.0  # pixels of one unit of distance
PAIR_GEOMETRY = 6  # features of a pair besides the agreement of attributes
CONFIG = SelectorConfig(width=64, blocks=3, word_match=False, word_dropout=0)


class ObjectChooser(PretrainingHeads):
    """Scores true objects, and existence, for the words of an encoder; Selector's blocks on true objects.

    Args:
        channels: of the words.
        classes: of a data set, `Dataset.object_classes`, in the order of `Objects.attributes`.
    """

    part: ClassVar[str] = "word_encoder"
    teaches: ClassVar[str] = "which objects an expression refers to, without pixels"

    def __init__(self, channels: int, classes: Mapping[str, int]):
        super().__init__()
        self.classes, width = tuple(classes.values()), CONFIG.width
        self.objects = nn.Sequential(nn.Linear(sum(self.classes) + 3, width), nn.ReLU(), nn.Linear(width, width))
        self.words = nn.Linear(channels, width)
        self.pairs = nn.Sequential(nn.Linear(PAIR_GEOMETRY + len(self.classes), CONFIG.pair_width), nn.ReLU())
        self.pair_bias = nn.Linear(CONFIG.pair_width, CONFIG.blocks * CONFIG.heads)
        self.pair_value = nn.Linear(CONFIG.pair_width, CONFIG.pair_value)
        self.blocks = nn.ModuleList([Block(CONFIG) for _ in range(CONFIG.blocks)])
        self.norm = nn.LayerNorm(width)
        self.score, self.exists = nn.Linear(width, 1), nn.Linear(width, 1)

    @override
    @classmethod
    def of(cls, network: Network, classes: Mapping[str, int]) -> Self:
        encoder: Any = network.word_encoder
        return cls(encoder.channels, classes)

    def forward(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        """Computes scores (M, N) of the true objects and existence (M,), float32 logits."""
        objects, image = batch.objects, batch.image_of_expression
        assert objects is not None
        encoder: Any = network.word_encoder
        context = self.words(encoder(batch.tokens, batch.word_mask))
        words = Words(context, key_bias(batch.word_mask, context))
        own, between = object_features(objects, self.classes)
        pairs = self.pairs(between)
        absent = ~objects.present
        bias = self.pair_bias(pairs).permute(0, 3, 1, 2).masked_fill(absent[:, None, None], MASKED)[image]
        values, x = self.pair_value(pairs)[image], self.objects(own)[image]
        for block, block_bias in zip(self.blocks, bias.chunk(len(self.blocks), 1), strict=True):
            x = block(x, words, block_bias, values)
        x = self.norm(x)
        most = x.masked_fill(absent[image][..., None], MASKED).amax(1)
        scores = self.score(x)[..., 0].float().masked_fill(absent[image], ABSENT)
        return scores, self.exists(most)[..., 0].float()

    @override
    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """Computes the cross-entropies of choice and existence, and the mean IoU of sets of objects."""
        scores, exists = self(network, batch)
        assert batch.objects is not None
        there = batch.objects.present[batch.image_of_expression]
        refers = batch.targets.any(1)
        chosen = scores > 0
        union = (chosen | batch.targets).sum(1).clamp(min=1)
        iou = ((chosen & batch.targets).sum(1) / union)[refers].sum() / refers.sum().clamp(min=1)
        return {**chooser_loss(scores, exists, batch.targets, there, refers), "IoU": iou}

    @override
    def predict(self, network: Network, batch: Batch) -> Output:
        """Predicts the regions of the chosen objects, as the true masks draw them."""
        scores, exists = self(network, batch)
        assert batch.objects is not None
        certain = torch.minimum(scores, exists[:, None])
        id_map = batch.objects.id_map[batch.image_of_expression]
        logits = F.pad(certain, (1, 0), value=ABSENT).gather(1, id_map.flatten(1)).view_as(id_map)
        return Output(logits[:, None], exists, scores)


def object_features(objects: Objects, classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns what is true of objects and of their pairs.

    Args:
        objects: N true objects of each of B images.
        classes: number of classes of each of A attributes.

    Returns:
        (B, N, F): attributes one-hot, place and size; and (B, N, N, 6 + A) of object k relative to q: direction,
        distance, size, gap, drawing order, and which attributes agree.
    """
    middle = (torch.tensor(objects.id_map.shape[:0:-1], device=objects.centres.device) - 1) / 2  # x, y
    place = (objects.centres - middle) / UNIT
    radii = objects.radii.clamp(min=1)
    named = [F.one_hot(each, count) for each, count in zip(objects.attributes.unbind(-1), classes, strict=True)]
    own = torch.cat([*named, place, (radii / UNIT)[..., None]], -1)

    towards = place[:, None] - place[:, :, None]
    distance = towards.square().sum(-1).sqrt()
    size = (radii[:, None] / radii[:, :, None]).log()
    gap = distance - (radii[:, None] + radii[:, :, None]) / UNIT
    number = torch.arange(radii.shape[1], device=radii.device)
    order = (number - number[:, None]).sign().expand_as(gap)  # a later object covers an earlier one
    agree = objects.attributes[:, None] == objects.attributes[:, :, None]
    return own, torch.cat([towards, torch.stack([distance, size, gap, order], -1), agree], -1)
