"""`refseg segment --manifest`: what it costs beside the network, and whether no row is lost or answered twice.

Parts, each of which `--parts` can leave out:
overhead  a manifest of a million rows and an answer that takes no time (`--wait` gives it some): memory at a tenth and
          at the end, seconds until the first row is asked, microseconds a row; a kill at nine tenths, and the restart
kills     small images and the bundled weights on two workers, of which one is killed at random moments and started
          again; every row must be there once, with the answer of a call for its image alone; images/s beside such calls

python benchmarks/manifests.py
python benchmarks/manifests.py --parts overhead --kind folder --rows 100000
python benchmarks/manifests.py --tiny

The exit code is 1 if a row is missing, there twice, or answered otherwise.
"""

import argparse
import io
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.manifests.job import Job
from refseg.manifests.plan import make_plan
from refseg.manifests.rows import Row
from refseg.manifests.run_pieces import PieceRunner, pieces_left
from refseg.manifests.share import find_share
from timing import print_table

KINDS = "jsonl", "csv", "parquet", "folder", "shards"
PARTS = "overhead", "kills"
SHARD_IMAGES = 10_000
EXPRESSIONS = "the red square", "both circles"
SIDE, DIFFERENT = 64, 20  # pixels of the small images, and how many different ones there are
ALONE = 200  # calls for images alone that are timed


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--kind", choices=KINDS, default="jsonl")
    arguments.add_argument("--piece-size", type=int, default=1000)
    arguments.add_argument("--wait", type=float, default=0.0, help="milliseconds of the answer to a row")
    arguments.add_argument("--images", type=int, default=10_000, help="of part kills")
    arguments.add_argument("--kills", type=int, default=5)
    arguments.add_argument("--between", type=float, nargs=2, default=(20, 90), help="seconds between two kills")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--tiny", action="store_true", help="everything at a tiny size")
    arguments.add_argument("--no-weights", action="store_true", help="an answer that only waits in part kills, too")
    arguments.add_argument("--share", default="1/1", help=argparse.SUPPRESS)
    arguments.add_argument("--worker", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.worker:
        return work(given)
    if given.tiny:
        given.rows, given.piece_size, given.images, given.kills, given.between = 400, 20, 12, 1, (1, 2)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        if "overhead" in given.parts:
            overhead(given, Path(folder))
        if "kills" in given.parts:
            wrong = kills(given, Path(folder))
    if wrong:
        sys.exit("\n".join(wrong))


def overhead(given: argparse.Namespace, folder: Path) -> None:
    """Runs a worker to nine tenths, kills it, starts it again, and prints what it said."""
    begin = time.monotonic()
    place = write_manifest(given.kind, given.rows, folder)
    written = time.monotonic() - begin
    first = run_worker(given, place, folder / "out", stop=0.9)
    again = run_worker(given, place, folder / "out", stop=None)
    pieces = [*first["pieces"], *again["pieces"]]
    tenth = next(piece for piece in first["pieces"] if piece["done"] >= given.rows / 10)
    last = first["pieces"][-1]
    answered = sum(piece["rows"] for piece in pieces)
    seconds = last["seconds"] - first["started"]
    lines = [
        ["seconds until the first row is asked, the start of Python among them", f"{first['started']:.1f}"],
        ["memory at a tenth, MB", f"{tenth['megabytes']:.0f}"],
        ["memory at nine tenths, MB", f"{last['megabytes']:.0f}"],
        ["microseconds a row, the answer among them: passed", f"{1e6 * seconds / max(last['done'], 1):.0f}"],
        ["the same: of the processor", f"{1e6 * last['processor'] / max(last['done'], 1):.0f}"],
        ["after `kill -9` at nine tenths: seconds until the first row is asked", f"{again['started']:.1f}"],
        ["memory at the end, MB", f"{again['pieces'][-1]['megabytes']:.0f}"],
        ["rows answered twice, of a piece that was killed", f"{answered - given.rows:,}"],
        ["seconds to write the manifest", f"{written:.1f}"],
    ]
    title = f"{given.rows:,} rows, {given.kind}, pieces of {given.piece_size:,}, an answer of {given.wait:g} ms"
    print_table(title, ["figure", "measured"], lines)


def run_worker(given: argparse.Namespace, place: str, out: Path, stop: float | None) -> dict[str, Any]:
    """Runs a worker until a part of all rows is done, then kills it; returns what it said."""
    options = ["--rows", given.rows, "--piece-size", given.piece_size, "--wait", given.wait, "--kind", given.kind]
    told: dict[str, Any] = {"pieces": []}
    begin = time.monotonic()
    command = [sys.executable, __file__, "--worker", json.dumps([place, str(out)]), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            said = json.loads(line)
            if "started" in said:
                told["started"] = time.monotonic() - begin
                continue
            told["pieces"].append({**said, "seconds": time.monotonic() - begin})
            if stop is not None and said["done"] >= stop * given.rows:
                process.kill()
                break
    return told


def work(given: argparse.Namespace) -> None:
    """A worker with an answer that only waits; it says what it has done, and its memory."""
    place, out = json.loads(given.worker)
    asked = () if given.kind in ("jsonl", "csv", "parquet") else ("the cup",)
    store, manifest = Job(place, out, asked).open()
    manifest.check()
    plan = make_plan(manifest, store, given.piece_size, {"weights": "none"})
    share = find_share(given.share)
    left = pieces_left(plan, plan.done(store), range(share.rank, plan.pieces.count, share.world))
    started, before = False, 0.0

    def answer(rows: Iterable[Row], folder: Path) -> Iterator[dict[str, Any]]:
        nonlocal started, before
        for row in rows:
            if not started:
                started, before = True, time.process_time()
                print(json.dumps({"started": True}), flush=True)
            if given.wait:
                time.sleep(given.wait / 1000)
            yield {"row": row.number, "image": row.image, **row.columns, "results": []}

    runner = PieceRunner(plan, manifest, store, answer)
    size = SHARD_IMAGES if given.kind == "shards" else given.piece_size
    done = (plan.pieces.count - len(left)) * size
    for piece in left:
        told = runner.run(piece)
        if told is None:  # another worker has it
            continue
        done += told.rows
        spent = time.process_time() - before
        print(json.dumps({"done": done, "rows": told.rows, "megabytes": megabytes(), "processor": spent}), flush=True)


def megabytes() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def write_manifest(kind: str, rows: int, folder: Path) -> str:
    """Writes a manifest of images that are not there, or of images of no content; returns its path."""
    about = ({"image": f"photos/{k // 1000:06d}/{k:09d}.jpg", "id": k} for k in range(rows))
    if kind == "folder":
        (folder / "photos").mkdir()
        for k in range(rows):
            (folder / "photos" / f"{k:09d}.jpg").touch()
        return str(folder / "photos")
    if kind == "shards":
        for number, start in enumerate(range(0, rows, SHARD_IMAGES)):
            with tarfile.open(folder / f"{number:03d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
                for k in range(start, min(start + SHARD_IMAGES, rows)):
                    member = tarfile.TarInfo(f"{k:09d}.jpg")
                    member.size = 5
                    archive.addfile(member, io.BytesIO(b"image"))
        return str(folder / "*.tar")
    place = folder / f"images.{kind}"
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table(
            {
                "image": pyarrow.array((row["image"] for row in about), pyarrow.string()),
                "expression": pyarrow.array(["the red cup on the left"] * rows),
            }
        )
        parquet.write_table(table, place)
        return str(place)
    with place.open("w", encoding="utf-8") as file:
        if kind == "csv":
            file.write("image,id,expressions\n")
            file.writelines(f'{row["image"]},{row["id"]},"the red cup, left|the pen"\n' for row in about)
        else:
            said = {"expressions": ["the red cup on the left", "the pen"]}
            file.writelines(json.dumps({**row, **said}) + "\n" for row in about)
    return str(place)


def kills(given: argparse.Namespace, folder: Path) -> list[str]:
    """Runs two workers with kills; returns what is wrong."""
    rng = random.Random(given.seed)
    (folder / "small").mkdir()
    for k, scene in enumerate(DrawnScenes("test", DIFFERENT)):
        Image.fromarray(scene.image).resize((SIDE, SIDE)).save(folder / "small" / f"{k}.png")
    manifest, out = folder / "small.jsonl", folder / "answers"
    rows = [{"image": f"small/{k % DIFFERENT}.png", "expressions": EXPRESSIONS, "id": k} for k in range(given.images)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    piece_size = max(1, min(100, given.images // 4))
    command = [sys.executable, "-m", "refseg", "segment", "--manifest", manifest, "--out", out, "--weights", "selector"]
    command += ["--piece-size", piece_size, "--quiet"]
    option = "--part"
    if given.no_weights:
        job = json.dumps([str(manifest), str(out)])
        command = [sys.executable, __file__, "--worker", job, "--piece-size", piece_size, "--wait", given.wait]
        option = "--share"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(part: int) -> subprocess.Popen[bytes]:
        words = [*map(str, command), option, f"{part}/2"]
        return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)

    begin = time.monotonic()
    workers = {part: start(part) for part in (1, 2)}
    killed = 0
    while any(worker.poll() is None for worker in workers.values()):
        if killed == given.kills:
            for worker in workers.values():
                worker.wait()
            continue
        time.sleep(rng.uniform(*given.between))
        part = rng.choice((1, 2))
        if workers[part].poll() is None:
            workers[part].kill()
            workers[part].wait()
            workers[part] = start(part)
            killed += 1
    seconds, spent = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    true, calls, alone, processor = list[Any](), 1, 0.0, 0.0
    if not given.no_weights:
        true, calls, alone, processor = ask_alone(folder, min(ALONE, given.images))
    lines = [json.loads(line) for part in sorted(out.glob("part-*.jsonl")) for line in part.open(encoding="utf-8")]
    counts = Counter(line["row"] for line in lines)
    wrong = [f"row {k} is there {counts[k]} times" for k in range(given.images) if counts[k] != 1]
    wrong += [
        f"row {line['row']} is not as a call for its image alone"
        for line in lines
        if true and [(one["found"], one["rle"]) for one in line["results"]] != true[line["id"] % DIFFERENT]
    ]
    left = [path.name for path in out.iterdir() if path.name.startswith(".")]
    table = [
        ["rows; there once; answered otherwise than alone", f"{given.images:,}; {len(counts):,}; {len(wrong):,}"],
        ["kills", str(killed)],
        ["seconds, starts and lost pieces among them", f"{seconds:.0f}"],
        ["images/s on two workers", f"{given.images / seconds:.1f}"],
        ["images/s of calls one by one, in one process", f"{alone:.1f}"],
        [
            "milliseconds of the processor an image: workers, starts and lost pieces among them; calls one by one",
            f"{1e3 * (spent.ru_utime + spent.ru_stime) / given.images:.0f}; {1e3 * processor / calls:.0f}",
        ],
        ["left lying beside the parts", ", ".join(left) or "nothing"],
    ]
    table = [line for line in table if not (given.no_weights and "one by one" in line[0])]
    what = "an answer that waits" if given.no_weights else "selector"
    print_table(
        f"two workers, {what}, {len(EXPRESSIONS)} expressions an image, pieces of {piece_size}", ["", ""], table
    )
    return wrong[:20]


def ask_alone(folder: Path, calls: int) -> tuple[list[Any], int, float, float]:
    """Returns the answers of calls for each image alone, how many calls were timed, images/s, and processor seconds."""
    import torch

    import refseg

    torch.set_num_threads(1)
    segmenter = refseg.load("selector")
    true = []
    for k in range(DIFFERENT):
        results = segmenter(folder / "small" / f"{k}.png", list(EXPRESSIONS))
        true.append([(result.found, result.rle()) for result in results])
    clock, processor = time.monotonic(), time.process_time()
    for k in range(calls):
        json.dumps([one.to_dict() for one in segmenter(folder / "small" / f"{k % DIFFERENT}.png", list(EXPRESSIONS))])
    return true, calls, calls / (time.monotonic() - clock), time.process_time() - processor


if __name__ == "__main__":
    main()
