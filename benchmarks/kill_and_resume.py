"""Trainings that are killed (`kill -9` of every process) at random moments and resumed, beside one that never was.

A row says what was trained on how many processes, when it was killed, from which step it went on, and whether its
weights, its two checkpoints and its logged losses at the end are those of the run that was left alone, bit by bit.

python benchmarks/kill_and_resume.py --kills 20
"""

import argparse
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from ranks import finish, kill, start
from refseg import networks
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.export import export
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import Data, FileData, Group, Recipe, SceneData, Stage
from refseg.text.noun_phrases import noun_positions
from refseg.training import progress, run
from refseg.training.devices import Devices, Sharing

STEPS, STATE_EVERY, IMAGES = 14, 3, 4
BEGAN = "began"  # a file in the run's folder, from when it is about to train
CONFIG: dict[str, Any] = {  # tiny, with everything that is random in training
    "image_encoder": {
        "kind": "swin",
        "width": 8,
        "depths": (1, 1, 1, 1),
        "heads": (1, 1, 2, 2),
        "window": 2,
        "drop_path": 0.3,
    },
    "word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 32},
    "max_words": 24,
    "hidden": 16,
    "heads": 2,
    "feed_forward": 32,
    "dropout": 0.1,
}


def refer_folder(folder: Path, images: int = 13, of_validation: int = 3) -> Path:
    """A data set of files: drawn scenes in the refer layout, the last ones as split val."""
    folder.mkdir(parents=True)
    export(DrawnScenes("train", images, tier="easy"), folder)
    file = folder / "grefs(drawn).json"
    refs = json.loads(file.read_text())
    for ref in refs:
        ref["split"] = "val" if ref["image_id"] >= images - of_validation else "train"
    file.write_text(json.dumps(refs))
    return folder


def recipe(data: Data) -> Recipe:
    """A few steps of DMMI; an epoch of the files ends in the middle."""
    parts = ("image_encoder", "word_encoder", "fusion")
    stage = Stage(
        name="learn",
        groups={part: Group(lr=1e-3, weight_decay=0.02, clip=1) for part in parts},
        steps=STEPS,
        images=IMAGES,
        expressions_per_image=2,
        unknown_words=0.1,
        ema=0.9,
        validate_every=5,
    )
    return Recipe(name="tiny", network="dmmi", config=CONFIG, data=data, stages=(stage,), precision="32")


def read_beforehand() -> None:
    """What each process would read for itself: a tagger, and the libraries of encoders."""
    noun_positions("a word")
    networks.build("dmmi", CONFIG, vocabulary_size=3)


def train(trained: Recipe, out: Path, resume: bool, processes: int, strategy: Sharing = "ddp") -> None:
    """What a process does; its words go to a file, and nothing is calibrated."""
    run.export_weights = lambda out, *_: out  # type: ignore[assignment]
    progress.EVERY = 1  # logs every loss
    plain = run.StageLoop.run

    def begin(*arguments: Any, **keywords: Any) -> None:
        (out / BEGAN).touch()
        plain(*arguments, **keywords)

    run.StageLoop.run = begin  # type: ignore[method-assign]
    with (out.parent / f"{out.name}.log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        run.train(trained, out, resume, Devices(processes, accelerator="cpu", strategy=strategy), STATE_EVERY)


def traces(out: Path) -> Iterator[tuple[str, bytes]]:
    """What a run left and must be the same."""
    for name in ("state/learn", "last/model.safetensors", "best/model.safetensors"):
        yield name, (out / name).read_bytes()
    yield "losses", repr(losses(out)).encode()


def losses(out: Path) -> list[float]:
    """What a run logged, step by step, before and after it was resumed."""
    with (out / "logs" / "learn" / "metrics.csv").open() as log:
        return [float(row["train/loss"]) for row in csv.DictReader(log) if row["train/loss"]]


def wait_for(path: Path, seconds: float = 300) -> float:
    """Waits until a file is there; the time then.

    Raises:
        TimeoutError: if it does not come.
    """
    end = time.perf_counter() + seconds
    while not path.exists():
        if time.perf_counter() > end:
            raise TimeoutError(f"no {path} after {seconds:.0f} s")
        time.sleep(0.01)
    return time.perf_counter()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options.add_argument("--data", choices=["files", "scenes"], nargs="+", default=["files", "scenes"])
    options = options.parse_args()
    read_beforehand()
    rng, wrong = random.Random(options.seed), 0
    cases = [(data, processes) for processes in options.processes for data in options.data]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["REFSEG_CACHE"] = str(folder / "cache")
        files = FileData(
            dataset="refer",
            settings={"root": str(refer_folder(folder / "refer"))},
            item="image",
            preprocessing=Preprocessing(side=64),
            workers=2,
        )
        recipes = {"files": recipe(files), "scenes": recipe(SceneData(scenes=64, validation_scenes=4))}
        whole: dict[tuple[str, int], tuple[float, dict[str, bytes]]] = {}
        print(
            f"{'data':7} {'processes':>9} {'killed after':>12} {'of':>6} {'went on from step':>17}  the same in the end"
        )
        for number in range(options.kills):
            case = data, processes = cases[number % len(cases)]
            if case not in whole:
                out = folder / f"whole-{data}-{processes}"
                running = start(processes, train, recipes[data], out, False, processes)
                began = wait_for(out / BEGAN)
                assert not any(finish(running)), _end(out)
                whole[case] = time.perf_counter() - began, dict(traces(out))
            seconds, expected = whole[case]
            out, after = folder / f"killed-{number}", rng.uniform(0, seconds)
            running = start(processes, train, recipes[data], out, False, processes)
            wait_for(out / BEGAN)
            time.sleep(after)
            kill(running)
            steps = [int(path.stem.split("=")[1]) for path in (out / "state").glob("*.ckpt")]
            began_at = "finished" if (out / "state" / "learn").exists() else max(steps, default=0)
            resume = (out / "recipe.yaml").is_file()
            assert not any(finish(start(processes, train, recipes[data], out, resume, processes))), _end(out)
            differs = [name for name, content in traces(out) if content != expected[name]]
            wrong += bool(differs)
            said = ", ".join(differs) or "yes"
            print(f"{data:7} {processes:9} {after:10.1f} s {seconds:4.1f} s {began_at!s:>17}  {said}", flush=True)
    print(f"{options.kills - wrong} of {options.kills} runs ended as if they had never been killed")
    sys.exit(bool(wrong))


def _end(out: Path) -> str:
    return (out.parent / f"{out.name}.log").read_text()[-2000:]


if __name__ == "__main__":
    main()
