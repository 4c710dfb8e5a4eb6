"""Ray Data as the engine (pip install 'refseg[ray]'): the same pieces, answered by actors on a cluster."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput, RefsegError, option, shown
from refseg.manifests.answer import SegmenterAnswer, about_answers
from refseg.manifests.job import Job
from refseg.manifests.places import ImageRoot
from refseg.manifests.plan import need_plan
from refseg.manifests.rows import Row, row_of
from refseg.manifests.run_pieces import PieceDone
from refseg.manifests.share import Share
from refseg.optional import import_optional

_ACTORS = re.compile(r"([1-9]\d{0,4})(?::([1-9]\d{0,4}))?")
BLOCKS_AN_ACTOR = 8  # at least, so that none waits for another
MIN_BLOCKS = 200
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Variables of the environment without which Ray reports to its makers."""


def check_ray(actors: str, actor_gpus: float) -> tuple[int, int]:
    """Checks that Ray is installed; returns the smallest and the largest number of actors.

    Raises:
        InvalidInput: if it is not, or for numbers that cannot be.
    """
    import_optional("ray.data", "the engine for clusters is Ray Data", "ray")
    found = _ACTORS.fullmatch(actors.strip())
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        raise InvalidInput(f"{option('actors', actors)} is no number of actors; write 8, or 1:8 for one to eight")
    if not 0 <= actor_gpus <= 64:
        raise InvalidInput(f"{option('actor_gpus', actor_gpus)} is not allowed; give 0, 1, or a fraction such as 0.5")
    return least, most


class PieceActor:
    """Answers pieces in a process of Ray; weights are loaded once.

    Args:
        job: what is asked.
        again: Whether part files that are there are replaced.
    """

    def __init__(self, job: Job, again: bool = False):
        self._again = again
        store, manifest = job.open()
        weights, segmenter, _ = job.load(manifest, Share(), None)
        self._runner = job.runner(store, manifest, (weights, segmenter), need_plan(store))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answers the pieces of a batch; returns what was done, a row for each."""
        told: dict[str, list[Any]] = {name: [] for name in ("piece", "rows", "failed", "seconds", "error")}
        for piece in batch["piece"]:
            done = self._runner.run(int(piece), self._again) or PieceDone(int(piece), -1, 0, 0.0)
            for name, values in told.items():
                values.append(getattr(done, name))
        return told


@contextmanager
def ray_cluster(address: str) -> Iterator[None]:
    """Connects this process to a cluster of Ray, or starts one; ends that at the end.

    Args:
        address: "local" starts Ray on this machine, "auto" finds the cluster that runs here, else that of a cluster.

    Raises:
        InvalidInput: if there is no such cluster.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray = import_optional("ray", "the engine for clusters is Ray Data", "ray")
    started = not ray.is_initialized()
    where = {"include_dashboard": False} if address == "local" else {"address": address}
    try:
        ray.init(**where, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"there is no cluster of Ray at {shown(address)}; start one there, or use this machine alone: "
            f"{option('ray', 'local')}"
        ) from error
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def run_on_ray(
    job: Job, pieces: Sequence[int], actors: str, actor_gpus: float, again: bool
) -> Iterator[PieceDone | None]:
    """Yields the pieces as they are done on a cluster; None for one that another process is answering.

    A node that is lost costs its unfinished pieces, which Ray asks again elsewhere.

    Args:
        job: what is asked; its folders are seen by all nodes.
        pieces: their numbers.
        actors: as of `segment_manifest`.
        actor_gpus: as of `segment_manifest`.
        again: Whether part files that are there are replaced.
    """
    least, most = check_ray(actors, actor_gpus)
    data = import_optional("ray.data", "the engine for clusters is Ray Data", "ray")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data.DataContext.get_current().enable_progress_bars = False
    blocks = min(len(pieces), max(most * BLOCKS_AN_ACTOR, MIN_BLOCKS))
    rows = data.from_items([{"piece": piece} for piece in pieces], override_num_blocks=blocks)
    answered = rows.map_batches(
        PieceActor,
        fn_constructor_args=(job, again),
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=min(least, blocks), max_size=min(most, blocks)),
        num_cpus=1,
        num_gpus=actor_gpus or None,
    )
    for row in answered.iter_rows():
        done = PieceDone(**{name: row[name] for name in ("piece", "rows", "failed", "seconds", "error")})
        yield done if done.rows >= 0 else None


class RowAnswers:
    """Answers batches of any data set of Ray (`map_batches` with `batch_format="pyarrow"`), for its sources and sinks.

    Batches have `image`: a path, the bytes of an image file (as `read_binary_files` gives them, and `read_webdataset`
    with `decoder=None`), or both as {"path", "bytes"}; and `expression` or `expressions`. They come back with
    `results`, a text of JSON for each image, and `error`, why there are none.

    Args:
        weights: as of `refseg.load`.
        expressions: asked about every image whose row has none.
        images: the folder or URL that paths start from and stay in; without it images must be bytes.
        threshold: as of calling a segmenter.
        settings: further ones of `refseg.load`.
    """

    def __init__(
        self,
        weights: str,
        expressions: Sequence[str] = (),
        images: str | None = None,
        threshold: float | None = None,
        **settings: Any,
    ):
        from refseg.inference.segmenter import load

        segmenter = load(weights, **settings)
        about = about_answers(segmenter, weights, threshold, crf=False)
        self._answer = SegmenterAnswer(segmenter, ImageRoot(images), threshold, about)
        self._expressions, self._has_folder = tuple(expressions), images is not None

    def __call__(self, batch: Any) -> Any:
        """Returns a table of pyarrow with its results."""
        arrow = import_optional("pyarrow", "batches are tables of pyarrow", "ray")
        lines = list(self._answer(map(self._row, range(batch.num_rows), batch.to_pylist()), Path()))
        results = [None if "error" in line else json.dumps(line["results"]) for line in lines]
        errors = [line.get("error") for line in lines]
        for name, values in (("results", results), ("error", errors)):
            batch = batch.append_column(name, arrow.array(values, arrow.string()))
        return batch

    def _row(self, number: int, fields: dict[str, Any]) -> Row:
        names = "image", "expression", "expressions"
        asked: dict[str, Any] = {name: fields[name] for name in names if name in fields}
        try:
            row = row_of(number, asked, f"row {number} of the batch", self._expressions)
        except RefsegError as error:
            return Row(number, None, error=str(error))
        if row.content is None and not self._has_folder:
            return replace(row, error=f"image {shown(row.image, 80)} is a path; name their folder with images=...")
        return row
