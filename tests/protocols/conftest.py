"""The golden cases: maps of logits, pairs of masks, ranked candidates and clips, with the releases' own figures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from refseg import protocols
from refseg.metrics import Counts
from refseg.preprocessing.transform import Preprocessing, photographs
from refseg.samples import Expression, Sample

ASSETS = Path(__file__).parent.parent / "assets" / "protocols"
INPUTS = {  # how the release of each protocol prepares an image, if it does not squash it
    "cmpc": Preprocessing(resize="letterbox_rounded", side=320),
    "cris": Preprocessing(resize="letterbox", side=416, multiple_of=32),
    "vlt": Preprocessing(resize="letterbox_truncated", side=416, multiple_of=32),
}
LOGITS = {"cmpc": "logits_letterbox_40", "cris": "logits_letterbox_104", "vlt": "logits_letterbox_208"}


class Photograph(Sample):
    """A sample of one expression whose mask, and polygons of the referents, are known."""

    def __init__(self, mask, has_target=True, polygons=()):
        self.image_id, self.image = "", np.zeros((*mask.shape, 3), np.uint8)
        self.expressions = (Expression("", (1,) if has_target else ()),)
        self._mask, self.polygons = mask, polygons

    def mask(self, index):
        return self._mask

    def mask_at(self, index, size_hw):
        if not self.polygons:
            return super().mask_at(index, size_hw)
        height, width = size_hw
        scale = np.array([width / self.size_hw[1], height / self.size_hw[0]])
        drawn = coco.frPyObjects([(polygon * scale).ravel().tolist() for polygon in self.polygons], height, width)
        return coco.decode(coco.merge(drawn)).astype(bool)


class Golden:
    """The cases of cases.npz by what they are for."""

    def __init__(self):
        with np.load(ASSETS / "cases.npz") as stored:
            self.cases = dict(stored)
        self.expected = json.loads((ASSETS / "expected.json").read_text())
        self.maps = range(len(self.cases["size_hw"]))
        self.image_ids = self.cases["image_id"].tolist()

    def mask(self, name, size_hw):
        size = tuple(size_hw.tolist())
        return np.unpackbits(self.cases[name], count=math.prod(size)).reshape(size).astype(bool)

    def photograph(self, i):
        polygons = [self.cases[f"polygon_{i}_{j}"].astype(float) for j in range(9) if f"polygon_{i}_{j}" in self.cases]
        mask = self.mask(f"truth_{i}", self.cases["size_hw"][i])
        return Photograph(mask, not self.cases["no_target"][i], polygons)

    def logits(self, name, i):
        q = torch.from_numpy(self.cases[LOGITS.get(name, "logits_squashed_120")][i]).float()
        logits = (q + float(self.cases["offset"][i])) * 0.125
        return (2 * logits if name == "rela" else logits)[None, None]  # rela: the background is the negative

    def predicted(self, name, i, threshold=0.5):
        """The mask of a network whose logits are 0 at `threshold`."""
        geometry = INPUTS.get(name, photographs(480)).geometry(self.photograph(i).size_hw)
        logits = self.logits(name, i) - math.log(threshold / (1 - threshold))
        none = torch.tensor([bool(self.cases["answers_none"][i])])
        return protocols.build(name).predict(logits, geometry, none, threshold)

    def of_maps(self, name, threshold=0.5):
        protocol, counts = protocols.build(name), []
        for i in self.maps:
            photograph = self.photograph(i)
            truth = torch.from_numpy(protocol.truth(photograph, 0))[None]
            has_target = torch.tensor([bool(photograph.expressions[0].targets)])
            none = torch.tensor([bool(self.cases["answers_none"][i])])
            counts.append(protocol.count(self.predicted(name, i, threshold), truth, has_target, none))
        return joined(counts)

    def of_pairs(self, name):
        """Ready masks, compared at their own size whatever the protocol's."""
        protocol, counts = protocols.build(name), []
        for prediction, truth, none in self.pairs():
            prediction = protocol.from_masks(prediction, none) if name == "standard" else prediction
            counts.append(protocol.count(prediction, truth, truth.flatten(1).any(1), none))
        return joined(counts)

    def pairs(self):
        for i, size_hw in enumerate(self.cases["pair_size_hw"]):
            masks = (torch.from_numpy(self.mask(f"pair_{of}_{i}", size_hw))[None] for of in ("prediction", "truth"))
            yield *masks, torch.tensor([bool(self.cases["pair_answers_none"][i])])


def joined(counts):
    return Counts(*(torch.cat(column) for column in zip(*counts, strict=True)))


@pytest.fixture(scope="session")
def golden():
    return Golden()


@pytest.fixture
def photograph():
    return Photograph


@pytest.fixture(scope="session")
def inputs():
    return INPUTS
