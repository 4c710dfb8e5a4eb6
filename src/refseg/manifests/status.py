"""How far a run is, by what lies in its folder; also while it is running."""

import time
from dataclasses import dataclass, field
from typing import Any

from refseg.manifests.part_files import read_part
from refseg.manifests.plan import Plan, need_plan
from refseg.manifests.store import open_store

SILENT = 60.0
"""Seconds without a piece, beyond three times what a piece took, after which a worker counts as ended."""


@dataclass
class WorkerStatus:
    """Progress of one worker, as its parts tell it.

    Attributes:
        name: its machine, process and number.
        pieces: number of its pieces.
        rows: number of images in them.
        seconds: time that they took.
        silent: seconds since its last piece.
        running: Whether it seems to be at work.
    """

    name: str
    pieces: int = 0
    rows: int = 0
    seconds: float = 0.0
    silent: float = 0.0
    running: bool = False

    @property
    def speed(self) -> float:
        """Images a second."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass
class Status:
    """How far a run is.

    Attributes:
        manifest: what is asked.
        place: folder of the answers.
        rows: number of images; None if only reading all of them would tell.
        done: images that are answered.
        failed: images of which something could not be answered.
        pieces: number of pieces.
        pieces_done: pieces whose part file is there.
        workers: those that have finished a piece.
        failed_pieces: pieces with such images.
    """

    manifest: str
    place: str
    rows: int | None
    done: int
    failed: int
    pieces: int
    pieces_done: int
    workers: list[WorkerStatus] = field(default_factory=list)
    failed_pieces: list[int] = field(default_factory=list)

    @property
    def left(self) -> int | None:
        """Images that are left; None if their number is unknown."""
        return None if self.rows is None else self.rows - self.done - self.failed

    @property
    def speed(self) -> float:
        """Images a second of the workers that are at work, together."""
        return sum(worker.speed for worker in self.workers if worker.running)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        workers = [{**vars(worker), "speed": round(worker.speed, 3)} for worker in self.workers]
        return {**vars(self), "left": self.left, "speed": round(self.speed, 3), "workers": workers}


def batch_status(out: str) -> Status:
    """Returns how far the answers to a manifest are.

    Args:
        out: folder or URL of the answers.

    Raises:
        MissingFile, InvalidInput: if it holds none, or its manifest.json is damaged.
    """
    store = open_store(out)
    plan = need_plan(store)
    there = plan.done(store)
    counts: dict[int, tuple[float, int, int, str]] = {}
    workers = {}
    for name, lines in store.logs():
        worker = workers[name] = WorkerStatus(name)
        for line in lines:
            piece, rows, failed, seconds, ended = _entry(line)
            if piece in there:
                worker.pieces += 1
                worker.rows += rows
                worker.seconds += seconds
                counts[piece] = max(counts.get(piece, (0.0, 0, 0, "")), (ended, rows, failed, name))
            worker.silent = time.time() - ended
        usual = worker.seconds / max(worker.pieces, 1)
        worker.running = worker.silent < SILENT + 3 * usual and len(there) < plan.pieces.count
    for piece in there - counts.keys():  # of a log that is lost
        counts[piece] = (0.0, *_count(plan, store.read(plan.part(piece)) or b""), "")
    done, failed = sum(rows for _, rows, _, _ in counts.values()), sum(failed for _, _, failed, _ in counts.values())
    return Status(
        manifest=plan.manifest,
        place=store.place,
        rows=done if len(there) == plan.pieces.count else plan.pieces.rows,
        done=done - failed,
        failed=failed,
        pieces=plan.pieces.count,
        pieces_done=len(there),
        workers=[worker for worker in workers.values() if worker.pieces],
        failed_pieces=sorted(piece for piece, (_, _, failed, _) in counts.items() if failed),
    )


def _entry(line: dict[str, Any]) -> tuple[int, int, int, float, float]:
    try:
        return int(line["piece"]), int(line["rows"]), int(line["failed"]), float(line["seconds"]), float(line["ended"])
    except (LookupError, TypeError, ValueError):  # a line that is none of ours
        return -1, 0, 0, 0.0, 0.0


def _count(plan: Plan, content: bytes) -> tuple[int, int]:
    """Returns the number of lines of a part file, and of those with errors."""
    lines = list(read_part(content, plan.ending == ".parquet"))
    return len(lines), sum("error" in line or any("error" in one for one in line.get("results", [])) for line in lines)
