"""A stand-in for a segmenter, and runs of pieces without torch."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refseg.manifests.job import Job
from refseg.manifests.plan import Plan, make_plan
from refseg.manifests.rows import Row
from refseg.manifests.run_pieces import PieceRunner, pieces_left


def echo(rows: Iterable[Row], folder: Path) -> Iterator[dict[str, Any]]:
    """Answers with what was asked."""
    for row in rows:
        asked = {"error": row.error, "results": []} if row.error else {}
        results = [{"expression": expression, "found": False} for expression in row.expressions]
        yield {"row": row.number, "image": row.image, **row.columns, "results": results, **asked}


@pytest.fixture
def answered(tmp_path, monkeypatch) -> Callable[..., SimpleNamespace]:
    """Answers a manifest by `echo` in the folder of the test; gives the lines, and what they were made with."""
    monkeypatch.chdir(tmp_path)

    def run(manifest: str, *asked: str, out: str = "answers", piece_size: int = 2, **settings: Any) -> SimpleNamespace:
        job = Job(manifest, out, asked, piece_size=piece_size, **settings)
        store, opened = job.open()
        opened.check()
        plan = make_plan(opened, store, piece_size, {"parquet": job.parquet})
        runner = PieceRunner(plan, opened, store, echo)
        for piece in pieces_left(plan, plan.done(store), range(plan.pieces.count)):
            runner.run(piece)
        lines = lines_of(plan, store)
        return SimpleNamespace(lines=lines, plan=plan, store=store, manifest=opened, runner=runner, echo=echo)

    return run


def lines_of(plan: Plan, store: Any) -> list[dict[str, Any]]:
    """Returns the lines of all parts."""
    parts = [store.read(plan.part(piece)) for piece in sorted(plan.done(store))]
    return [json.loads(line) for part in parts for line in part.splitlines()] if plan.ending == ".jsonl" else []
