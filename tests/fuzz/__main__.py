"""Fuzzes every reader of the package: damaged copies of small sound inputs, each used in a child with limits.

python tests/fuzz [--cases N] [--seed N] [--target NAME ...]

It prints how many cases ended how, by target, and exits with 1 if any ended in another way than being answered or
refused in one line. The inputs of those are shrunk and kept in out/fuzz, from where they become tests.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from child import OUTCOMES, run_in_child
from mutate import mutate, mutate_opcodes
from shrink import shrink
from targets import TARGETS, Target, photograph, repack

FINE = ("ok", "refused")


def main() -> None:
    """Runs the cases and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for inputs that fail")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = options.target or list(TARGETS)
    rng, began = random.Random(options.seed), time.monotonic()
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    faults: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="refseg-fuzz-") as place:
        home = Path(place)
        for name in names:
            sound = home / "sound" / name
            sound.mkdir(parents=True)
            TARGETS[name].make(sound)
            _prepare(home / "case", sound)
            TARGETS[name].use(home / "case/data", home / "case/out")  # here, so that children need not import again
        chosen = rng.choices(names, [TARGETS[name].weight for name in names], k=options.cases)
        with suppress(KeyboardInterrupt):  # Ctrl-C prints the counts so far
            for number, name in enumerate(chosen):
                target, sound = TARGETS[name], home / "sound" / name
                files = sorted({file for pattern in target.files for file in sound.glob(pattern) if file.is_file()})
                file = rng.choice(files)
                damaged = _damage(file, rng)
                relative = file.relative_to(sound)
                outcome, what = _run(home / "case", target, sound, relative, damaged)
                counts[name][outcome] += 1
                if outcome in FINE or (key := f"{name}, {outcome}: {what}") in faults:
                    continue

                run = partial(_run, home / "case", target, sound, relative)
                small = (
                    damaged
                    if outcome in ("time", "crash")
                    else shrink(damaged, partial(_ends_as, run, (outcome, what)))
                )
                options.keep.mkdir(parents=True, exist_ok=True)
                kept = options.keep / f"{name.replace(' ', '-')}-{number}{file.suffix}"
                kept.write_bytes(small)
                faults[key] = f"{kept} ({len(small)} bytes, for {relative})"
                print(f"FAULT {key}\n      {faults[key]}", flush=True)
    _print(counts, time.monotonic() - began)
    sys.exit(1 if faults else 0)


def _ends_as(run: Callable[[bytes], tuple[str, str]], before: tuple[str, str], content: bytes) -> bool:
    return run(content) == before


def _damage(file: Path, rng: random.Random) -> bytes:
    content = file.read_bytes()
    if file.suffix in (".pth", ".pt") and content.startswith(b"PK") and rng.random() < 0.6:
        return repack(content, lambda part: mutate_opcodes(part, rng))
    return mutate(content, file.suffix, rng)


def _run(case: Path, target: Target, sound: Path, relative: Path, damaged: bytes) -> tuple[str, str]:
    """How a case ends: the sound input, with one file damaged."""
    _prepare(case, sound)
    (case / "data" / relative).write_bytes(damaged)
    return run_in_child(lambda: target.use(case / "data", case / "out"), case)


def _prepare(case: Path, sound: Path) -> None:
    """A new folder for a case: its data, a place for results, and a secret that a link of the data leads to."""
    shutil.rmtree(case, ignore_errors=True)
    os.environ["REFSEG_CACHE"] = str(case / "cache")
    shutil.copytree(sound, case / "data")
    (case / "out").mkdir()
    photograph(case / "secret/secret.png")
    (case / "data/link").symlink_to(case / "secret")


def _print(counts: dict[str, Counter[str]], seconds: float) -> None:
    rows = {**counts, "all": sum(counts.values(), Counter())}
    print(f"{'':20}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    for name, row in rows.items():
        print(f"{name:20}" + "".join(f"{row[outcome]:11,}" for outcome in OUTCOMES))
    print(f"{rows['all'].total():,} cases in {seconds:.0f} s")


if __name__ == "__main__":
    main()
