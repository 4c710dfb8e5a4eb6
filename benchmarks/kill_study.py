"""A study that is killed (`kill -9` of every process) at random moments and begun again, beside one that never was.

A line for each kill says after how many seconds it came and what the study had said last; at the end stands whether all
answers and figures are those of the study that was left alone, but for rounding and the seconds that they took.

python benchmarks/kill_study.py eavl_table4 --rows 1,4 --set stages.learn.steps=60 --kills 10
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from refseg.evaluation.rows import ROWS
from refseg.studies.write import STUDY_FILE
from timing import print_table

ROUNDING = 1e-6
TIMED = "seconds"  # the one field of an answer that may differ


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study")
    arguments.add_argument("--rows", default="")
    arguments.add_argument("--set", action="append", default=[])
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    choose = random.Random(given.seed)
    settings = [word for one in given.set for word in ("--set", one)]
    command = [sys.executable, "-m", "refseg", "study", given.study, "--small", "--device", "cpu", *settings]
    command += ["--rows", given.rows] if given.rows else []
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        begin = time.monotonic()
        run([*command, "--out", str(alone)], Path(folder) / "log")
        whole = time.monotonic() - begin
        lines = []
        for number in range(1, given.kills + 1):
            seconds = choose.uniform(0.05, 1) * whole / 3  # so that it goes on between two kills
            last = run([*command, "--out", str(killed)], Path(folder) / "log", seconds)
            lines.append([str(number), f"{seconds:.0f}", last])
            if last == "it had ended":
                break
        run([*command, "--out", str(killed)], Path(folder) / "log")
        same = (
            [answers(one / given.study) for one in (alone, killed)],
            [figures(one / given.study) for one in (alone, killed)],
        )
    about = f"{given.study}, rows {given.rows or 'all'}, {' '.join(given.set)}; {whole:.0f} s without a kill"
    print_table(f"A study that is killed: {about}", ["kill", "after seconds", "had said last"], lines)
    differ = False
    for name, (one, other) in zip(("answers", "figures"), same, strict=True):
        difference = first_difference(one, other)
        print(f"{name}: {f'DIFFERENT, {difference}' if difference else 'the same'} ({len(one)})")
        differ |= bool(difference)
    if differ:
        raise SystemExit(1)


def run(command: list[str], log: Path, seconds: float | None = None) -> str:
    """Runs a command to its end, or kills it with its children after so many seconds; returns what it said last."""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            said = [line for line in log.read_text(encoding="utf-8").replace("\r", "\n").splitlines() if line.strip()]
            return said[-1][:100] if said else "nothing"
    if code:
        raise SystemExit(f"{' '.join(command)} ended with code {code}:\n{log.read_text(encoding='utf-8')}")
    return "it had ended"


def answers(study: Path) -> dict[str, Any]:
    """Returns the answers of a study by file, without the seconds that they took."""
    found: dict[str, Any] = {}
    for file in sorted((study / "rows").rglob(ROWS)):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found[str(file.relative_to(study))] = [{k: v for k, v in row.items() if k != TIMED} for row in rows]
    return found


def figures(study: Path) -> dict[str, Any]:
    """Returns the figures of the rows of a study."""
    noted = json.loads((study / STUDY_FILE).read_text(encoding="utf-8"))
    return {row["label"]: (row["values"], row["oIoU_by_type"]) for row in noted["rows"] if row["values"]}


def first_difference(one: Any, other: Any) -> str:
    """Returns where two values first differ, and how; "" if they do not, but for rounding.

    An evaluation that goes on has other images together in its batches, and sums of floats depend on that.
    """
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() ^ other.keys():
            return f"{key}: in one of them only"
        for key in one:
            if difference := first_difference(one[key], other[key]):
                return f"{key}: {difference}"
        return ""
    if isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, abs_tol=ROUNDING):
        return ""
    return "" if one == other else f"{one!r} and {other!r}"


if __name__ == "__main__":
    main()
