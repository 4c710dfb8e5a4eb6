"""Many images in one run of `refseg segment`: results in one folder, a line of answers.jsonl for each expression.

A run that was stopped goes on where it was: lines are written when their files are there, and are never written twice.
"""

import json
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refseg.commands.progress import progress
from refseg.commands.segment_files import ALL_ENDINGS, FileStems, Format, ending_of, name_expressions, write
from refseg.commands.segment_inputs import Inputs
from refseg.commands.sources import SILENT, is_same, source_of, stated_source
from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError, UnwritableOutput, printable
from refseg.files.lock import only_writer
from refseg.files.names import path_inside
from refseg.files.resumable import RUN, ResumableLines
from refseg.inference.coco_results import write_coco_results
from refseg.inference.partial_answers import file_stamp
from refseg.inference.questions import Question, QuestionTable, group_by_image, questions
from refseg.manifests.answer import about_answers
from refseg.manifests.rows import ABOUT
from refseg.progress import no_progress

if TYPE_CHECKING:
    from refseg.inference.file_result import FileResult
    from refseg.inference.results import Result
    from refseg.inference.segmenter import Segmenter

STAGING = ".unfinished"  # folder of the files of the answer in work
MAX_TOLD = 8  # warnings
FIELDS = (
    *("found", "exists", "size", "area", "box", "boxes", "rle", "instances", "warnings", "unknown_words", "source"),
    *("exists_threshold", "decided_by", "familiar", "error", "files", "stamp", "reading", "candidates", *ABOUT),
)
"""Fields of a line of answers.jsonl beside image, expression and the columns of a table."""


@dataclass
class Tally:
    """Counts of answers.

    Attributes:
        count: all of them.
        found: those with a mask.
        failed: those with an error.
        expressions: of all answers.
        warnings: how often answers to each expression have each.
    """

    count: int = 0
    found: int = 0
    failed: int = 0
    expressions: set[str] = field(default_factory=set)
    warnings: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, line: dict[str, Any]) -> None:
        """Counts a line."""
        self.count += 1
        self.failed += "error" in line
        self.found += line.get("found", False)
        self.expressions.add(line["expression"])
        for warning in line.get("warnings", []):
            self.warnings[warning][line["expression"]] += 1


class Answers(ResumableLines):
    """The lines of answers.jsonl: what has been answered, and the names of its files."""

    def __init__(self, out: Path, run: dict[str, Any]):
        self.stems = FileStems()
        self.answered: Counter[tuple[str, str]] = Counter()
        self._again: Counter[tuple[str, str]] = Counter()
        self._stamps = dict[str, tuple[int, ...]]()
        super().__init__(out, run)

    def note(self, line: Any) -> None:
        """Takes notice of a line."""
        super().note(line)
        if "error" in line:
            return
        self.answered[line["source"], line["expression"]] += 1
        if "stamp" in line:
            self._stamps[line["source"]] = tuple(line["stamp"])
        for file in line["files"][:1]:
            ending = next(ending for ending in ALL_ENDINGS if file.endswith(f".{ending}"))
            self.stems.take(file.removesuffix(f".{ending}"))

    def keep_answered(self) -> int:
        """Removes the lines with errors, and those of images that have changed: they are asked again.

        Returns:
            the number of answers about images that have changed; their files are removed, too.
        """
        changed = {source for source, stamp in self._stamps.items() if self._has_changed(source, stamp)}
        outdated = [line for line in self if "error" not in line and line["source"] in changed] if changed else []
        for name in (name for line in outdated for name in line["files"]):
            path_inside(self.folder, name, "files").unlink(missing_ok=True)
        if outdated or self.answered.total() < self.count:
            self.answered.clear()
            self._stamps.clear()
            self.stems = FileStems()
            self.keep(lambda line: "error" not in line and line["source"] not in changed)
        return len(outdated)

    def _has_changed(self, source: str, stamp: tuple[int, ...]) -> bool:
        try:
            return file_stamp(self.folder / source) != stamp
        except (OSError, ValueError):  # it cannot be asked again
            return False

    def left(self, asked: Iterable[Question], counting: bool = False) -> Iterator[Question]:
        """Yields all questions about images of which one has no answer; unless counting, notes those that have one.

        They are asked once more, since answers depend in their last bits on what is asked beside them.
        """
        answered = self.answered.copy()
        for group in group_by_image(asked):
            keys = [self.key(question) if answered else None for question in group]
            known = list[tuple[str, str]]()
            for key in filter(None, keys):
                if answered[key] > 0:
                    answered[key] -= 1
                    known.append(key)
            if len(known) < len(group):
                if not counting:
                    self._again.update(known)
                yield from group

    def is_asked_again(self, key: tuple[str, str] | None) -> bool:
        """Whether an answer was there before it was asked again; once for each."""
        if key is None or not self._again[key]:
            return False
        self._again[key] -= 1
        return True

    def key(self, question: Question) -> tuple[str, str] | None:
        """Returns what tells a question from others; None if its image has no path."""
        try:
            return source_of(question.path(), self.folder), question.expression
        except RefsegError:  # it has no path, and so no answer
            return None


@dataclass
class Output:
    """Writer of answers: files and lines in a folder, and the terminal.

    Attributes:
        answers: lines of the folder; None if nothing is written.
        formats: of the files.
        about: what all lines say.
        as_json: Whether lines are printed.
        quiet: Whether nothing but errors is printed.
        describe: an answer for people.
    """

    answers: Answers | None
    formats: Sequence[Format]
    about: dict[str, Any]
    as_json: bool
    quiet: bool
    describe: Callable[["Result"], str]

    def __post_init__(self) -> None:
        self.tally, self.earlier = Tally(), 0
        # a bar draws what is printed above itself, on stderr, where an answer for a file or a pipe must not go
        self.stdout = None if sys.stdout.isatty() else sys.stdout

    def resume(self) -> None:
        """Counts and prints what an earlier run left, but for errors."""
        if self.answers and self.answers.count:
            if count := self.answers.keep_answered():
                self.say(f"{counted(count, 'answer')} about images that have changed since: asked again", err=True)
            for line in self.answers:
                self._tell(line)
            self.earlier = self.tally.count
            self.say(f"{counted(self.earlier, 'answer')} there already", err=True)

    def add(self, result: "FileResult") -> None:
        """Writes the files and the line of a result, and prints it."""
        result.source = source_of(result.path, self.answers.folder if self.answers else Path())
        if self.answers and self.answers.is_asked_again((result.source, result.expression)):
            return
        files = {"files": self._write_files(result), "stamp": list(result.stamp)} if self.answers else {}
        self._add({**result.to_dict(), "boxes": [list(box) for box in result.boxes], **files, **self.about})
        if not (self.as_json or self.quiet):
            typer.echo(f"{printable(result.name)}: {self.describe(result)}", file=self.stdout)

    def fail(self, question: Question, error: RefsegError) -> None:
        """Writes the line of a question that cannot be answered, and prints it."""
        if self.answers and self.answers.is_asked_again(self.answers.key(question)):
            return
        message, asked = " ".join(str(error).split()), {"image": question.image, "expression": question.expression}
        self._add({**asked, **question.row, "error": message, **self.about})
        typer.echo(f"error: {printable(question.image)}: {printable(message)}", err=True)

    def say(self, text: str, err: bool = False) -> None:
        """Prints a line for people."""
        if not self.quiet:
            typer.echo(printable(text), err=err or self.as_json)

    def summarise(self) -> None:
        """Prints warnings and counts; ends the command with 1 if something could not be answered."""
        told = sorted(self.tally.warnings.items(), key=lambda one: -one[1].total())
        for warning, having in told[:MAX_TOLD]:
            text, count = name_expressions(warning, having, self.tally.expressions), having.total()
            self.say(f"warning: {text} ({counted(count, 'answer', self.tally.count)})", err=True)
        if len(told) > MAX_TOLD:
            self.say(f"warning: {len(told) - MAX_TOLD:,} others are in the answers", err=True)
        where = f": {self.answers.file}" if self.answers else ""
        answers, new = self.tally.count - self.tally.failed, self.tally.count - self.earlier
        of_run = f" ({new - self.tally.failed:,} of them new)" if self.earlier else ""
        self.say(f"{counted(answers, 'answer')}{of_run}, {self.tally.found:,} found something{where}")
        if self.tally.failed:
            again = "; mend what is said above, then the same command asks them again" if self.answers else ""
            typer.echo(f"{self.tally.failed:,} of {new:,} could not be answered{again}", err=True)
            raise typer.Exit(1)

    def _add(self, line: dict[str, Any]) -> None:
        if self.answers:
            self.answers.write(line)
        self._tell(line)

    def _tell(self, line: dict[str, Any]) -> None:
        self.tally.add(line)
        if self.as_json:
            typer.echo(json.dumps(line, allow_nan=False), file=self.stdout)

    def _write_files(self, result: "FileResult") -> list[str]:
        """Writes the files of a result, of whose names none is taken by another result."""
        assert self.answers
        out, staging = self.answers.folder, self.answers.folder / STAGING
        try:
            staging.mkdir(exist_ok=True)
            endings = [ending_of(kind, result.path) for kind in self.formats]
            new = [staging / ending for ending in endings]
            for kind, file in zip(self.formats, new, strict=True):
                write(result, kind, file)
            for stem in self.answers.stems.free(result.path, result.expression):
                names = [f"{stem}.{ending}" for ending in endings]
                if _is_free(out, stem, names, result.source, staging):
                    break
            for file, name in zip(new, names, strict=True):
                os.replace(file, out / name)
        except UnwritableOutput:
            raise
        except OSError as error:
            raise UnwritableOutput(
                f"{out} cannot be written ({error.strerror}); make room and repeat the command: it goes on from here"
            ) from error
        return names


def _is_free(out: Path, stem: str, names: Sequence[str], source: str, staging: Path) -> bool:
    """Whether files of a stem may be written: none is there, or those of this image that a killed process left."""
    there = [file for ending in ALL_ENDINGS if os.path.lexists(file := out / f"{stem}.{ending}")]
    for file in there:
        stated = stated_source(file)
        if stated is None and not file.name.endswith(SILENT) or stated not in (None, source):
            return False
        if stated is None and not is_same(file, staging / file.name.removeprefix(f"{stem}.")):
            return False
    return True


def segment_many(
    inputs: Inputs,
    formats: Sequence[Format],
    out: Path | None,
    coco: Path | None,
    as_json: bool,
    quiet: bool,
    run: dict[str, Any],
    load: Callable[[Iterable[str | Path], str | None], tuple[str, "Segmenter"]],
    describe: Callable[["Result"], str],
) -> None:
    """Writes what expressions refer to in many images.

    Args:
        inputs: images and expressions.
        formats: what to write for each expression.
        out: folder for it; None writes no file.
        coco: file for COCO's results.
        as_json: Whether answers are printed as lines of JSON.
        quiet: Whether nothing but errors is printed.
        run: "weights", "threshold", "crf" and "precision"; weights of None are chosen.
        load: gives the name of the weights and what answers; takes images, and the weights of an earlier run.
        describe: an answer for people.
    """
    asked = inputs.images if inputs.expressions is None else questions(inputs.images, inputs.expressions)
    if isinstance(asked, QuestionTable) and (taken := sorted(asked.columns.intersection(FIELDS))):
        raise InvalidInput(f"{asked.file}: column {taken[0]} has the name of a field of the answers; rename it")
    if out and isinstance(inputs.images, str | Path | list):
        folders = [inputs.images] if isinstance(inputs.images, str | Path) else inputs.images
        if any(os.path.isdir(folder) and Path(folder).resolve() == out.resolve() for folder in folders):
            raise InvalidInput(f"{out} holds the photographs; give another folder for the results with --out")
    if not inputs.is_stream:
        sum(1 for _ in asked)  # or an error before the weights are read
    with ExitStack() as stack:
        if out:
            stack.enter_context(only_writer(out))
            remove_staging = partial(shutil.rmtree, out / STAGING, ignore_errors=True)
            remove_staging()  # of a killed process
            stack.callback(remove_staging)
        asked, looked_at = _images(asked, inputs.is_stream)
        weights, segmenter = load(looked_at, _earlier_weights(out) if out else None)
        run = {**run, "weights": weights}
        segmenter.check(inputs.expressions or [], run["threshold"])
        about = about_answers(segmenter, run["weights"], run["threshold"], run["crf"])
        settings = {**about, "precision": segmenter.checkpoint.precision, "formats": list(formats)}
        answers = Answers(out, settings) if out else None
        if coco and coco.exists() and not (answers and answers.count):
            raise UnwritableOutput(f"{coco} is there already; choose another name with --coco, or remove it")
        output = Output(answers, formats, about, as_json, quiet, describe)
        output.resume()
        _answer(segmenter, asked, not inputs.is_stream, run["threshold"], output)
        if coco and answers:
            output.say(write_coco_results(answers, coco))
    output.summarise()


def _images(asked: Iterable[Question], is_stream: bool) -> tuple[Iterable[Question], Iterator[Path]]:
    """Returns the questions, and the paths of their images, of which a stream loses none by being looked at."""
    source = iter(asked) if is_stream else asked
    taken: list[Question] = []

    def paths() -> Iterator[Path]:
        for question in source:
            if is_stream:
                taken.append(question)
            with suppress(RefsegError):  # what has no path is told when it is asked
                yield question.path()

    def all_questions() -> Iterator[Question]:
        yield from taken
        yield from source

    return (all_questions() if is_stream else asked), paths()


def _earlier_weights(out: Path) -> str | None:
    """Returns the weights of an earlier run in a folder, if there was one."""
    try:
        weights = json.loads((out / RUN).read_text(encoding="utf-8"))["weights"]
    except (OSError, ValueError, LookupError, TypeError):  # `Answers` tells what is damaged
        return None
    return weights if isinstance(weights, str) else None


def _answer(
    segmenter: "Segmenter",
    asked: Iterable[Question],
    countable: bool,
    threshold: float | None,
    output: Output,
) -> None:
    """Answers the questions that are left; those that are countable can be read twice."""
    answers = output.answers

    def left(counting: bool = False) -> Iterable[Question]:
        return answers.left(asked, counting) if answers else asked

    total = sum(1 for _ in group_by_image(left(counting=True))) if countable else None
    silent = output.quiet or (output.as_json and output.stdout is None)
    last: str | None = None
    try:
        with (no_progress if silent else progress)(total, of="images") as advance:

            def step(image: str) -> None:
                nonlocal last
                if image != last:
                    advance(last is not None)
                    last = image

            def fail(question: Question, error: RefsegError) -> None:
                step(question.image)
                output.fail(question, error)

            for result in segmenter.many(left(), threshold=threshold, on_error=fail):
                step(result.name)
                output.add(result)
            advance(1)
    except KeyboardInterrupt:
        if answers and answers.count:
            typer.echo(f"{counted(answers.count, 'answer')} written; the same command goes on from there", err=True)
        raise
