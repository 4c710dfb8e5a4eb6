"""The images of a manifest in one run of `refseg segment`, and how far such a run is."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from refseg.commands.columns import align
from refseg.commands.progress import progress
from refseg.counting import counted
from refseg.errors import InvalidInput, printable
from refseg.progress import no_progress

ANSWERS = Path("answers")
MAX_WORKERS = 20  # that are shown


def run_manifest(
    manifest: str | None,
    words: list[str],
    images: list[str],
    out: Path | None,
    formats: Sequence[str] | None,
    weights: str | None,
    how: dict[str, Any],
    of_manifests: dict[str, Any],
    others: dict[str, Any],
    status: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Answers a manifest, or prints how far the answers are.

    Args:
        manifest: that of --manifest.
        words: expressions about images whose row has none.
        images: those of --images: the folder that a table's paths start from.
        out: folder of the answers.
        formats: those of --format.
        weights: what answers, with its settings.
        how: threshold, crf, precision and device.
        of_manifests: options of a manifest, by their names.
        others: options that are not of a manifest, by their names.
        status: Whether nothing is asked.
        as_json: Whether --json was given.
        quiet: Whether nothing is printed but errors.
    """
    if status:
        return print_status(_place(out or ANSWERS), as_json)
    if manifest is None:
        name = next(name for name, value in of_manifests.items() if value)
        raise InvalidInput(f"--{name} is of a manifest; give one with --manifest images.jsonl")
    if wrong := [name for name, value in {**others, "json": as_json}.items() if value]:
        raise InvalidInput(f"--{wrong[0]} is not of a --manifest, whose answers are part files; leave it out")
    if len(images) > 1:
        raise InvalidInput("--manifest takes one --images: the folder that its paths start from")
    given = {name.replace("-", "_"): value for name, value in of_manifests.items() if value}
    files = [str(kind) for kind in formats or [] if kind != "none"]
    given |= {"weights": weights, "images": images[0] if images else None, "files": files, **how}
    segment_manifest(manifest, _place(out or ANSWERS), words, quiet, **given)


def segment_manifest(manifest: str, out: str, expressions: list[str], quiet: bool, **settings: Any) -> None:
    """Answers the pieces of a manifest that are this worker's, and prints counts.

    Args:
        manifest: what is asked.
        out: folder of the answers.
        expressions: about images whose row has none.
        quiet: Whether nothing is printed but errors.
        settings: further arguments of `manifests.segment_manifest`.
    """
    from refseg.manifests import segment_manifest as batches

    def note(text: str) -> None:
        if not quiet:
            typer.echo(printable(text), err=True)

    shown = no_progress if quiet else progress
    try:
        outcome = batches.segment_manifest(manifest, out, expressions, **settings, progress=shown, note=note)
    except KeyboardInterrupt:
        note("pieces that are done are kept; the same command goes on from there")
        raise
    if quiet:
        return
    if outcome.pieces:
        worker = f"{outcome.share}: " if outcome.share.world > 1 else ""
        done = f"{counted(outcome.done, 'image')} done, {outcome.failed:,} failed"
        typer.echo(f"{worker}{done}, {outcome.speed:,.1f} images/s in {counted(outcome.pieces, 'piece')}: {out}")
    if len(outcome.errors) > batches.MAX_TOLD:
        note(f"{len(outcome.errors) - batches.MAX_TOLD:,} further pieces have errors; they are in their lines")
    if outcome.failed:
        note("--retry-failed asks pieces with errors again, once what they say is mended")
    if outcome.left:
        note(f"{counted(outcome.left, 'piece', outcome.total)} left to other workers; --status tells how far they are")


def print_status(out: str, as_json: bool) -> None:
    """Prints how far the answers to a manifest are.

    Args:
        out: their folder.
        as_json: Whether it is printed as JSON.
    """
    from refseg.manifests.status import batch_status

    status = batch_status(out)
    if as_json:
        typer.echo(json.dumps(status.to_dict()))
        return
    left = "unknown" if status.left is None else f"{status.left:,}"
    typer.echo(f"{printable(status.manifest)} -> {printable(status.place)}")
    typer.echo(f"done {status.done:,}, failed {status.failed:,}, left {left} images")
    typer.echo(f"{counted(status.pieces_done, 'piece', status.pieces)}")
    if status.speed:
        rest = "" if status.left is None else f", {_duration(status.left / status.speed)} left"
        typer.echo(f"{status.speed:,.1f} images/s{rest}")
    if status.workers:
        workers = sorted(status.workers, key=lambda worker: (not worker.running, worker.silent))[:MAX_WORKERS]
        lines = [["worker", "pieces", "images", "images/s", "last piece"]]
        for worker in workers:
            state = f"{_duration(worker.silent)} ago" if worker.running else _ended(worker.silent)
            lines.append([worker.name, f"{worker.pieces:,}", f"{worker.rows:,}", f"{worker.speed:,.1f}", state])
        typer.echo("\n".join(align(lines, [True, False, False, False, False])))
        if len(status.workers) > MAX_WORKERS:
            typer.echo(f"and {counted(len(status.workers) - MAX_WORKERS, 'other worker')}")


def _place(out: Path) -> str:
    """Returns the folder of the answers, which may be a URL, of whose slashes a path has lost one."""
    scheme, colon, rest = str(out).partition(":/")
    is_url = bool(colon) and len(scheme) > 1 and scheme.isalnum() and not out.exists()
    return f"{scheme}://{rest}" if is_url else str(out)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def _ended(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - seconds))
