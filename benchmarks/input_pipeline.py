"""Images a second of the batches that training reads from files, and what each part of a batch costs.

python benchmarks/input_pipeline.py FOLDER   (a data set in the refer layout, with photographs)
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from refseg.datasets import build
from refseg.encoders import build_tokenizer
from refseg.hardware import describe_hardware, versions
from refseg.networks import configured
from refseg.preprocessing.transform import photographs
from refseg.recipes.recipe import FileData, Stage
from refseg.training.data.file_batches import FileBatches, Items, place_mask

SIDE, IMAGES, EXPRESSIONS = 480, 8, 1


class Many:
    """A data set's expressions again and again, about so many images, as `Items` reads one."""

    prefix = ""

    def __init__(self, samples: Any, numbers: np.ndarray, ends: np.ndarray):
        self.index, self.text, self.by_image, self.indexed_parts = samples.index, samples.text, (numbers, ends), [self]

    def __len__(self) -> int:
        return len(self.by_image[1]) - 1


def rate(number: int, work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Things a second of some work on so many; by default a second of this process, whatever else runs beside it."""
    began = clock()
    work()
    return number / (clock() - began)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder")
    options.add_argument("--images", type=int, default=48)
    options.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    options = options.parse_args()
    torch.set_num_threads(1)
    samples = build("refer", split="all", root=options.folder, grefs=False)
    data = FileData(dataset="refer", preprocessing=photographs(SIDE), item="image")
    tokenizer = build_tokenizer(configured("dmmi", {}).word_encoder, 20, lambda: ())
    stage = Stage(name="bench", groups={}, epochs=1, images=IMAGES, expressions_per_image=EXPRESSIONS)
    chosen = [samples[number] for number in range(min(options.images, len(samples)))]
    count = len(chosen)
    print(f"{describe_hardware()}; {versions()}; {count} photographs at {SIDE} x {SIDE}\n")
    print("| part | images/s of one core |\n| --- | ---: |")
    results = {
        "decode": rate(count, lambda: [sample.image for sample in chosen]),
        "resize and normalise": rate(count, lambda: [data.preprocessing(sample.image) for sample in chosen]),
        "draw a mask": rate(count, lambda: [sample.mask(0) for sample in chosen]),
    }
    ready = [(sample.mask(0), data.preprocessing.geometry(sample.size_hw)) for sample in chosen]
    results["place a mask"] = rate(count, lambda: [place_mask(*each, "nearest") for each in ready])
    texts = [sample.expressions[0].text for sample in chosen]
    results["tokenise"] = rate(count, lambda: list(map(tokenizer.ids, texts)))
    for name, value in results.items():
        print(f"| {name} | {value:.0f} |")
    for workers in options.workers:
        batches = FileBatches(samples, tokenizer, data, stage, (0, 0))
        loader = DataLoader(
            batches,
            sampler=range(count // IMAGES + 2),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=2 if workers else None,
        )
        reader = iter(loader)
        next(reader), next(reader)  # workers have started
        clock = time.perf_counter if workers else time.process_time  # workers are other processes
        value = rate((count // IMAGES) * IMAGES, lambda reader=reader: [batch for batch in reader], clock)
        print(f"| whole batches, {workers} workers | {value:.1f} |")
    numbers = np.resize(samples.by_image[0], 142_000)
    ends = np.linspace(0, len(numbers), 20_001).astype(np.int64)
    seconds = 1 / rate(1, lambda: Items(Many(samples, numbers, ends), "referent"))
    print(f"\nitems of {len(numbers):,} expressions about {len(ends) - 1:,} images: {seconds:.2f} s")


if __name__ == "__main__":
    main()
