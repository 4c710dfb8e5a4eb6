"""`refseg data check`: missing, damaged or leaking files of a data set."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.commands.options import Grefs, Images, Name, Root, SplitBy, given, open_images
from refseg.counting import counted

if TYPE_CHECKING:
    from refseg.datasets.tools.findings import Finding, Track

COLOURS = {"problem": "red", "note": "yellow", "skipped": "dim", "ok": "green"}


def check(
    name: Name,
    root: Root = None,
    split_by: SplitBy = None,
    images: Images = None,
    grefs: Grefs = None,
    tokens: Annotated[
        list[int] | None, typer.Option(min=1, help="A network's limit of word pieces, beside the usual; repeatable.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="A data set that must not leak into this one, such as refcocog=data/refcocog; repeatable.",
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read sizes of images only, draw no masks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check a data set of images or videos: files, counts, masks, sentences, leaks.

    Exit code 0 clean, 1 problems, 2 cannot run.
    """
    from dataclasses import asdict

    from refseg.datasets import class_of
    from refseg.errors import InvalidInput

    _require_checkable(name)
    about: dict[str, Any] = {"dataset": name, "split_by": None}
    if class_of(name).of_clips:
        of_images = given(split_by=split_by, images=images, grefs=grefs, against=against)
        if of_images:
            option = next(iter(of_images)).replace("_", "-")
            raise InvalidInput(f"--{option} is for data sets of images, and {name} holds videos; leave it out")
        about["root"], sizes, findings = _check_videos(name, root, tokens or (), fast)
    else:
        others = list(map(_open_other, against or ()))
        dataset = _open(name, root=root, split_by=split_by, images=images, grefs=grefs)
        findings = _check_images(dataset, others, tokens or (), fast)
        about |= {"split_by": dataset.split_by or None, "root": str(dataset.root)}
        sizes = _sizes(dataset)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        report = {**about, "clean": not problems, "splits": sizes, "findings": list(map(asdict, findings))}
        typer.echo(json.dumps(report, indent=1))
    else:
        _print(f"{name} in {about['root']}", sizes, findings)
    if problems:
        raise typer.Exit(1)


def _check_images(dataset: Any, others: Sequence[Any], tokens: Sequence[int], fast: bool) -> "list[Finding]":
    from refseg.datasets.tools.check import examine

    with _tracking() as track:
        return examine(dataset, others, tokens, fast, track)


def _check_videos(
    name: str, root: Path | None, tokens: Sequence[int], fast: bool
) -> "tuple[str, dict[str, dict[str, int]], list[Finding]]":
    from refseg.datasets.tools.check_videos import examine_videos, open_splits

    opened = open_splits(name, root)
    with _tracking() as track:
        return str(opened.root), opened.sizes, examine_videos(opened, tokens, fast, track)


@contextmanager
def _tracking() -> "Iterator[Track]":
    """Shows progress on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield lambda items, what: progress.track(items, total=len(items), description=what)


def _require_checkable(name: str) -> None:
    from refseg.datasets import class_of
    from refseg.errors import InvalidInput

    if reason := class_of(name).uncheckable:
        raise InvalidInput(f"{name} {reason}")


def _open(name: str, **settings: Any) -> Any:
    _require_checkable(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of ids that occur twice, which are among the findings
        return open_images(name, split="all", **settings)


def _open_other(given: str) -> Any:
    from refseg.errors import InvalidInput

    name, equals, folder = given.partition("=")
    if not equals:
        raise InvalidInput(f"--against {given} has no folder; give it, for example --against {name}=data/{name}")
    return _open(name, root=folder)


def _sizes(dataset: Any) -> dict[str, dict[str, int]]:
    import numpy as np

    from refseg.datasets.tools.kinds import count_kinds, describes_kinds

    found = {}
    for split in [*filter(None, dataset.splits), "all"]:
        numbers = dataset.expressions_of(split)
        images, refs = (len(np.unique(dataset.index[name][numbers])) for name in ("expression_image", "expression_ref"))
        found[split] = {"images": images, "refs": refs, "expressions": len(numbers)}
        if describes_kinds(dataset):
            found[split] |= count_kinds(dataset, split)
    return found


def _print(title: str, sizes: dict[str, dict[str, int]], findings: "Sequence[Finding]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from refseg.errors import printable

    def plain(text: str) -> str:
        return escape(printable(text))

    console = Console()
    columns = next(iter(sizes.values()))
    counts = Table("split", *columns, title=plain(title), title_justify="left")
    for split, size in sizes.items():
        counts.add_row(plain(split), *(f"{value:,}" for value in size.values()))
    table = Table("", "check", "found", "what, and what to do")
    for finding in findings:
        if finding.verdict == "ok":
            continue
        lines = [plain(finding.what), *(f"[dim]· {plain(example)}[/]" for example in finding.examples)]
        if finding.count > len(finding.examples) > 0:
            lines[-1] += "[dim] …[/]"
        if finding.advice:
            lines.append(f"[italic]{plain(finding.advice)}[/]")
        colour = COLOURS[finding.verdict]
        count = f"{finding.count:,}" if finding.count else ""
        table.add_row(f"[{colour}]{finding.verdict}[/]", plain(finding.check), count, "\n".join(lines))
        table.add_section()
    console.print(counts)
    if table.row_count:
        console.print(table)
    passed = ", ".join(finding.check for finding in findings if finding.verdict == "ok")
    problems = sum(finding.verdict == "problem" for finding in findings)
    console.print(f"[green]nothing found by[/]: {plain(passed)}")
    told = f"problems found by {counted(problems, 'check', len(findings))}"
    console.print(f"[red]{told}[/]" if problems else "[green]no problems[/]")
