"""`refseg convert`: weights of the papers' authors to a checkpoint folder of ours, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.commands.completion import complete_conversions
from refseg.conversion import AUTO, CONVERSIONS

if TYPE_CHECKING:
    from refseg.conversion.fit_report import Report


def convert(
    network: Annotated[
        str,
        typer.Argument(
            help=f"Whose file it is: {', '.join(CONVERSIONS)}; or {AUTO}, the file tells.",
            show_default=False,
            autocompletion=complete_conversions,
        ),
    ],
    source: Annotated[Path, typer.Argument(help="The authors' file (.pth; cmpc: .npz).", show_default=False)],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write; the file with --to-official.")],
    image_size: Annotated[
        int | None,
        typer.Option(
            min=32, max=4096, help="Side of the images.", show_default="what the file says, or what its authors fed"
        ),
    ] = None,
    max_words: Annotated[
        int | None,
        typer.Option(
            min=3,
            max=77,
            help="Words of an expression, special ones included.",
            show_default="20; cris: 17, RefCOCOg 22",
        ),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="cmpc: the authors' list of words, one a line.", show_default=False)
    ] = None,
    knows: Annotated[str, typer.Option(help="What the weights know, for their card: 'photographs of COCO'.")] = "",
    report: Annotated[Path | None, typer.Option(help="JSON file for what became of each tensor.")] = None,
    to_official: Annotated[
        bool, typer.Option("--to-official", help="The way back: SOURCE is a folder of ours, --out the file.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
) -> None:
    """Convert published weights, tensor by tensor; what does not fit is refused, code in a file is never run."""
    from rich.console import Console
    from rich.text import Text

    from refseg.conversion.fit_report import MARK
    from refseg.conversion.source_file import check_file
    from refseg.errors import InvalidInput, choose_one
    from refseg.files.atomic import check_absent, check_file_writable, check_writable
    from refseg.files.earlier import check_earlier, named
    from refseg.files.lock import only_writer

    if network not in CONVERSIONS and network != AUTO:
        raise InvalidInput(f"nothing converts {network!r}; {choose_one(network, (*CONVERSIONS, AUTO))}")
    if to_official and (image_size or max_words or vocabulary or knows):
        raise InvalidInput(
            "--image-size, --max-words, --vocabulary and --knows describe a checkpoint of ours; leave them out with "
            "--to-official"
        )
    if to_official and out.is_dir():
        raise InvalidInput(f"{out} is a folder; give the file to write, for example --out official.pth")
    if to_official:
        from refseg.checkpoints.config_file import check_weights

        check_weights(source)
    else:
        check_file(source)
    check_file_writable(out) if to_official else check_writable(out)
    if not overwrite:
        check_absent(out, "add --overwrite, or choose another --out")
    reports = []
    if report:
        check_file_writable(report)
        reports = check_earlier({report: MARK})
    with only_writer(out, beside=True), Console(stderr=True).status(Text(f"converting {source}")):
        done = (
            _back(network, source, out, report)
            if to_official
            else _forth(network, source, out, image_size, max_words, knows, report, vocabulary, overwrite)
        )
    show(done, back=to_official)
    typer.echo(f"written: {out}")
    if report:
        typer.echo(f"report: {named(report, reports)}")


def _forth(
    network: str,
    source: Path,
    out: Path,
    size: int | None,
    words: int | None,
    knows: str,
    report: Path | None,
    vocabulary: Path | None,
    overwrite: bool,
) -> "Report":
    from refseg.conversion.to_checkpoint import convert

    return convert(
        network, source, out, size, words, knows, report_file=report, vocabulary=vocabulary, overwrite=overwrite
    )


def _back(network: str, source: Path, out: Path, report: Path | None) -> "Report":
    from refseg.checkpoints.io import load_checkpoint
    from refseg.conversion.mapping import write_official
    from refseg.conversion.official_layout import find_layout
    from refseg.errors import InvalidInput

    checkpoint = load_checkpoint(source)
    if network == AUTO:
        names = (name for name in CONVERSIONS if checkpoint.name in find_layout(name).networks)
        network = next(names, network)
    layout = find_layout(network)
    if checkpoint.name not in layout.networks:
        raise InvalidInput(f"{source} holds a {checkpoint.name}; --to-official writes {network} here")
    done = write_official(layout, checkpoint.network, out)
    if report:
        done.write(report)
    return done


def show(report: "Report", back: bool = False) -> None:
    """What became of the tensors, a line a group."""
    typer.echo(f"{report.preset}: {report.tensors_taken} tensors {'written' if back else 'taken'}")
    titles = {
        "aliases": "written again under a second name" if back else "dropped, the second name of a tensor",
        "unused": "never used, filled" if back else "dropped, never used",
    }
    for group, title in titles.items():
        if counts := report.groups.get(group):
            typer.echo(f"{title}: {sum(counts.values())}")
            for pattern, count in counts.items():
                typer.echo(f"  {count:5}  {pattern}")
    if report.others:
        typer.echo(f"not read: {', '.join(report.others)}")
