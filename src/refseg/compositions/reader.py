"""Reader: a finder proposes objects, a masker draws them, and a program made of the sentence chooses among them.

Idea       Open detectors find things and misunderstand sentences; choosing needs no pixels. So the sentence is read as
           a program (`readers.parse`), which is evaluated on what was found (`readers.execute`), and says how.
Read with  `encode_image` (objects, once an image), `fuse` (one program an expression), `Reader.draw` (masks).
Weights    Those of the finder alone, which brings them (`finders`). Nothing is trained.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from refseg.adapters.local_parts import check_folders, check_scorer
from refseg.adapters.region_scorer import RegionScorer
from refseg.array_types import RgbImage
from refseg.batch import Batch
from refseg.compositions.found import FoundImage, find_objects
from refseg.config import Config
from refseg.errors import InvalidInput
from refseg.finders import load_finder
from refseg.finders.finder import Finder
from refseg.finders.named_folder import split_folder
from refseg.networks.network import ABSENT, Network, Output
from refseg.readers.execute import execute
from refseg.readers.parse import read
from refseg.readers.reading import Reading
from refseg.samples import AnnotatedObjects
from refseg.text.characters import Characters

INSIDE = 4.0  # mask logit inside of an object, and below 0 outside
MOST_PIXELS = 2**20  # of mask logits; of a larger image they are coarser
CERTAIN = 1e-6  # existence is as far from 0 and 1, at least


class ReaderConfig(Config):
    """Parts of a reader; what is None is the finder's own default.

    Attributes:
        finder: name of what finds objects, one of `refseg.finders.FINDERS`; of an open model with an own folder, if
            wanted ("gdino=FOLDER").
        masker: what draws the mask of an object from its box: "grabcut", "ellipse", "box", or an open model ("sam2",
            "sam2=FOLDER").
        threshold: lowest score of an object, 0 to 1.
        scorer: what judges verbs, clothes and materials: "siglip2" or "clip", with an own folder if wanted; None is
            nothing, and they are named in a warning.
    """

    finder: str = "coco80"
    masker: str | None = None
    threshold: float | None = None
    scorer: str | None = None


class Reader(Network):
    """A finder and a reader of sentences as one network."""

    idea = "It finds objects first, then reads the sentence as a program: places, orders, sizes, relations and colours"
    supervision = "none but that of the finder"
    gives_readings = True
    config: ReaderConfig

    def __init__(self, config: ReaderConfig, vocabulary_size: int, finder: Finder | None = None):
        """Loads the finder, unless one is given; errors as of `load_finder`."""
        super().__init__()
        self.config = config
        check_folders(config.finder, config.masker, config.scorer)
        check_scorer(config.scorer)
        settings = {"masker": config.masker, "threshold": config.threshold}
        given = {name: value for name, value in settings.items() if value is not None}
        self.finder = finder or load_finder(config.finder, **given)
        self.scorer = RegionScorer.load(*split_folder(config.scorer)) if config.scorer else None
        self.networks = nn.ModuleList(self.finder.networks)
        self.characters = Characters()
        self.nothing = nn.Parameter(torch.zeros(0))  # says on which device outputs are

    @override
    def encode_image(self, image: Tensor) -> list[FoundImage]:
        """Finds the objects of images (B, 3, H, W) of 0 to 255."""
        return [self._find_objects(self.finder, one) for one in _pixels(image)]

    @property
    @override
    def needs_annotations(self) -> bool:
        return self.finder.needs_annotations

    @override
    def encode_annotated(self, image: Tensor, annotated: Sequence[AnnotatedObjects]) -> list[FoundImage]:
        given = [self.finder.given(objects) for objects in annotated]
        return [self._find_objects(finder, one) for finder, one in zip(given, _pixels(image), strict=True)]

    def _find_objects(self, finder: Finder, image: RgbImage) -> FoundImage:
        return find_objects(finder, image, None if self.scorer is None else self.scorer.for_image(image))

    @override
    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the tokens (M, L) as they are: `fuse` reads the whole sentence."""
        return tokens

    @override
    def fuse(
        self, image_features: Sequence[FoundImage], words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        size_hw = self._mask_size(image_features[0])
        logits = self.nothing.new_empty(len(words), 1, *size_hw)
        exists, referents, readings = [], [], []
        for ids, known, of_image, out in zip(words, word_mask, image_of_expression.tolist(), logits, strict=True):
            query = read(self.characters.text(ids[known].tolist()))
            found = image_features[of_image].about(query)
            answer = execute(query, found.objects, found.score_regions)
            # the mask that holds if anything exists: of the best object, where none is probable enough
            asked = answer.outcome not in ("unknown noun", "no thing named")
            assumed = answer.chosen or ((answer.best,) if asked and answer.best is not None else ())
            masks = self.draw(found, assumed)
            p = min(max(answer.exists, CERTAIN), 1 - CERTAIN)
            there = math.log(p / (1 - p)) if asked else ABSENT
            together = masks if len(masks) == 1 else masks.amax(0, keepdim=True)
            torch.clamp(together, max=there - self.exists_threshold_logit, out=out)
            exists.append(there)
            referents.append(masks if len(assumed) else masks[:0])
            readings.append(Reading(answer, found.objects, self.config.finder))
        return Output(logits, self.nothing.new_tensor(exists), referents=referents, readings=readings)

    def draw(self, found: FoundImage, chosen: Sequence[int]) -> Tensor:
        """Returns mask logits (N, h, w) of these objects; one empty mask if there is none."""
        size_hw = self._mask_size(found)
        if not chosen:
            return torch.full((1, *size_hw), -INSIDE, device=self.nothing.device)
        masks = [torch.from_numpy(found.mask(k)).to(self.nothing.device) for k in chosen]
        inside = torch.stack(masks) if len(masks) > 1 else masks[0][None]
        if size_hw == found.objects.size_hw:
            return torch.where(inside, INSIDE, -INSIDE)
        share = nn.functional.interpolate(inside[None].float(), size_hw, mode="area")[0]  # of each coarser pixel
        return share.mul_(2 * INSIDE).sub_(INSIDE)

    def _mask_size(self, found: FoundImage) -> tuple[int, int]:
        """Returns the height and width of mask logits, those of the image if it is not too large."""
        assert found.objects.size_hw is not None
        height, width = found.objects.size_hw
        coarser = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
        return max(1, round(height * coarser)), max(1, round(width * coarser))

    @override
    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        raise InvalidInput("the reader has nothing to train: its sentences are read by rules, its finder comes trained")


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """Returns images (B, 3, H, W) of 0 to 255 as (B, H, W, 3)."""
    pixels: NDArray[np.uint8] = image.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels
