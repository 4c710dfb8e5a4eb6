"""Conversion of an authors' file to a checkpoint folder."""

from collections.abc import Mapping
from pathlib import Path

from refseg import __version__, networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.checkpoints.official_release import command_for, conversion_command, recognise
from refseg.conversion import AUTO, CONVERSIONS
from refseg.conversion.fit_report import MARK, Report, misfits
from refseg.conversion.mapping import fit, from_official
from refseg.conversion.official_layout import find_layout
from refseg.conversion.source_file import check_file
from refseg.counting import counted
from refseg.errors import InvalidInput, another_out, for_caller, option
from refseg.files.atomic import check_absent
from refseg.files.digest import sha256
from refseg.files.earlier import check_earlier
from refseg.files.tensor_files import check_finite
from refseg.networks.network import Network
from refseg.preprocessing.transform import ClipSampling
from refseg.text.word_list import WordList


def convert(
    conversion: str,
    path: Path,
    folder: Path,
    image_size: int | None = None,
    max_words: int | None = None,
    knows: str = "",
    about: Mapping[str, str] | None = None,
    expected: str = "",
    report_file: Path | None = None,
    vocabulary: Path | None = None,
    overwrite: bool = False,
) -> Report:
    """Converts an authors' file to a checkpoint folder, which is there completely or not at all.

    At most one copy of the weights is in memory, beside the mapped pages of the file.

    Args:
        conversion: one of `CONVERSIONS`, or "auto": the file tells which.
        path: the authors' file.
        folder: of the checkpoint.
        image_size: side of the images; by default that of the file, or else of the layout.
        max_words: largest number of tokens of an expression, special ones included; by default the preset's.
        knows: one line on the domain of the weights.
        about: further rows of the model card.
        expected: the preset that the file must be; "" takes any.
        report_file: JSON file for all names, also written when the release does not fit.
        vocabulary: the authors' list of words, one a line, for networks whose files hold none.
        overwrite: Whether a checkpoint that the folder holds is replaced.

    Raises:
        MissingFile, InvalidInput: if the file cannot be used.
        UnwritableOutput: if the folder or the report cannot be written, or would replace something else.
    """
    if not overwrite:
        check_absent(folder, f"add {option('overwrite', True)}, or choose {another_out()}")
    if report_file:
        check_earlier({report_file: MARK})
    if conversion == AUTO:
        conversion = _recognised(path)
    layout = find_layout(conversion)
    try:
        release = layout.read(path)
        network, places, report = fit(layout, release)
    except InvalidInput as error:
        command = conversion_command(path)
        if command is None or command.split()[2] == conversion:
            raise
        other = command.split()[2]
        raise InvalidInput(
            f"{path} is a file of {other}, not of {conversion}; convert it with: {command_for(other, path, folder)}"
        ) from error
    if expected and report.preset != expected:
        raise InvalidInput(f"{path} holds a {report.preset}, not a {expected}; take the other file of the release")
    if report_file:
        report.write(report_file)
    if not report.fits:
        where = report_file or for_caller("--report fit.json", "report_file='fit.json'")
        raise InvalidInput(f"{path} does not fit {report.preset}: {misfits(report)}; {where} lists all")
    if max_words:
        network.config = network.config.replace(max_words=max_words)
    tokenizer = (
        _word_list(vocabulary, network)
        if vocabulary
        else layout.tokenizer(
            network.config.max_words  # type: ignore[attr-defined]
        )
    )
    own = network.state_dict()
    state = from_official(places, release.tensors, {key: value.dtype for key, value in own.items()})
    check_finite(state, path)
    network.load_state_dict(state, assign=True)
    clip = layout.clips.get(report.preset, ClipSampling())
    side = image_size or release.image_size or layout.image_size
    digest = sha256(path)
    save_checkpoint(
        Checkpoint(
            name=networks.PRESETS[report.preset],
            network=network,
            tokenizer=tokenizer,
            preprocessing=layout.preprocessing(side).replace(clip=clip),
            calibration=Calibration(),
            knows=knows or f"photographs, as the authors of {path.name} trained it",
            card=_card(report, path.name, digest, layout.image_note.format(side=side), about or {}),
            trained_on={"converted_from": path.name, "sha256": digest},
        ),
        folder,
    )
    return report


def _recognised(path: Path) -> str:
    check_file(path)
    name = recognise(path)
    if name is None:
        raise InvalidInput(
            f"{path} is of no official release that refseg converts: {', '.join(CONVERSIONS)}; "
            "docs/published_weights.md says which files there are"
        )
    return name


def _word_list(file: Path, network: Network) -> WordList:
    """Reads a word list of as many words as the network has word vectors."""
    vectors = getattr(network.word_encoder, "vectors", None)
    if vectors is None:
        raise InvalidInput(f"this network brings its own words; leave out {option('vocabulary', file)}")
    words = WordList.read(file, network.config.max_words)  # type: ignore[attr-defined]
    if len(words) != vectors.num_embeddings:
        raise InvalidInput(
            f"{file} has {counted(len(words), 'word')}, these weights know {vectors.num_embeddings}; give the "
            f"list that they were "
            "trained with"
        )
    return words


def _card(report: Report, file: str, digest: str, images: str, about: Mapping[str, str]) -> str:
    facts = {
        "Network": report.preset,
        "Converted from": f"`{file}`, sha256 `{digest}`",
        **about,
        "Licence of the weights": about.get("Licence of the weights", "not stated"),
        "Images": images,
        "Calibration": "none: a mask wherever the network sees one",
        "Converted by": f"refseg {__version__}, `refseg convert`; no value was changed",
    }
    dropped = [f"* `{pattern}`: {count}" for group in report.groups.values() for pattern, count in group.items()]
    lines = [
        f"# {report.preset}: weights of the authors",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "A licence of the code beside them is not one of the weights: whether you may use them is yours to find out.",
        "",
        "Left out, since it never acts or is the same tensor under another name:",
        "",
        *(dropped or ["* nothing"]),
    ]
    return "\n".join(lines) + "\n"
