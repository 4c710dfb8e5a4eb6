"""`refseg weights`: what others published, and how to have it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.commands.columns import align
from refseg.commands.completion import complete_networks, complete_published
from refseg.commands.help import add_command, create_app

if TYPE_CHECKING:
    from rich.console import Console

    from refseg.adapters.entry import AdapterEntry
    from refseg.finders.published import PublishedFinder

NEXT = (
    "Fetch one: refseg weights get NAME. Then: refseg segment photo.jpg 'the red cup' --weights NAME "
    "(of a finder: --weights reader)"
)

app = create_app("List and fetch published weights: those of papers, finders, and open models; publish your own.")


def list_(
    network: Annotated[
        str | None,
        typer.Option(
            help="Only those of a network, preset or open model; a pattern such as 'lavt*' too.",
            show_default="all",
            autocompletion=complete_networks,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List published weights: what they were trained on, what their authors report, and how to have them."""
    from refseg.adapters.catalogue import CATALOGUE as ADAPTERS
    from refseg.adapters.entries.parts import PARTS
    from refseg.checkpoints.catalogue import CATALOGUE, SQUASHED, WEIGHTS_LICENCE, is_installed
    from refseg.commands.matching import match
    from refseg.finders.published import PUBLISHED_FINDERS
    from refseg.networks import PRESETS

    entries, finders, adapters = CATALOGUE, list(PUBLISHED_FINDERS.values()), list(ADAPTERS.values())
    parts = list(PARTS.values())
    if network:
        finders, parts = [], []
        names = {entry.preset: {entry.preset, PRESETS.get(entry.preset, entry.preset)} for entry in CATALOGUE}
        known = dict.fromkeys(name for some in names.values() for name in sorted(some))
        chosen = set(match(network, [*known, *ADAPTERS], "networks with published weights"))
        adapters = [entry for entry in adapters if entry.name in chosen]
        entries = tuple(entry for entry in CATALOGUE if names[entry.preset] & chosen)

    if as_json:
        rows = [
            entry.model_dump()
            | {"name": entry.name, "link": entry.link, "weights_licence": WEIGHTS_LICENCE, "here": is_installed(entry)}
            for entry in entries
        ]
        for row in rows:
            row["kind"] = "network"
        rows += [
            finder.model_dump() | {"kind": "finder", "file": str(finder.path), "here": finder.is_installed()}
            for finder in finders
        ]
        rows += [entry.about() | {"kind": "open model"} for entry in adapters]
        rows += [entry.about() | {"kind": "part of the reader"} for entry in parts]
        typer.echo(json.dumps(rows, indent=1))
        return

    from rich.console import Console

    console, last = Console(highlight=False), ""
    for preset in dict.fromkeys(entry.preset for entry in entries):
        some = [entry for entry in entries if entry.preset == preset]
        first = some[0]
        if first.exported:
            way = f"refseg convert {first.conversion} variables.npz --vocabulary vocabulary.txt --out {preset}"
            way += ", after the export that docs/published_weights.md shows"
        elif not first.conversion:
            way = "conversion: not in this version"
        elif first.link:
            way = f"refseg weights get {first.name}"
        else:
            way = f"download it, then: refseg weights get {first.name} --file model_best.pth"
        where = "Google Drive" if first.link else first.where
        console.print(f"[bold]{preset}[/]: {way}", soft_wrap=True)
        place = f"{where}; licence of the code beside them: {first.code_licence}"
        console.print(f"  {'at the same place' if place == last else f'at {place}'}", soft_wrap=True)
        last = place
        lines = []
        for entry in some:
            protocol = "" if entry.protocol == SQUASHED else f" ({entry.protocol})"
            here = ", here" if is_installed(entry) else ""
            lines.append(["", entry.name, f"{entry.data}: {entry.reported}{protocol}{here}"])
        console.print("\n".join(align(lines, [True, True, True])), soft_wrap=True)
    if entries:
        _print_remarks(console)
    for finder in finders:
        here = ", here" if finder.is_installed() else ""
        console.print(f"[bold]{finder.name}[/], a finder: refseg weights get {finder.name}", soft_wrap=True)
        console.print(f"  {finder.what}, {finder.megabytes}, finds {finder.knows}{here}", soft_wrap=True)
        console.print(f"  licence: {finder.licence}; {finder.reported}", soft_wrap=True)
    for adapter in adapters:
        print_adapter(console, adapter)
    if parts:
        _print_parts(console, parts)
    console.print(f"\n{NEXT}", soft_wrap=True)


def _print_remarks(console: "Console") -> None:
    """Prints what holds of all networks of papers."""
    from refseg.checkpoints.catalogue import SQUASHED, WEIGHTS_LICENCE

    for line in (
        f"Figures are the authors', {SQUASHED} unless said otherwise, in percent; none was run again.",
        "Three of them are for val / testA / testB, two for val / test.",
        f"Licence of the weights: {WEIGHTS_LICENCE}, whatever that of the code.",
        "Links could not be tried when this was written.",
    ):
        console.print(line, soft_wrap=True)


def print_adapter(console: "Console", entry: "AdapterEntry") -> None:
    """Prints what an open model is, its licence and size, and what others report of it."""
    from refseg.adapters.hub_model import size_text

    here = ", here" if entry.is_installed() else ""
    console.print(f"[bold]{entry.name}[/], an open model: refseg weights get {entry.name}", soft_wrap=True)
    about = f"{entry.title}, {size_text(entry.size)}, {entry.parameters / 1e6:.0f} M parameters"
    console.print(f"  {about}; {entry.knows}{here}", soft_wrap=True)
    for model in entry.default_models:
        gated = "; to be accepted at its page, where many requests are rejected" if model.gated else ""
        console.print(f"  {model.page}, licence: {model.licence}{gated}", soft_wrap=True, markup=False)
    for fact in entry.reported:
        console.print(f"  {fact.text} ({fact.source}; not run by us)", soft_wrap=True, markup=False)


def _print_parts(console: "Console", entries: "list[AdapterEntry]") -> None:
    """Prints the open models that are parts of the reader, one a line."""
    from refseg.adapters.hub_model import size_text

    console.print("[bold]parts of the reader[/], open models: refseg weights get NAME", soft_wrap=True)
    for entry in entries:
        (model,) = entry.default_models
        here = ", here" if entry.is_installed() else ""
        about = f"{model.id}, {size_text(model.size)}, licence: {model.licence}{here}"
        console.print(f"  {entry.name}: {entry.usage}; {about}", soft_wrap=True, markup=False)


def get(
    name: Annotated[
        str, typer.Argument(help="As in `refseg weights list`.", show_default=False, autocompletion=complete_published)
    ],
    file: Annotated[Path | None, typer.Option(help="The authors' file, if you have it; nothing is downloaded.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write the checkpoint.", show_default="the local store")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file for what became of each tensor.")] = None,
) -> None:
    """Fetch published weights and convert them; then `--weights NAME` and `refseg.load("NAME")` know them.

    Open models come from the hub as they are; `NAME:revision=COMMIT` pins one, and `florence2:model=large-ft` chooses.
    """
    from refseg.adapters.entries.parts import PARTS
    from refseg.checkpoints import catalogue, locate
    from refseg.conversion.fetch import get
    from refseg.conversion.fit_report import MARK
    from refseg.errors import InvalidInput
    from refseg.files.atomic import check_absent, check_file_writable, check_writable
    from refseg.files.earlier import check_earlier, named
    from refseg.finders.published import PUBLISHED_FINDERS

    if name in PUBLISHED_FINDERS:
        if folder or report:
            raise InvalidInput(f"{name} is kept in the local store as it is; leave out --folder and --report")
        _get_finder(PUBLISHED_FINDERS[name], file)
        return
    if name in PARTS or locate.named_adapter(name):
        if file or folder or report:
            raise InvalidInput(f"{name} comes from the hub as it is; leave out --file, --folder and --report")
        _get_adapter(name)
        return
    entry = catalogue.find_published(name)
    if not file and not folder and catalogue.is_installed(entry):
        typer.echo(f"already here: {catalogue.store(name)}; delete it to fetch it again")
        return
    check_writable(folder or catalogue.store(name))
    if folder:
        check_absent(folder, "choose another --folder, or remove it first")
    reports = []
    if report:
        check_file_writable(report)
        reports = check_earlier({report: MARK})
    before = [] if folder or not catalogue.is_installed(entry) else [catalogue.store(name)]
    written, done = get(entry, folder, file, report)

    from refseg.commands.convert import show

    show(done)
    typer.echo(f"licence of the weights: {catalogue.WEIGHTS_LICENCE}; of the code beside them: {entry.code_licence}")
    typer.echo(f"written: {named(written, before)}")
    if report:
        typer.echo(f"report: {named(report, reports)}")
    weights = written if folder else name
    typer.echo(f'try: refseg segment photo.jpg "the person on the left" --weights {weights}')


def push(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder.", show_default=False)],
    hub_id: Annotated[str, typer.Argument(help="Where on the hub: owner/name.", show_default=False)],
    licence: Annotated[
        str, typer.Option(help="Of the weights, by the hub's name for it.", show_default="what the card says")
    ] = "",
    results: Annotated[
        Path | None,
        typer.Option(help="Folder of `refseg evaluate`, whose figures the hub shows.", show_default=False),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str, typer.Option(help="Of the commit.", show_default="the network's name")] = "",
) -> None:
    """Put weights on the Hugging Face hub, from where everybody loads them by OWNER/NAME.

    Only the weights and texts are sent. The card gets the metadata that the hub reads. Log in first: `hf auth login`.
    """
    from refseg.checkpoints.hub import push as run

    page = run(folder, hub_id, licence=licence, results=results, private=private, message=message)
    typer.echo(f"sent: {page}")
    typer.echo(f'try: refseg segment image.png "what to find" --weights {hub_id}')


def _get_finder(entry: "PublishedFinder", file: Path | None) -> None:
    from refseg.conversion.fetch_finder import get_finder, is_intact

    if not file and is_intact(entry):
        typer.echo(f"already here: {entry.path}")
        return
    typer.echo(f"{entry.name} ({entry.what}): {entry.megabytes} from {file or entry.link}")
    written = get_finder(entry, file)
    typer.echo(f"licence of the weights: {entry.licence}; finds {entry.knows}")
    typer.echo(f"written: {written}")
    typer.echo('try: refseg segment photo.jpg "the person on the left" --weights reader')


def _get_adapter(name: str) -> None:
    from refseg.adapters.catalogue import adapter_entry
    from refseg.adapters.entries.parts import PARTS
    from refseg.checkpoints.locate import named_adapter, settings_of
    from refseg.commands.progress import progress
    from refseg.errors import InvalidInput

    adapter, own = (name, None) if name in PARTS else named_adapter(name) or (name, None)
    if own:
        raise InvalidInput(f"{own} is here, nothing is to be fetched; give --weights {name}")
    entry = PARTS.get(adapter) or adapter_entry(adapter)
    config = entry.configured(settings_of(name))
    said: list[str] = []

    def say(line: str) -> None:
        typer.echo(line)
        said.append(line)

    folders = entry.get(config, say, progress)
    for part, folder in folders.items():
        model = entry.models(config)[part]
        typer.echo(f"{'written' if said else 'already here'}: {folder}")
        typer.echo(f"  {model.id}, commit {folder.name}, licence: {model.licence}")
    usage = entry.usage or f"--weights {entry.spelled(config)}"
    typer.echo(f'try: refseg segment photo.jpg "the dog" {usage}')


add_command(app, list_, "list", "weights")
add_command(app, get, "get", "weights")
add_command(app, push, "push", "weights")
