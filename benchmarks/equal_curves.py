"""One training on one process and on two, with the same images in every step: its losses are to be the same.

python benchmarks/equal_curves.py
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from kill_and_resume import losses, train
from ranks import finish, start
from refseg.recipes import find_recipe
from timing import print_table

RUNS = {"1 x 16": (1, "ddp"), "2 x 8, DDP": (2, "ddp"), "2 x 8, FSDP2": (2, "fsdp")}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--recipe", default="vlt_small")
    options.add_argument("--steps", type=int, default=30)
    options.add_argument("--scenes", type=int, default=480)
    options = options.parse_args()
    settings = [f"data.scenes={options.scenes}", "data.validation_scenes=2", f"stages.learn.steps={options.steps}"]
    settings += ["stages.learn.images=16", "stages.learn.expressions_per_image=1"]
    settings += ["stages.learn.frozen_batch_norm=true", f"stages.learn.validate_every={options.steps}"]
    recipe = find_recipe(options.recipe).with_settings(settings)
    curves = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["REFSEG_CACHE"] = str(Path(scratch) / "cache")
        for number, (name, (processes, strategy)) in enumerate(RUNS.items()):
            out = Path(scratch) / str(number)
            codes = finish(start(processes, train, recipe, out, False, processes, strategy), seconds=3600)
            assert not any(codes), out.with_suffix(".log").read_text()[-2000:]
            curves[name] = losses(out)
    one = curves["1 x 16"]
    worst = [f"{max(abs(a / b - 1) for a, b in zip(curve, one, strict=True)):.1e}" for curve in curves.values()]
    lines = [[str(step), *(f"{curve[step]:.6f}" for curve in curves.values())] for step in range(0, len(one), 5)]
    last = [str(len(one) - 1), *(f"{curve[-1]:.6f}" for curve in curves.values())]
    table = [*lines, last, ["largest relative difference of all steps", *worst]]
    print_table(f"Losses of {options.recipe}, 16 images a step", ["step", *RUNS], table)


if __name__ == "__main__":
    main()
