"""A generated set of RefCOCO's full size: time and memory of its first indexing, of opening it, and of its workers.

And the time of `refseg data stats` and `refseg data check`, without photographs.

python benchmarks/dataset_index.py [--folder DIR]    the files (about 180 MB) are kept in DIR, else they are temporary
"""

import argparse
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timing import print_table

WORKERS = 8
EVERY = 25  # one mask of so many samples is drawn
WORDS = "the left right man woman in red blue shirt cup on top of table giraffe near front white second from".split()


@dataclass(frozen=True)
class Sizes:
    """How much is generated."""

    images: int = 19_994
    annotations: int = 196_771
    refs: int = 50_000
    train_refs: int = 42_404
    expressions: int = 142_210


FULL, TINY = Sizes(), Sizes(images=30, annotations=90, refs=60, train_refs=40, expressions=150)


def generate(folder: Path, sizes: Sizes) -> None:
    """Writes instances.json and refs(unc).p with COCO's mean numbers of polygons and points."""
    rng = np.random.default_rng(0)
    of_image = np.sort(rng.integers(0, sizes.images, sizes.annotations))
    images = [
        {
            "id": number,
            "file_name": f"COCO_train2014_{number:012d}.jpg",
            "height": 480,
            "width": 640,
            "license": 1,
            "coco_url": f"http://images.cocodataset.org/train2014/COCO_train2014_{number:012d}.jpg",
            "flickr_url": "http://farm1.staticflickr.com/94/241612385_d9e5b891ed_z.jpg",
            "date_captured": "2013-11-14 17:02:52",
        }
        for number in range(sizes.images)
    ]
    annotations = []
    for number, image in enumerate(of_image.tolist()):
        polygons = []
        for _ in range(1 + (rng.random() < 0.2)):
            angles = np.sort(rng.random(6 + rng.poisson(20))) * 2 * np.pi
            centre, radius = rng.random(2) * (500, 350) + 60, 10 + rng.random() * 90
            points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
            polygons.append(points.round(2).reshape(-1).tolist())
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "area": 1234.5,
                "bbox": [10.5, 20.25, 30.0, 40.75],
                "segmentation": polygons,
            }
        )
    (folder / "instances.json").write_text(
        json.dumps({"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": []})
    )
    refs, sentence = [], 0
    chosen = np.sort(rng.choice(sizes.annotations, sizes.refs, replace=False))
    for number, target in enumerate(chosen.tolist()):
        count = sizes.expressions // sizes.refs + (number < sizes.expressions % sizes.refs)
        sentences = []
        for _ in range(count):
            tokens = [str(word) for word in rng.choice(WORDS, 1 + rng.poisson(2.6))]
            sent = " ".join(tokens)
            sentences.append({"sent_id": sentence, "raw": sent.capitalize() + ".", "sent": sent, "tokens": tokens})
            sentence += 1
        image = int(of_image[target])
        refs.append(
            {
                "ref_id": number,
                "ann_id": target,
                "image_id": image,
                "category_id": 1,
                "split": "train" if number < sizes.train_refs else "val",
                "file_name": f"COCO_train2014_{image:012d}_{number}.jpg",
                "sent_ids": [one["sent_id"] for one in sentences],
                "sentences": sentences,
            }
        )
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))


def memory(kind: str, file: str = "smaps_rollup") -> float:
    """MiB of this process: of status VmRSS or VmHWM (the highest), of smaps_rollup Pss or Private."""
    lines = Path("/proc/self", file).read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def open_once(folder: Path) -> None:
    """Prints the seconds of opening, the memory before it, and the highest and last memory after it."""
    import torch  # noqa: F401, what every user of the data has imported

    from refseg.datasets.refcoco import RefCOCO

    before = memory("VmRSS", "status")
    begin = time.perf_counter()
    data = RefCOCO("all", root=folder)
    seconds = time.perf_counter() - begin
    print(json.dumps([data.expression_count, seconds, before, memory("VmHWM", "status"), memory("VmRSS", "status")]))


def work(data, start, done, results) -> None:
    """A worker that reads all expressions and some masks; puts its memory before and after, and the seconds."""
    start.wait()
    before = memory("Private"), memory("Pss:")
    letters = drawn = 0
    begin = time.perf_counter()
    for number, sample in enumerate(data):
        letters += sum(len(expression.text) for expression in sample.expressions)
        if number % EVERY == 0:
            drawn += int(sample.mask(0).any())
    seconds = time.perf_counter() - begin
    done.wait()
    results.put((*before, memory("Private"), memory("Pss:"), seconds))
    done.wait()  # nobody leaves before all have measured


def measure(folder: Path, sizes: Sizes) -> None:
    from refseg.datasets.refcoco import RefCOCO

    def opened() -> list[float]:
        command = [sys.executable, __file__, "--folder", str(folder), "--open"]
        count, *figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert count == sizes.expressions
        return figures

    cache = folder / ".refseg"
    for file in cache.glob("*"):
        file.unlink()
    first, second = opened(), opened()
    mebibytes = {file.name: file.stat().st_size / 2**20 for file in (*folder.glob("*.*"), *cache.glob("*"))}
    rows = [
        [what, f"{seconds:.2f} s", f"{highest - before:.0f} MiB", f"{after - before:.0f} MiB"]
        for what, (seconds, before, highest, after) in (("first, indexing", first), ("from the index", second))
    ]
    print(", ".join(f"{name} {size:.0f} MiB" for name, size in mebibytes.items() if size), end="\n\n")
    title = f"Opening {sizes.images:,} images, {sizes.refs:,} refs, {sizes.expressions:,} expressions"
    print_table(title, ["", "time", "peak memory above imports", "memory kept"], rows)

    data = RefCOCO("all", root=folder)
    context = multiprocessing.get_context("fork")  # as torch's DataLoader starts workers on Linux
    start, done, results = context.Barrier(WORKERS), context.Barrier(WORKERS), context.Queue()
    workers = [context.Process(target=work, args=(data, start, done, results)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    found = np.array([results.get() for _ in workers])
    for worker in workers:
        worker.join()
    private0, pss0, private1, pss1, seconds = found.max(0).tolist()
    rows = [
        ["before reading", f"{private0:.1f} MiB", f"{pss0:.1f} MiB"],
        [f"after, {seconds:.0f} s", f"{private1:.1f} MiB", f"{pss1:.1f} MiB"],
    ]
    title = f"{WORKERS} workers that each read all expressions and {sizes.images // EVERY:,} masks; the largest of them"
    print_table(title, ["", "private memory", "private and its part of what is shared"], rows)

    commands = "data stats refcoco --split all", "data check refcoco --fast", "data check refcoco"
    rows = [[f"refseg {command}", f"{seconds_of(command, folder):.1f} s"] for command in commands]
    print_table("Commands, from the index", ["", "time"], rows)


def seconds_of(command: str, folder: Path) -> float:
    """Seconds of a command of refseg about the data in the folder."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "refseg", *command.split(), "--root", folder], capture_output=True)
    assert done.returncode in (0, 1), done.stderr  # 1: images are missing
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tiny", action="store_true", help="a set of 30 images")
    parser.add_argument("--open", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        return open_once(options.folder)
    sizes = TINY if options.tiny else FULL
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "refs(unc).p").exists():
            generate(folder, sizes)
        measure(folder, sizes)


if __name__ == "__main__":
    main()
