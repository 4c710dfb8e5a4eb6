"""Everything that only a GPU can say, in one command and nine minutes: python benchmarks/gpu.py

Pieces in the order of their value: rates of matrix products and convolutions; float32 parity with goldens of the
authors' code; the eight full-size networks at 480 x 480 (precisions, batches, many expressions about one image); steps
of training against a plain loop; both compiled; then, for the minutes that are left, a study on drawn scenes and the
training of the bundled weights' recipe, whose states stay in OUT.

OUT/pieces/NAME.json    figures of a piece, written as soon as each is known
OUT/results.json        all of them; OUT/tables.md, the tables of docs/results.md
OUT/log.txt             everything that the pieces printed, with the traceback of each error
OUT/study, OUT/train    states of trainings, from which `--resume` goes on

Nothing is downloaded: networks have random weights, goldens and the small presets' initial weights are in the
repository. Each piece runs in a process that may be killed; after an error the next one gets a new process.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gpu_tables import tables
from refseg.errors import RefsegError
from refseg.files.atomic import check_writable, write_atomically
from refseg.hardware import check_device_name

MINUTES, RESERVED = 9.0, 0.3  # share of the time that is kept for trainings
WRITING, STOPPING, SHORTEST = 3.0, 20.0, 5.0  # seconds at the end, for a training to save its state, of any piece
SLOWER = 4  # times as long as on a GPU's machine: what small and busy processors are given with `--tiny`
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"  # states of a piece; others are words


@dataclass(frozen=True)
class Piece:
    """A part of the benchmark.

    Attributes:
        name: of its file and for `--only`.
        function: of `gpu_pieces`.
        about: what it measures, full-size and tiny; "" where there is nothing to choose.
        seconds: that it may take; of a training its share of what is left.
        trains: whether it takes SIGTERM as a request to save its state.
    """

    name: str
    function: str
    about: tuple[str, str] = ("", "")
    seconds: float = 40.0
    trains: bool = False


NETWORKS = {
    "dmmi": ("dmmi_swin_base", "dmmi_small"),
    "cmirnet": ("cmirnet_swin_base", "cmirnet_small"),
    "lavt": ("lavt_swin_base", "lavt_small"),
    "eavl": ("eavl_clip_resnet101", "eavl_small"),
    "cris": ("cris_resnet101", "cris_small"),
    "vlt": ("vlt_darknet53", "vlt_small"),
    "dcmfnet": ("dcmfnet_resnet101", "dcmfnet_small"),
    "cmpc": ("cmpc", "cmpc_small"),
}
RECIPES = {"dmmi": ("dmmi_refcoco", "dmmi_small"), "cmirnet": ("cmirnet_refcoco", "cmirnet_small")}
PIECES = (
    Piece("rates", "rates", seconds=60),
    Piece("parity", "parity", seconds=90),
    *(Piece(f"forward_{name}", "forward", about) for name, about in NETWORKS.items()),
    *(Piece(f"step_{name}", "step", about, 60) for name, about in RECIPES.items()),
    *(Piece(f"compiled_{name}", "compiled", NETWORKS[name], 75) for name in RECIPES),
    *(Piece(f"step_compiled_{name}", "step_compiled", about, 120) for name, about in RECIPES.items()),
    *(Piece(f"compiled_{name}", "compiled", about, 60) for name, about in NETWORKS.items() if name not in RECIPES),
    Piece("study", "study", trains=True),
    Piece("train", "train", trains=True),
)


@dataclass(frozen=True)
class Asked:
    """What all pieces are asked.

    Attributes:
        out: folder of the results.
        device: that is measured.
        tiny: whether sizes are tiny.
        study, recipe: names of what is trained at the end.
    """

    out: Path
    device: str
    tiny: bool
    study: str
    recipe: str


class Record:
    """Figures of a piece, written to a file whenever there are more."""

    def __init__(self, file: Path):
        self.file = file
        self.content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.cases: dict[str, dict[str, Any]] = self.content.setdefault("cases", {})

    def note(self, **fields: Any) -> None:
        """Adds fields and writes the file."""
        self.content |= fields
        write_json(self.file, self.content)

    def add(self, case: str, figures: Mapping[str, Any]) -> None:
        """Adds the figures of a case and writes the file."""
        self.cases[case] = dict(figures)
        self.note()


def write_json(file: Path, content: Any) -> None:
    with write_atomically(file) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Worker:
    """A process that runs one piece after the other, with all that it starts in a process group of its own."""

    def __init__(self, asked: Asked):
        context = get_context("spawn")  # a fork of a process that has used CUDA cannot use it
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(asked, theirs, os.getpid()))
        self.process.start()
        theirs.close()

    def run(self, piece: Piece, seconds: float) -> str:
        """Runs a piece for so many seconds at most; returns its state."""
        saving = min(STOPPING, seconds / 3) if piece.trains else 0.0
        self.link.send(piece)
        asked_to_stop = False
        if not self.link.poll(seconds - saving):
            if not piece.trains:
                return f"did not end in {seconds:.0f} s"
            asked_to_stop = True
            os.kill(self.process.pid or 0, signal.SIGTERM)
            if not self.link.poll(saving):
                return f"did not save its state in {saving:.0f} s; the one before is kept"
        try:
            return str(self.link.recv())
        except EOFError:
            self.process.join(5)
            return STOPPED if asked_to_stop else f"its process ended with code {self.process.exitcode}; see log.txt"

    def end(self) -> None:
        """Ends the process and all that it started."""
        for kill in (os.killpg, os.kill):
            try:
                kill(self.process.pid or 0, signal.SIGKILL)
            except ProcessLookupError:  # it has ended, or has no group yet
                continue
        self.process.join()
        self.link.close()


def work(asked: Asked, link: Any, parent: int) -> None:
    """What a worker does: the pieces that come over the link, until one of them fails."""
    os.setpgid(0, 0)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    log = os.open(asked.out / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import gpu_pieces

    state = FINISHED
    while state in (FINISHED, STOPPED):
        piece = link.recv()
        print(f"\n== {piece.name} ==", flush=True)
        record = Record(asked.out / "pieces" / f"{piece.name}.json")
        try:
            state = getattr(gpu_pieces, piece.function)(record, asked, piece.about[asked.tiny])
        except Exception as error:
            traceback.print_exc()
            record.note(error=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
            state = FAILED
        sys.stdout.flush()
        link.send(state)


def end_with(parent: int) -> None:
    """Ends this process and all that it started once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


class Budget:
    """The time that is left."""

    def __init__(self, seconds: float, pieces: Sequence[Piece], slower: float = 1.0):
        self.end = time.monotonic() + seconds - min(WRITING, seconds / 10)
        self.trainings = sum(piece.trains for piece in pieces)
        self.reserved, self.slower = RESERVED * seconds if self.trainings else 0.0, slower

    def seconds_for(self, piece: Piece) -> float:
        """How long a piece may take: of the trainings each takes its share of all that is left."""
        left = self.end - time.monotonic()
        if not piece.trains:
            return min(self.slower * piece.seconds, left - self.reserved)
        share = left / self.trainings
        self.trainings -= 1
        return share


def run_pieces(pieces: Sequence[Piece], asked: Asked, minutes: float) -> list[str]:
    """Runs pieces that are not finished; whatever happens to one, the others are run and everything is written.

    Returns:
        the names of those that went wrong.
    """
    records = {piece.name: Record(asked.out / "pieces" / f"{piece.name}.json") for piece in pieces}
    todo = [piece for piece in pieces if records[piece.name].content.get("state") != FINISHED]
    budget, worker, wrong = Budget(60 * minutes, todo, SLOWER if asked.tiny else 1.0), None, list[str]()
    try:
        for piece in todo:
            file, begin = records[piece.name].file, time.monotonic()
            seconds = budget.seconds_for(piece)
            if seconds < SHORTEST:
                Record(file).note(state="no time was left", device=asked.device, tiny=asked.tiny)
                print(f"{piece.name}: no time was left", flush=True)
                continue
            Record(file).note(state="was interrupted", device=asked.device, tiny=asked.tiny, error="")
            worker = worker or Worker(asked)
            state = worker.run(piece, seconds)
            if state not in (FINISHED, STOPPED):
                worker.end()
                worker = None
                wrong.append(piece.name)
            spent = time.monotonic() - begin
            Record(file).note(state=state, seconds=round(spent, 1))
            print(f"{piece.name}: {state}, {spent:.0f} s", flush=True)
            write_results(asked.out)
    finally:
        if worker is not None:
            worker.end()
        write_results(asked.out)
    return wrong


def write_results(out: Path) -> str:
    """Writes all figures and their tables, and returns the tables."""
    found = {piece.name: Record(out / "pieces" / f"{piece.name}.json").content for piece in PIECES}
    shown = tables(found, [(piece.name, piece.function, piece.about) for piece in PIECES])
    write_json(out / "results.json", {name: content for name, content in found.items() if len(content) > 1})
    with write_atomically(out / "tables.md") as unfinished:
        unfinished.write_text(shown, encoding="utf-8")
    return shown


def check_folder(asked: Asked, resume: bool) -> None:
    """Refuses a folder whose results would be mixed with others."""
    check_writable(asked.out)
    found = [Record(file).content for file in sorted(asked.out.glob("pieces/*.json"))]
    if found and not resume:
        raise RefsegError(f"{asked.out} holds results; go on with --resume, or give another --out")
    if any((one["device"], one["tiny"]) != (asked.device, asked.tiny) for one in found if "device" in one):
        raise RefsegError(f"{asked.out} holds results of another device or other sizes; give another --out")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="after which everything has ended")
    parser.add_argument("--resume", action="store_true", help="leave out what is finished, go on with what is not")
    parser.add_argument("--only", nargs="+", metavar="PIECE", choices=[piece.name for piece in PIECES])
    parser.add_argument("--tiny", action="store_true", help="tiny networks and sizes, on the CPU unless --device")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default cuda, with --tiny cpu")
    parser.add_argument("--study", default="eavl_table5", help="trained as `refseg study NAME --small`")
    parser.add_argument("--train", default="selector", metavar="RECIPE", help="trained as `refseg train RECIPE`")
    given = parser.parse_args(arguments)
    asked = Asked(
        out=given.out,
        device=given.device or ("cpu" if given.tiny else "cuda"),
        tiny=given.tiny,
        study=given.study,
        recipe=given.train,
    )
    try:
        if asked.device == "cuda":
            check_device_name(asked.device)
    except RefsegError:
        sys.exit("this machine has no GPU; --tiny tries the script with tiny sizes on the CPU")
    try:
        check_folder(asked, given.resume)
    except RefsegError as error:
        sys.exit(str(error))
    (asked.out / "pieces").mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = [piece for piece in PIECES if not given.only or piece.name in given.only]
        wrong = run_pieces(chosen, asked, given.minutes)
    except KeyboardInterrupt:
        sys.exit(f"interrupted; what is known is in {asked.out}, --resume goes on")
    print(f"\n{write_results(asked.out)}")
    if wrong:
        sys.exit(f"went wrong: {', '.join(wrong)}; --resume tries them again")


if __name__ == "__main__":
    main()
