"""The pieces of a worker, one after the other: read, answered, and put in their place."""

import os
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.manifests.answer import Answer
from refseg.manifests.manifest import Manifest
from refseg.manifests.part_files import writing_part
from refseg.manifests.plan import Plan
from refseg.manifests.store import Store
from refseg.progress import Advance


@dataclass(frozen=True)
class PieceDone:
    """A piece that a worker has answered.

    Attributes:
        piece: its number.
        rows: number of its rows.
        failed: rows that could not be answered, or not all of whose expressions could.
        seconds: time that it took.
        error: the first error of a row, "" if there was none.
    """

    piece: int
    rows: int
    failed: int
    seconds: float
    error: str = ""


class PieceRunner:
    """Answers pieces of a manifest; each becomes a part file, whole or not at all.

    Args:
        plan, manifest, store: what is asked, and where the answers go.
        answer: gives a line for each row.
    """

    def __init__(self, plan: Plan, manifest: Manifest, store: Store, answer: Answer):
        self.plan, self.manifest, self.store, self.answer = plan, manifest, store, answer
        self.name = worker_name()

    def run(self, piece: int, again: bool = False, advance: Advance | None = None) -> PieceDone | None:
        """Answers a piece; None if it is there already, or another process is answering it.

        Args:
            piece: its number.
            again: Whether a part file that is there is replaced.
            advance: told of each row.

        Raises:
            UnwritableOutput: if the answers cannot be written.
        """
        part = self.plan.part(piece)
        with self.store.claim(part) as staging:
            if staging is None or not again and self.store.has(part):
                return None
            begin = time.monotonic()
            rows, failed, error = self._write(piece, staging, advance)
            done = PieceDone(piece, rows, failed, time.monotonic() - begin, error)
            line = {"piece": piece, "rows": rows, "failed": failed, "seconds": round(done.seconds, 3)}
            self.store.log(self.name, {**line, "ended": round(time.time(), 3)})  # before the part file: none lacks it
            self.store.publish(staging, part)
        return done

    def _write(self, piece: int, staging: Path, advance: Advance | None) -> tuple[int, int, str]:
        """Writes the part file; returns the number of rows, of those that failed, and the first error."""
        count, failed, first = 0, 0, ""
        rows = self.manifest.read(self.plan.pieces, piece, self.plan.piece_size)
        parquet = self.plan.ending == ".parquet"
        with writing_part(staging / self.plan.part(piece), parquet, self.manifest.columns) as write:
            for line in self.answer(rows, staging / self.plan.stem(piece)):
                write(line)
                count += 1
                errors = [one["error"] for one in (line, *line["results"]) if "error" in one]
                failed += bool(errors)
                if errors and not first:
                    image = line["image"] or ""
                    first = errors[0] if image in errors[0] else f"{image}: {errors[0]}"
                if advance:
                    advance(1)
        expected = self.plan.rows_of(piece)
        if expected is not None and count != expected:
            raise InvalidInput(
                f"{self.manifest.place} has {counted(count, 'row')} in piece {piece:,}, where the plan has "
                f"{expected:,}; has it changed meanwhile?"
            )
        return count, failed, first


def pieces_left(plan: Plan, done: set[int], share: Iterable[int], failed: Iterable[int] = ()) -> list[int]:
    """Returns the pieces of a share that are not done, and those of it that are asked again since rows failed."""
    again = set(failed)
    return [piece for piece in share if piece not in done or piece in again]


def finish_run(plan: Plan, store: Store) -> int:
    """Returns the number of pieces that are not done; after the last, what killed workers left is removed."""
    left = plan.pieces.count - len(plan.done(store))
    if not left:
        store.clear()
    return left


def worker_name() -> str:
    """Returns a name for this process that no other process has."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:60]
    return f"{host}-{os.getpid()}-{secrets.token_hex(2)}"
