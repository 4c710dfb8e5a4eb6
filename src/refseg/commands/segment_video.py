"""What `refseg segment` does with a video: it answers frame by frame, keeps the answers, and writes files at the end.

A run that was stopped goes on where it was: the answers so far are in the hidden folder .NAME.unfinished beside the
results (`video.unfinished`).
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import typer
from PIL import Image

from refseg.array_types import RgbImage
from refseg.commands.progress import progress
from refseg.commands.segment_files import Format, file_stem, file_stems, list_warnings
from refseg.commands.sources import SOURCE, check_replaceable, png_text, source_of, warn_of_replaced
from refseg.inference.verdicts import FramesVerdict
from refseg.progress import Progress, no_progress

if TYPE_CHECKING:
    from refseg.array_types import Mask
    from refseg.inference.partial_answers import PartialAnswers
    from refseg.inference.segmenter import Segmenter
    from refseg.video.frames import Frames

MASKS = "masks"
_ENDINGS = {
    Format.MASK: MASKS,
    Format.OVERLAY: "overlay.mp4",
    Format.RLE: "rle.jsonl",
    Format.POLYGONS: "polygons.jsonl",
    Format.JSON: "jsonl",
}


def segment_video(
    video: Path,
    expressions: list[str],
    formats: Sequence[Format],
    out: Path,
    every: int,
    run: dict[str, Any],
    load: Callable[[], "Segmenter"],
    quiet: bool = False,
) -> None:
    """Writes what each expression refers to in the frames of a video.

    Args:
        video: a file or a folder of frames.
        expressions: what to find.
        formats: what to write for each expression.
        out: folder for it.
        every: how many frames from one that is answered to the next.
        run: what else the answers depend on, "threshold" among it.
        load: gives what answers.
        quiet: Whether nothing but errors is printed.
    """
    from refseg.files.atomic import all_or_nothing
    from refseg.files.lock import only_writer
    from refseg.inference.partial_answers import PartialAnswers, stamp
    from refseg.video.reading import read_frames

    frames = read_frames(video)
    if Format.OVERLAY in formats:
        formats = _without_overlays(formats)  # or an error before the work
    stems, source = file_stems(video.absolute(), expressions), source_of(video, out)
    names = {stem: [f"{stem}.{_ENDINGS[kind]}" for kind in formats] for stem in stems}

    def check() -> list[Path]:
        replaced = []
        for stem in stems:
            files = [out / f"{stem}.{ending}" for ending in _ENDINGS.values()]
            replaced += check_replaceable(files, [out / name for name in names[stem]], source)
        return replaced

    run = {"video": stamp(video), "expressions": expressions, "every": every, **run}
    answers = out / f".{file_stem(video.absolute())}.unfinished"
    warn_of_replaced(check())
    replaced = [name for some in names.values() for name in some if os.path.lexists(out / name)]
    shown: Progress = no_progress if quiet else progress
    with only_writer(answers):
        unfinished = PartialAnswers(answers, run)
        segmenter = load()
        _answer(segmenter, frames, expressions, every, run["threshold"], unfinished, shown)
        remarks = dict.fromkeys(frames.remarks)
        with all_or_nothing(out) as folder:
            found = _write_masks(folder, stems, formats, unfinished, source)
            if Format.OVERLAY in formats:
                overlays = [folder / f"{stem}.{_ENDINGS[Format.OVERLAY]}" for stem in stems]
                with shown(frames.count, of="overlay frames") as advance:
                    _write_overlays(overlays, frames, iter(unfinished), advance, source)
            check()
        unfinished.remove()
    if quiet:
        return
    if replaced:
        typer.echo(f"replaced, of an earlier run: {', '.join(str(out / name) for name in replaced)}", err=True)
    if segmenter.network.frames == 1:
        typer.echo("note: these weights answer each frame by itself, so they cannot know what moves", err=True)
    about = zip(expressions, (one.warnings for one in found), strict=True)
    for warning in [*remarks, *list_warnings(about)]:
        typer.echo(f"warning: {warning}", err=True)
    for expression, one, files in zip(expressions, found, names.values(), strict=True):
        typer.echo(f"{typer.style(expression, bold=True)}\n  {one}")
        for file in files:
            typer.echo(f"  {out / file}")


def _without_overlays(formats: Sequence[Format]) -> Sequence[Format]:
    """Returns the formats, without overlays where they cannot be written and something else is asked for.

    Raises:
        InvalidInput: if overlays alone are asked for, and PyAV is not installed.
    """
    from refseg.errors import InvalidInput
    from refseg.video.writer import encoder

    try:
        encoder()
    except InvalidInput as error:
        others = [one for one in formats if one is not Format.OVERLAY]
        if not others:
            raise
        typer.echo(f"note: no overlay video is written: {error}", err=True)
        return others
    return formats


def _answer(
    segmenter: "Segmenter",
    frames: "Frames",
    expressions: list[str],
    every: int,
    threshold: float | None,
    unfinished: "PartialAnswers",
    shown: Progress,
) -> None:
    """Answers the frames that are left, and keeps each answer at once."""
    start = 0 if unfinished.last is None else unfinished.last + every
    if start:
        typer.echo(f"going on with frame {start} of an unfinished run", err=True)
    done = start
    try:
        with (
            shown(frames.count and max(frames.count - start, 0), of="frames") as advance,
            warnings.catch_warnings(action="ignore"),  # remarks are told at the end
        ):
            for results in segmenter.video(frames, expressions, threshold, every, start):
                unfinished.write([result.to_dict() for result in results])
                advance(results[0].index + 1 - done)
                done = results[0].index + 1
    except KeyboardInterrupt:
        if unfinished.frames:
            typer.echo(f"{unfinished.frames} frames are answered; the same command goes on from there", err=True)
        raise


class _Found:
    """What was found of one expression, for people."""

    def __init__(self) -> None:
        self.verdict = FramesVerdict()
        self.warnings: dict[str, None] = {}

    def add(self, answer: dict[str, Any]) -> None:
        reason = answer["reading"]["reason"] if "reading" in answer else ""
        self.verdict.add(answer["found"], answer["exists"], answer["exists_threshold"], reason, answer["familiar"])
        self.warnings.update(dict.fromkeys(answer["warnings"]))

    def __str__(self) -> str:
        return typer.style(str(self.verdict), fg="green" if self.verdict.is_answer else "yellow")


def _write_masks(
    folder: Path,
    stems: Sequence[str],
    formats: Sequence[Format],
    answers: Iterable[list[dict[str, Any]]],
    source: str,
) -> list[_Found]:
    """Writes everything but overlays: folders of PNG of 0 and 255, and a line of JSON a frame."""
    found = [_Found() for _ in stems]
    lines = [kind for kind in formats if kind not in (Format.MASK, Format.OVERLAY)]
    with ExitStack() as stack:
        files: dict[tuple[str, Format], TextIO] = {
            (stem, kind): stack.enter_context((folder / f"{stem}.{_ENDINGS[kind]}").open("w", encoding="utf-8"))
            for stem in stems
            for kind in lines
        }
        if Format.MASK in formats:
            for stem in stems:
                (folder / f"{stem}.{MASKS}").mkdir()
        for of_frame in answers:
            for stem, one, answer in zip(stems, found, of_frame, strict=True):
                one.add(answer)
                for kind in lines:
                    line = {**_content(answer, kind), SOURCE: source}
                    files[stem, kind].write(json.dumps(line, allow_nan=False) + "\n")
                if Format.MASK in formats:
                    pixels = _mask(answer).astype("uint8") * 255
                    file = folder / f"{stem}.{MASKS}" / f"{answer['frame']:06d}.png"
                    Image.fromarray(pixels).save(file, pnginfo=png_text(source))
    return found


def _content(answer: dict[str, Any], kind: Format) -> dict[str, Any]:
    if kind is Format.JSON:
        return answer
    head = {name: answer[name] for name in ("frame", "seconds", "exists")}
    if kind is Format.RLE:
        return head | answer["rle"]
    from refseg.masks.polygons import polygons

    return head | {"polygons": polygons(_mask(answer))}


def _mask(answer: dict[str, Any]) -> "Mask":
    from refseg.masks.rle import decode_rle, parse_rle

    return decode_rle(parse_rle(answer["rle"]))


def _write_overlays(
    files: Sequence[Path],
    frames: "Frames",
    answers: Iterator[list[dict[str, Any]]],
    advance: Callable[[int], None],
    source: str,
) -> None:
    """Writes the whole video once for each expression; frames without an answer show the last mask before them.

    Colours are those that stand out in the first frame with a mask; frames that the weights do not know are grey.
    """
    from refseg.masks.overlay import COLOURS, Colour, coloured, contrasting_palette
    from refseg.masks.pictures import marked_unfamiliar
    from refseg.masks.rle import decode_rle, parse_rle
    from refseg.video.writer import video_writer

    regions: list[list[Mask]] = []
    familiar: list[bool] = []
    palettes: dict[int, list[Colour]] = {}
    coming = next(answers, None)
    with ExitStack() as stack:
        writers: list[Callable[[Fraction, RgbImage], None]] = []
        for frame in frames:
            if not writers:
                size_hw = frame.pixels.shape[0], frame.pixels.shape[1]
                writers = [stack.enter_context(video_writer(file, size_hw, frames.time_base, source)) for file in files]
            if coming and coming[0]["frame"] == frame.index:
                regions = [[decode_rle(parse_rle(part["rle"])) for part in one["instances"] or [one]] for one in coming]
                familiar = [one["familiar"] for one in coming]
                for k, one in enumerate(coming):
                    if one["found"] and k not in palettes:
                        palettes[k] = contrasting_palette(frame.pixels, regions[k])
                coming = next(answers, None)
            for k, (write, masks) in enumerate(zip(writers, regions, strict=True)):
                shown = coloured(frame.pixels, masks, palettes.get(k, COLOURS))
                write(frame.time, shown if familiar[k] else np.asarray(marked_unfamiliar(shown)))
            advance(1)
