"""Exported networks beside the eager one: times taken in turns, memory of a process of its own, equal mask pixels.

Presets have fresh weights and square images of their usual size, unless weights are given by name or folder. A row that
could not be exported says why.

python benchmarks/runtimes.py
python benchmarks/runtimes.py --weights selector lavt_small --to onnx openvino --repeats 10
python benchmarks/runtimes.py --weights lavt_swin_base --expressions 1 --repeats 3
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from refseg import load, networks
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.counting import counted
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import RefsegError
from refseg.export.export import export
from refseg.hardware import supports_bfloat16
from refseg.inference.segmenter import Segmenter
from refseg.inspection.costs import read_costs
from refseg.preprocessing.transform import Preprocessing
from timing import medians, print_table

SMALL = [f"{name}_small" for name in "cris eavl vlt lavt cmpc cmirnet dcmfnet dmmi".split()]
PEAK = """
import sys
from refseg import load
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.inspection.peak_memory import peak_memory
scene = DrawnScenes("test", count=1)[0]
load(sys.argv[1], precision=sys.argv[2])(scene.image, [one.text for one in scene.expressions][:int(sys.argv[3])])
print(peak_memory() / 1e6)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--weights", nargs="+", default=["selector", *SMALL])
    arguments.add_argument("--to", nargs="+", default=["onnx", "openvino"])
    arguments.add_argument("--expressions", type=int, default=16)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    scene = DrawnScenes("test", count=1)[0]
    texts = [one.text for one in scene.expressions][: given.expressions]
    lines = []
    for name in given.weights:
        with tempfile.TemporaryDirectory() as folder:
            weights = fresh(name, Path(folder) / name) if name in networks.PRESETS else name
            cases, why = {"eager": (weights, "f32")}, {}
            if supports_bfloat16():
                cases["eager bf16"] = (weights, "bf16")
            for to in given.to:
                try:
                    cases[to] = str(export(weights, to, Path(folder) / to).folder), "f32"
                except RefsegError as error:
                    why[to] = str(error)
            loaded = {case: load(place, precision=precision) for case, (place, precision) in cases.items()}
            asked = {case: partial(one, scene.image, texts) for case, one in loaded.items()}
            seconds, masks = medians(asked, given.repeats), {case: answer(one) for case, one in asked.items()}
            for case, (place, precision) in cases.items():
                equal = (masks[case] == masks["eager"]).mean()
                ratio = seconds[case] / seconds["eager"]
                cells = (
                    f"{1000 * seconds[case]:.1f}",
                    f"{ratio:.2f}",
                    f"{100 * equal:.3f}",
                    peak(place, precision, len(texts)),
                )
                lines.append([f"`{name}`, {case}", *cells])
            lines += [[f"`{name}`, {case}", reason, "", "", ""] for case, reason in why.items()]
    title = f"An image with {counted(len(texts), 'expression')}, median of {given.repeats}, in turns"
    print_table(title, ["", "ms", "x eager", "equal pixels, %", "peak memory, MB"], lines)


def fresh(preset: str, folder: Path) -> str:
    """Saves a preset with fresh weights, which knows drawn scenes' words and squashes images to its usual size."""
    known = load_checkpoint("selector")
    network = networks.build(preset, networks.configured(preset, {}), len(known.tokenizer)).eval()
    name = next(name for name, made in networks.NETWORKS.items() if networks.network_class(name) is type(network))
    squashed = Preprocessing(resize="square", side=read_costs(preset)["image_size"])
    save_checkpoint(Checkpoint(name, network, known.tokenizer, squashed, known.calibration, knows=known.knows), folder)
    return str(folder)


def answer(ask: "partial[Segmenter]") -> np.ndarray:
    """Returns the masks of all expressions."""
    return np.stack([result.mask for result in ask()])


def peak(weights: str, precision: str, expressions: int) -> str:
    """Returns the largest memory of a process that answers the same, in MB."""
    command = [sys.executable, "-c", PEAK, weights, precision, str(expressions)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{float(done.stdout.splitlines()[-1]):.0f}"


if __name__ == "__main__":
    main()
