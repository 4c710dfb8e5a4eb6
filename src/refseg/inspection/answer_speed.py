"""How fast weights answer on this machine: in a new process, and in one that has loaded them.

Each case is measured in turn with the others, so that a busy machine is busy for all of them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from refseg.array_types import RgbImage
from refseg.checkpoints import bundled
from refseg.counting import counted
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, RefsegError
from refseg.evaluation.report.provenance import weights_facts
from refseg.hardware import check_device, choose_device, describe_hardware, versions
from refseg.inference.exported_segmenter import load_exported
from refseg.inference.segmenter import load
from refseg.inspection.peak_memory import peak_memory
from refseg.preprocessing.images import read_image
from refseg.progress import Progress, no_progress
from refseg.runtimes import RUNTIMES

COUNTS = 1, 4, 16  # of expressions about an image
COLD, LOADED = "a new process", "loading the weights"
SEGMENT = "-m", "refseg", "segment"  # arguments of Python
MEGABYTE = 10**6
POLL_SECONDS = 0.004  # between two looks at a process


@dataclass(frozen=True)
class AnswerSpeed:
    """How fast weights answer.

    Attributes:
        facts: what was measured, by name, as text.
        seconds: of each case, in the order of the runs.
        memory_bytes: largest memory of the new processes; None where the system does not tell.
    """

    facts: Mapping[str, str]
    seconds: Mapping[str, Sequence[float]]
    memory_bytes: int | None

    @property
    def markdown(self) -> str:
        """The facts and a table of medians, in Markdown."""
        lines = [f"* {name}: {value}" for name, value in self.facts.items()]
        lines += ["", "| | median | fastest | slowest | runs |", "|---|---:|---:|---:|---:|"]
        for name, some in self.seconds.items():
            cells = (_readable(value) for value in (statistics.median(some), min(some), max(some)))
            lines.append(f"| {name} | {' | '.join(cells)} | {len(some)} |")
        if self.memory_bytes:
            lines.append(f"| memory of a new process, at most | {self.memory_bytes / MEGABYTE:,.0f} MB | | | |")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Returns facts, seconds and memory for JSON."""
        seconds = {name: list(some) for name, some in self.seconds.items()}
        return {"facts": dict(self.facts), "seconds": seconds, "memory_bytes": self.memory_bytes}


def measure_answers(
    weights: str = bundled.FOR_IMAGES,
    *,
    image: Any = None,
    expressions: Sequence[str] = (),
    device: str = "auto",
    precision: str = "f32",
    threads: int | None = None,
    runs: int = 20,
    cold_runs: int = 3,
    progress: Progress = no_progress,
) -> AnswerSpeed:
    """Measures how fast weights answer about an image.

    Args:
        weights: a bundled name, a checkpoint folder, a hub id, or an open model.
        image: anything that `read_image` reads; a drawn scene if not given.
        expressions: about it, which are repeated where more are needed; sentences about drawn scenes if not given.
        device: of the network: "cpu", "cuda", or "auto" for a GPU if there is one.
        precision: of the network's arithmetic: "f32", "bf16" or "auto".
        threads: of the processor; as many as torch takes if not given.
        runs: of each case in this process, after one that is not counted.
        cold_runs: of `refseg segment` in a new process, the first of which is counted, too; 0 leaves them out.
        progress: shows progress, as `refseg.commands.progress.progress`.

    Raises:
        MissingFile, InvalidInput: if weights or image cannot be read, or do not fit each other.
    """
    if runs < 1:
        raise InvalidInput(f"{counted(runs, 'run')} tell nothing; give at least 1")
    device = choose_device(device)
    check_device(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        scenes = DrawnScenes("test", count=1)
        pixels = scenes[0].image if image is None else read_image(image)
        known = expressions or [one.text for one in scenes[0].expressions]
        asked = list(islice(cycle(known), max(COUNTS)))
        seconds: dict[str, list[float]] = {COLD: [], LOADED: []}
        memory = 0
        options = "--device", device, "--precision", precision
        exported = load_exported(weights, device, precision)
        with progress(cold_runs + runs, of="runs") as advance:
            for _ in range(cold_runs):
                taken, peak = _answer_in_new_process(weights, pixels, asked[0], options, torch.get_num_threads())
                seconds[COLD].append(taken)
                memory = max(memory, peak)
                advance(1)
            begin = time.perf_counter()
            segmenter = load(weights, device, precision=precision)
            seconds[LOADED].append(time.perf_counter() - begin)
            (encoded,) = segmenter.encode([pixels])
            cases: dict[str, Callable[[], object]] = {
                f"an image and {counted(count, 'expression')}": partial(segmenter, pixels, asked[:count])
                for count in COUNTS
            }
            cases[f"{counted(max(COUNTS), 'expression')} about an encoded image"] = partial(segmenter, encoded, asked)
            _run_in_turns(cases, runs, seconds, advance)
        facts = {
            "weights": f"{weights}, sha256 {weights_facts(weights)['sha256'][:12]}",
            "image": f"{pixels.shape[1]} x {pixels.shape[0]}{', a drawn scene' if image is None else ''}",
            "on": f"{device}: {describe_hardware(device)}",
            "precision": segmenter.checkpoint.precision,
            "versions": versions(),
        }
        if exported and cold_runs:
            facts[COLD] = f"answers by {RUNTIMES[exported.graphs.entry.name][1]}, without torch"
    finally:
        torch.set_num_threads(before)
    return AnswerSpeed(facts, {name: some for name, some in seconds.items() if some}, memory or None)


def _run_in_turns(
    cases: Mapping[str, Callable[[], object]],
    runs: int,
    seconds: dict[str, list[float]],
    advance: Callable[[int], None],
) -> None:
    for number in range(runs + 1):
        for name, run in cases.items():
            begin = time.perf_counter()
            run()
            if number:
                seconds.setdefault(name, []).append(time.perf_counter() - begin)
        advance(min(number, 1))


def _answer_in_new_process(
    weights: str, pixels: RgbImage, expression: str, options: Sequence[str], threads: int
) -> tuple[float, int]:
    """Runs `refseg segment`; returns its seconds and its largest memory in bytes, 0 where that is not told.

    Args:
        weights: what answers.
        pixels: the image.
        expression: the one expression.
        options: others, of device and precision.
        threads: of the processor.

    Raises:
        RefsegError: if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "image.png", Path(folder) / "out"
        Image.fromarray(pixels).save(file)
        command = [sys.executable, *SEGMENT, str(file), expression, "--weights", weights]
        command += [*options, "--out", str(out)]
        with (Path(folder) / "log").open("w+", encoding="utf-8") as log:
            begin = time.perf_counter()
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
            )
            try:
                code, memory = _wait(process)
            except BaseException:  # Ctrl-C, after which nobody waits for it
                process.kill()
                process.wait()
                raise
            seconds = time.perf_counter() - begin
            log.seek(0)
            if code:
                told = log.read().strip().splitlines()
                raise RefsegError(f"refseg segment ended with code {code}: {told[-1] if told else 'it said nothing'}")
    return seconds, memory


def _wait(process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Returns exit code and largest memory in bytes of a process that is waited for; memory 0 if that is not told."""
    memory = 0
    while process.poll() is None:
        memory = max(memory, peak_memory(process.pid))
        time.sleep(POLL_SECONDS)
    return process.returncode, memory


def _readable(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
