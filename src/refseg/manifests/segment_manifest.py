"""Masks of what expressions refer to in the images of a manifest, however many, on any number of workers."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from refseg.checkpoints.config_file import check_weights
from refseg.counting import counted
from refseg.errors import InvalidInput, option
from refseg.hardware import check_device_name, check_precision_name
from refseg.manifests.answer import FileKind, check_files
from refseg.manifests.image_files import ImageFiles
from refseg.manifests.job import Job
from refseg.manifests.manifest import Manifest
from refseg.manifests.part_files import check_parquet
from refseg.manifests.plan import Plan, check_settings, read_plan
from refseg.manifests.ray_engine import check_ray, ray_cluster, run_on_ray
from refseg.manifests.run_pieces import PieceDone, finish_run, pieces_left
from refseg.manifests.share import Share, find_share
from refseg.manifests.status import batch_status
from refseg.manifests.store import Store
from refseg.progress import Progress, no_progress

PIECE_SIZE = 1000
MAX_TOLD = 8  # pieces with errors


@dataclass
class Outcome:
    """Summary of the work of one worker.

    Attributes:
        share: which part of the pieces was its.
        done: images that it answered.
        failed: images of which something could not be answered.
        seconds: time from the first piece to the last.
        pieces: number of pieces that it wrote.
        busy: pieces of its share that another process was writing.
        total: number of all pieces.
        left: number of pieces that are not there, of all workers.
        errors: the first error of each piece that has any.
    """

    share: Share
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    pieces: int = 0
    busy: int = 0
    total: int = 0
    left: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Images a second."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    def add(self, done: PieceDone | None, plan: Plan, note: Callable[[str], None]) -> None:
        """Counts a piece, or one that another process is answering; tells of the first ones with errors."""
        if done is None:
            self.busy += 1
            return
        self.pieces += 1
        self.done += done.rows - done.failed
        self.failed += done.failed
        if done.failed:
            self.errors.append(done.error)
            if len(self.errors) <= MAX_TOLD:
                count = counted(done.failed, "image", done.rows)
                note(f"{plan.stem(done.piece)}: {count} failed; the first: {done.error}")


def segment_manifest(
    manifest: str,
    out: str,
    expressions: Sequence[str] = (),
    *,
    weights: str | None = None,
    images: str | None = None,
    threshold: float | None = None,
    crf: bool = False,
    precision: str = "f32",
    device: str = "auto",
    files: Sequence[FileKind] = (),
    parquet: bool = False,
    piece_size: int = PIECE_SIZE,
    part: str | None = None,
    retry_failed: bool = False,
    ray: str | None = None,
    actors: str = "1",
    actor_gpus: float = 0.0,
    progress: Progress = no_progress,
    note: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Writes what expressions refer to in the images of a manifest: a part file for each piece of its rows.

    A piece is done when its part file is there. So any number of workers may be stopped, started again, or be more or
    fewer than before; none of them answers what is there. A row that cannot be answered is a line with its error.

    Args:
        manifest: a table (.jsonl, .csv, .parquet), tar files (shards/{000..099}.tar), a folder of images or a glob;
            tables and tar files may be in an object store (s3://...).
        out: folder of the answers, which all workers see; or a URL of an object store.
        expressions: asked about images whose row has none.
        weights: bundled name, folder, ...; by default as `refseg segment` chooses by the first image.
        images: folder or URL that the names of a table's images start from; by default that of the table.
        threshold: as of calling a segmenter.
        crf: Whether masks are drawn to the edges of the image.
        precision: as of `refseg.load`.
        device: as of `refseg.load`; where several workers of a machine see all GPUs, each takes its own.
        files: "mask" and "overlay" pictures, which are written beside the lines.
        parquet: Whether part files are Parquet, not lines of JSON.
        piece_size: rows of a piece; of tar files each is a piece.
        part: "2/8" for the second of eight workers; by default what torchrun or Slurm say, else all pieces.
        retry_failed: Whether pieces with errors are asked again.
        ray: "local", "auto" or the address of a cluster of Ray, whose actors answer; None answers in this process.
        actors: number of Ray's actors, "8", or "1:8" for as many as there is work and room for.
        actor_gpus: GPUs of an actor, such as 0.5.
        progress: shows how far this worker is.
        note: receives lines for the user.

    Raises:
        MissingFile, InvalidInput, UnwritableOutput: before anything is written if something given is wrong; later if
            the answers cannot be written.
    """
    check_device_name(device)
    check_precision_name(precision)
    check_files(files)
    if piece_size < 1:
        raise InvalidInput(f"{option('piece_size', piece_size)} is not allowed; it must be 1 or more")
    if parquet:
        check_parquet()
    if weights:
        check_weights(weights, precision)
    settings = dict(weights=weights, images=images, threshold=threshold, crf=crf, precision=precision, device=device)
    job = Job(manifest, out, tuple(expressions), **settings, files=tuple(files), parquet=parquet, piece_size=piece_size)  # type: ignore[arg-type]
    share = find_share(part) if ray is None else Share()
    if ray is not None:
        check_ray(actors, actor_gpus)
    store, opened = job.open()
    store.check_writable()
    opened.check()
    opened.check_images()
    if ray is None:
        return _run(job, store, opened, share, retry_failed, None, progress, note)
    with ray_cluster(ray):

        def engine(job: Job, pieces: Sequence[int]) -> Iterator[PieceDone | None]:
            return run_on_ray(job, pieces, actors, actor_gpus, retry_failed)

        return _run(job, store, opened, share, retry_failed, engine, progress, note)


def _run(
    job: Job,
    store: Store,
    manifest: Manifest,
    share: Share,
    retry_failed: bool,
    engine: Callable[[Job, Sequence[int]], Iterator[PieceDone | None]] | None,
    progress: Progress,
    note: Callable[[str], None],
) -> Outcome:
    """Answers the pieces of a share in this process, or by an engine that gives them as they are done."""
    if plan := read_plan(store):
        check_settings(plan, manifest, store, job.piece_size, job.settings())
        if not _mine(plan, store, share, retry_failed):
            note(f"{share}: all of its pieces are there already")
            return Outcome(share, total=plan.pieces.count, left=finish_run(plan, store))
    name, segmenter, told = job.load(manifest, share, str(plan.settings.get("weights")) if plan else None)
    if told:
        note(told)
    runner = job.runner(store, manifest, (name, segmenter))
    plan = runner.plan
    mine = _mine(plan, store, share, retry_failed)
    note(_announce(plan, manifest, share, len(mine)))
    outcome, begin = Outcome(share, total=plan.pieces.count), time.monotonic()
    total = None if plan.pieces.rows is None else sum(plan.rows_of(piece) or 0 for piece in mine)
    with progress(total, rank=share.local_rank) as advance:
        if engine:
            del segmenter, runner  # the actors have their own
            for done in engine(job.sendable(name), mine):
                outcome.add(done, plan, note)
                advance(done.rows if done else 0)
        else:
            for piece in mine:
                outcome.add(runner.run(piece, retry_failed, advance), plan, note)
    outcome.seconds = time.monotonic() - begin
    outcome.left = finish_run(plan, store)
    return outcome


def _mine(plan: Plan, store: Store, share: Share, retry_failed: bool) -> list[int]:
    """Returns the pieces that are left for a worker."""
    failed = batch_status(store.place).failed_pieces if retry_failed else ()
    return pieces_left(plan, plan.done(store), range(share.rank, plan.pieces.count, share.world), failed)


def _announce(plan: Plan, manifest: Manifest, share: Share, left: int) -> str:
    """Returns what a worker begins with."""
    rows = "" if plan.pieces.rows is None else f"{counted(plan.pieces.rows, 'image')} in "
    listed = ", as listed when the run began" if isinstance(manifest, ImageFiles) else ""
    return f"{rows}{counted(plan.pieces.count, 'piece')}{listed}; {share}: {counted(left, 'piece')} to answer"
