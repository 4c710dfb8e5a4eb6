"""What the evaluator costs without the network: decode, resize, tokenise, masks, scores, rows; expressions a second.

Generated photographs of 480 x 480 (JPEG) with polygons, in the refer layout, go through the same pass as in `refseg
evaluate`. In the network's place stands a stub that hands out logits of 120 x 120, most of them about right.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from refseg import datasets, protocols
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.config import Config
from refseg.evaluation.answers import answer
from refseg.evaluation.scoring import with_standard
from refseg.networks.network import Network, Output
from refseg.preprocessing.transform import photographs
from refseg.samples import Sample
from refseg.text.word_pieces import WordPieces
from timing import print_table

SIDE, GRID, CORNERS = 480, 120, 48
NOTHING, NOISE = -4.0, 0.05  # logits of an answer that there is nothing; without noise, sums of 16ths are often 0
RELEASES = ["lavt", "dmmi", "cmirnet", "cris", "vlt", "cmpc", "rela"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=300)
    arguments.add_argument("--expressions", type=int, default=7, help="of each image; RefCOCO val has 7.2")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), given.images, given.expressions)
        samples = datasets.build("refer", root=folder, split="val")
        logits = answers_to(samples)
        lines = []
        for names, workers in [([], 0), ([], 1), ([], 2), (["lavt"], 2), (["rela"], 2), (["cris"], 2), (RELEASES, 2)]:
            shown = "all" if names == RELEASES else ", ".join([*names, "standard"])
            lines.append([shown, str(workers), *measure(samples, logits, names, workers)])
    head = ["protocols", "workers", "expressions a second", "CPU ms an expression"]
    about = f"{given.images} generated images of {SIDE} x {SIDE}, {given.expressions} expressions each"
    print_table(f"Evaluator without network, {about}", head, lines)


def measure(samples: Sequence[Sample], logits: Tensor, names: list[str], workers: int) -> list[str]:
    """Expressions a second and what each costs the processors."""
    scoring = with_standard(protocols.build(name) for name in names)
    asked = checkpoint(logits)
    begin, busy = time.perf_counter(), time.process_time()
    images = answer(asked, samples, scoring, workers=workers)
    rows = sum(len(image.json()) > 0 and len(image.rows) for image in images)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    return [f"{rows / seconds:,.0f}", f"{1000 * busy / rows:.2f}"]


class Stub(Network):
    """Answers with the logits that it was given, one after the other."""

    config: Config

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.config, self.logits, self.asked = Config(), logits, 0
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def encode_image(self, image: Tensor) -> None:
        """Nothing."""

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """The tokens."""
        return tokens

    def fuse(self, image_features: None, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """The next logits."""
        self.asked += len(words)
        return self.answer(self.logits[self.asked - len(words) : self.asked])

    def loss(self, batch: object) -> dict[str, Tensor]:
        """None."""
        return {}


def answers_to(samples: Sequence[Sample]) -> Tensor:
    """Logits (M, 1, GRID, GRID) that are about right, a fifth of them about the next expression, a fifth of nothing."""
    truths = (torch.from_numpy(sample.mask(i)) for sample in samples for i in range(len(sample.expressions)))
    small = torch.stack([F.interpolate(t[None, None].float(), (GRID, GRID), mode="area")[0] for t in truths])
    logits = 10 * (small.roll(1, -1) - 0.5)
    logits[::5], logits[1::5] = logits.roll(-1, 0)[::5], NOTHING
    return logits + NOISE * torch.randn(logits.shape, generator=torch.manual_seed(0))


def checkpoint(logits: Tensor) -> Checkpoint:
    """The stub, with the preprocessing of the published networks and BERT's tokenizer."""
    return Checkpoint("stub", Stub(logits).eval(), WordPieces(), photographs(SIDE), Calibration())


def draw(folder: Path, images: int, expressions: int) -> None:
    """Photographs (smooth colours and noise, as large in JPEG as real ones) and a polygon for each expression."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    pictures, annotations, refs = [], [], []
    for image in range(images):
        smooth = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        noise = random.integers(-20, 21, (SIDE, SIDE, 1))
        file = f"{image:012d}.jpg"
        Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)).save(
            folder / "images" / file, quality=90
        )
        pictures.append({"id": image, "file_name": file, "height": SIDE, "width": SIDE})
        for k in range(expressions):
            number = image * expressions + k
            turns = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
            radius = random.uniform(30, 130) * random.uniform(0.8, 1.2, CORNERS)
            x, y = random.uniform(100, 380, 2)
            corners = np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], 1).clip(0, SIDE)
            polygon = [corners.ravel().round(2).tolist()]
            annotations.append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": polygon,
                    "bbox": [0, 0, SIDE, SIDE],
                    "area": 1,
                }
            )
            text = f"the {'red blue tall left small old white big'.split()[number % 8]} one behind the chair"
            sentence = {"sent_id": number, "sent": text, "raw": text, "tokens": text.split()}
            refs.append(
                {
                    "ref_id": number,
                    "image_id": image,
                    "ann_id": number,
                    "category_id": 1,
                    "split": "val",
                    "sentences": [sentence],
                    "sent_ids": [number],
                    "file_name": file,
                }
            )
    instances = {"images": pictures, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "instances.json").write_text(json.dumps(instances))
    (folder / "refs(own).json").write_text(json.dumps(refs))


if __name__ == "__main__":
    main()
