"""The first steps of trainings: loss, seconds of one core a step, peak memory; no validation.

python benchmarks/first_steps.py FOLDER   (full size, on a data set in the refer layout, with photographs)
python benchmarks/first_steps.py --recipes cris_small --set precision=bf16   (recipes on drawn scenes, as they are)
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from refseg.inspection.peak_memory import peak_memory
from refseg.recipes import find_recipe
from refseg.recipes.recipe import Recipe
from refseg.training import run
from refseg.training.devices import Devices
from timing import print_table

RECIPES = {  # with what is not as in `shortened`
    "cmpc_refcoco": [],
    "cmirnet_refcoco_resnet50": [],
    "eavl_refcoco": ["stages.learn.images=2"],  # it has a batch norm over sentences
    "dmmi_refcoco": [],
    "dcmfnet_refcoco_resnet101": ["stages.learn.images=2", "activation_checkpointing=true"],  # and it over pooled maps
}


def shortened(name: str, folder: str | None, count: int, steps: int, settings: list[str]) -> Recipe:
    """A paper's recipe with random initial weights, one image a step, a constant rate; as it is if no folder."""
    if folder is None:
        return find_recipe(name).with_settings([f"stages.learn.steps={steps}", *settings])
    own = [
        f"data.settings={{root: {folder}, grefs: false, count: {count}}}",
        "data.dataset=refer",
        "data.workers=0",
        "initial={}",
    ]
    own += [f"stages.learn.steps={steps}", "stages.learn.epochs=null", "stages.learn.images=1"]
    own += ["stages.learn.schedule={kind: constant}", "precision=32", *RECIPES.get(name, [])]
    return find_recipe(name).with_settings([*own, *settings])


def train(recipe: Recipe, results: Connection) -> None:
    """What a process does; sends the loss and the seconds of each step, then its peak memory in GiB."""
    since = time.process_time()

    plain = run.StageLoop.train_step

    def step(loop: run.StageLoop, parts: Iterator[Any]) -> Any:
        nonlocal since
        losses, amount = plain(loop, parts)
        now = time.process_time()
        results.send((float(losses["loss"]), now - since))
        since = now
        return losses, amount

    run.StageLoop.train_step = step  # type: ignore[method-assign]
    run.Run.validate = lambda *_: True  # type: ignore[method-assign]
    run.export_weights = lambda out, *_: out  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as out:
        run.train(recipe, Path(out) / "run", False, Devices(accelerator="cpu"))
    results.send(peak_memory() / 2**30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--count", type=int, default=8, help="photographs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    if options.folder is None and options.recipes is RECIPES:
        parser.error("name a folder of photographs, or recipes that need none: --recipes cris_small")
    rows = []
    for name in options.recipes:
        recipe = shortened(name, options.folder, options.count, options.steps, options.set)
        results, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=train, args=(recipe, theirs))
        process.start()
        theirs.close()
        losses, seconds = [], []
        for step in range(options.steps):
            loss, duration = results.recv()
            losses.append(loss)
            seconds.append(duration)
            print(f"{name} step {step} loss {loss:.4f} {duration:.2f} s", flush=True)
        peak = results.recv()
        process.join()
        means = (f"{statistics.mean(five):.3f}" for five in (losses[:5], losses[-5:]))
        rows.append([f"`{name}`", *means, f"{statistics.median(seconds[1:]):.2f}", f"{peak:.1f}"])
    head = ["recipe", "mean of the first five losses", "of the last five", "s of one core a step, median", "peak GiB"]
    print_table("First steps", head, rows)


if __name__ == "__main__":
    main()
