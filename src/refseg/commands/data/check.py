"""`refseg data check`: what is missing, damaged or leaking in a data set of files."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.commands.dataset_options import Grefs, Images, Name, Root, SplitBy, open_images

if TYPE_CHECKING:
    from refseg.datasets.tools.findings import Finding

NOT_OF_FILES = {
    "drawn_scenes": "is drawn on the fly, so there is nothing to check",
    "rec_pretraining": "is put together from other data sets; check those, with --against each other",
}
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
        list[str] | None, typer.Option(help="NAME=FOLDER of a data set that must not leak into this one; repeatable.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read sizes of images only, draw no masks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check a data set: files, counts, images, masks, sentences, leaks. Exit code 0 clean, 1 problems, 2 cannot run."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress

    from refseg.datasets.doctor import examine
    from refseg.errors import InvalidInput

    others = []
    for given in against or []:
        other, equals, folder = given.partition("=")
        if not equals:
            raise InvalidInput(f"--against {given} has no folder; give NAME=FOLDER, for example refcocog=data/refcocog")
        others.append(_open(other, root=folder))
    dataset = _open(name, root=root, split_by=split_by, images=images, grefs=grefs)
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def track(items: Sequence[Any], what: str) -> Iterable[Any]:
            return progress.track(items, total=len(items), description=what)

        findings = examine(dataset, others, tokens or (), fast, track)
    sizes = _sizes(dataset)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        about = {"dataset": name, "split_by": getattr(dataset, "split_by", None), "root": str(dataset.root)}
        report = {**about, "clean": not problems, "splits": sizes, "findings": list(map(asdict, findings))}
        typer.echo(json.dumps(report, indent=1))
    else:
        _print(f"{name} in {dataset.root}", sizes, findings)
    if problems:
        raise typer.Exit(1)


def _open(name: str, **settings: Any) -> Any:
    from refseg.errors import InvalidInput

    if name in NOT_OF_FILES:
        raise InvalidInput(f"{name} {NOT_OF_FILES[name]}")
    return open_images(name, split="all", **settings)


def _sizes(dataset: Any) -> dict[str, dict[str, int]]:
    import numpy as np

    found = {}
    for split in [*filter(None, dataset.splits), "all"]:
        numbers = dataset.expressions_of(split)
        images, refs = (len(np.unique(dataset.index[name][numbers])) for name in ("expression_image", "expression_ref"))
        found[split] = {"images": images, "refs": refs, "expressions": len(numbers)}
    return found


def _print(title: str, sizes: dict[str, dict[str, int]], findings: "Sequence[Finding]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    counts = Table("split", "images", "refs", "expressions", title=escape(title), title_justify="left")
    for split, size in sizes.items():
        counts.add_row(escape(split), *(f"{value:,}" for value in size.values()))
    table = Table("", "check", "found", "what, and what to do")
    for finding in findings:
        if finding.verdict == "ok":
            continue
        lines = [escape(finding.what), *(f"[dim]· {escape(example)}[/]" for example in finding.examples)]
        if finding.count > len(finding.examples) > 0:
            lines[-1] += "[dim] …[/]"
        if finding.advice:
            lines.append(f"[italic]{escape(finding.advice)}[/]")
        colour = COLOURS[finding.verdict]
        count = f"{finding.count:,}" if finding.count else ""
        table.add_row(f"[{colour}]{finding.verdict}[/]", escape(finding.check), count, "\n".join(lines))
        table.add_section()
    console.print(counts)
    if table.row_count:
        console.print(table)
    passed = ", ".join(finding.check for finding in findings if finding.verdict == "ok")
    problems = sum(finding.verdict == "problem" for finding in findings)
    console.print(f"[green]nothing found by[/]: {escape(passed)}")
    told = f"problems found by {problems} of {len(findings)} checks"
    console.print(f"[red]{told}[/]" if problems else "[green]no problems[/]")
