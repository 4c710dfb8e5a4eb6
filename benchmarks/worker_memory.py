"""Memory of the processes that read training data, over an epoch of a generated set of 100,000 expressions.

python benchmarks/worker_memory.py
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dataset_index import memory
from refseg.datasets import build
from refseg.encoders import build_tokenizer
from refseg.networks import configured
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import FileData, Stage
from refseg.training.data.file_batches import FileBatches
from timing import print_table

IMAGES, SENTENCES, SIDE, WORKERS, AT_ONCE = 5_000, 20, 32, 2, 100


def generate(folder: Path) -> None:
    """Writes a set in the refer layout whose images are all the same file and whose sentences all differ."""
    (folder / "images").mkdir()
    Image.new("RGB", (SIDE, SIDE)).save(folder / "images" / "grey.png")
    square = [8, 8, 24, 8, 24, 24, 8, 24]
    numbers = range(IMAGES)
    plain = {
        "images": [{"id": n, "file_name": "grey.png", "height": SIDE, "width": SIDE} for n in numbers],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "bbox": [8, 8, 16, 16], "segmentation": [square]}
            for n in numbers
        ],
        "categories": [{"id": 1, "name": "square"}],
    }
    (folder / "instances.json").write_text(json.dumps(plain))
    sentences = [
        [{"sent_id": SENTENCES * n + k, "sent": f"the square {k} to the left of {n}"} for k in range(SENTENCES)]
        for n in numbers
    ]
    refs = [{"ref_id": n, "image_id": n, "ann_id": n, "split": "train", "sentences": sentences[n]} for n in numbers]
    (folder / "refs(made).json").write_text(json.dumps(refs))


class Weighed(Dataset):
    """Batches, made and thrown away; what is handed on is the private memory of the process in MiB."""

    def __init__(self, batches: Any):
        self.batches = batches

    def __getitem__(self, part: int) -> tuple[int, float]:
        self.batches[part]
        return os.getpid(), memory("Private")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        samples = build("refer", split="train", root=scratch)
        data = FileData(dataset="refer", item="expression", preprocessing=Preprocessing(side=SIDE))
        stage = Stage(name="bench", groups={}, epochs=1, images=AT_ONCE, expressions_per_image=1)
        tokenizer = build_tokenizer(configured("dmmi", {}).word_encoder, 20, lambda: ())
        batches = FileBatches(samples, tokenizer, data, stage, (0, 0))
        parts = range(len(batches))
        loader = DataLoader(Weighed(batches), sampler=parts, batch_size=None, num_workers=WORKERS)
        weights = list(loader)
    every = len(parts) // 10
    rows = []
    for done in range(every, len(parts) + 1, every):
        latest = dict(weights[:done])  # of each process
        rows.append([f"{AT_ONCE * done:,}", *(f"{value:.1f}" for value in latest.values())])
    title = f"{WORKERS} workers, {IMAGES * SENTENCES:,} expressions, private MiB"
    print_table(title, ["expressions read", *(f"worker {number}" for number in range(WORKERS))], rows)


if __name__ == "__main__":
    main()
