"""An authors' file to a checkpoint folder of ours."""

from collections.abc import Mapping
from pathlib import Path

from refseg import __version__, networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.conversion.fit_report import Report, misfits
from refseg.conversion.mapping import fit, take
from refseg.conversion.official_file import read_release, sha256
from refseg.conversion.official_layout import option
from refseg.errors import InvalidInput
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
) -> Report:
    """Writes the checkpoint folder; it is there completely or not at all.

    At most one copy of the weights is in memory, beside the pages of the file that are being read.

    Args:
        conversion: one of `CONVERSIONS`.
        path: the authors' file.
        folder: where to.
        image_size: side of the images; None takes what the file says, or what its authors fed.
        max_words: that an expression may have, special tokens included; None takes what the authors have in most files.
        knows: one line on what the weights know.
        about: what else the card says of them.
        expected: the preset that the file must be; "" takes any.
        report_file: JSON file for all names, written also when the file does not fit.
        vocabulary: the authors' list of words, one a line, for networks whose files hold none.

    Raises:
        MissingFile, InvalidInput: if the file cannot be used.
        UnwritableOutput: if the folder cannot be written.
    """
    release = read_release(conversion, path)
    network, layout, report = fit(conversion, release)
    if expected and report.preset != expected:
        raise InvalidInput(f"{path} holds a {report.preset}, not a {expected}; take the other file of the release")
    if report_file:
        report.write(report_file)
    if not report.fits:
        more = f"{report_file} lists all" if report_file else "--report FILE.json lists all"
        raise InvalidInput(f"{path} does not fit {report.preset}: {misfits(report)}; {more}")
    if max_words:
        network.config = network.config.replace(max_words=max_words)
    tokenizer = _word_list(vocabulary, network) if vocabulary else option(conversion, "tokenizer")(network.config)
    own = network.state_dict()
    state = take(layout, release.tensors, {key: value.dtype for key, value in own.items()})
    check_finite(state, path)
    network.load_state_dict(state, assign=True)
    clip = option(conversion, "CLIPS").get(report.preset, ClipSampling())
    side = image_size or release.image_size or option(conversion, "IMAGE_SIZE")
    digest = sha256(path)
    save_checkpoint(
        Checkpoint(
            name=networks.PRESETS[report.preset],
            network=network,
            tokenizer=tokenizer,
            preprocessing=option(conversion, "preprocessing")(side).replace(clip=clip),
            calibration=Calibration(),
            knows=knows or f"photographs, as the authors of {path.name} trained it",
            card=_card(report, path.name, digest, option(conversion, "IMAGES").format(side=side), about or {}),
            trained_on={"converted_from": path.name, "sha256": digest},
        ),
        folder,
    )
    return report


def _word_list(file: Path, network: Network) -> WordList:
    """The words of a file, as many as the network has vectors of words."""
    vectors = getattr(network.word_encoder, "vectors", None)
    if vectors is None:
        raise InvalidInput(f"this network brings its own words; leave out --vocabulary {file}")
    words = WordList.read(file, network.config.max_words)  # type: ignore[attr-defined]
    if len(words) != vectors.num_embeddings:
        raise InvalidInput(
            f"{file} has {len(words)} words, these weights know {vectors.num_embeddings}; give the list that they were "
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
