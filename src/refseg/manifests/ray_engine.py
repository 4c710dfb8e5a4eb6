"""Ray Data as the engine (pip install 'refseg[ray]'): the same pieces, answered by actors on a cluster."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from refseg.errors import InvalidInput, RefsegError, option, shown
from refseg.manifests.answer import SegmenterAnswer, about_answers
from refseg.manifests.job import Job
from refseg.manifests.places import ImageRoot
from refseg.manifests.plan import need_plan
from refseg.manifests.rows import Row, as_expressions, row_of
from refseg.manifests.run_pieces import PieceDone
from refseg.manifests.share import Share
from refseg.optional import import_optional

_ACTORS = re.compile(r"([1-9]\d{0,4})(?::([1-9]\d{0,4}))?")
BLOCKS_AN_ACTOR = 8  # at least, so that none waits for another
MIN_BLOCKS = 200
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Variables of the environment without which Ray reports to its makers, and its log comes between the lines."""


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
            f"there is no cluster of Ray at {shown(address)}; start one (ray start --head), or use this machine alone: "
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
    """Answers batches of any data set of Ray: for reading and writing by Ray Data's own sources.

    Batches have `image` (a path, or the bytes of a file, as `ray.data.read_parquet` and `read_webdataset` give them)
    and `expressions`; they come back with `results`, a text of JSON for each image.

    Args:
        weights: as of `refseg.load`.
        settings: as of `refseg.load`.
        expressions: asked about every image, where batches have none.
        images: the folder that paths start from and stay in; without it they are taken as they are.
        threshold: as of calling a segmenter.
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
        self._expressions = tuple(expressions)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a batch with its results; those of an image that cannot be read are null, and `error` says why."""
        rows = []
        asked = batch.get("expressions", batch.get("expression"))
        for number, image in enumerate(batch["image"]):
            place = f"row {number} of the batch"
            try:
                given = None if asked is None else asked[number]
                if isinstance(given, np.ndarray):
                    given = given.tolist()
                fields = {"image": image, "expressions": None if given is None else list(as_expressions(given, place))}
                rows.append(row_of(number, fields, place, self._expressions))
            except RefsegError as error:
                rows.append(Row(number, None, error=str(error)))
        lines = list(self._answer(rows, Path()))
        results = [None if "error" in line else json.dumps(line["results"]) for line in lines]
        return {**batch, "results": results, "error": [line.get("error") for line in lines]}
