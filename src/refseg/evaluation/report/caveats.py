"""Caveats of a report: why its figures may mean little."""

from collections.abc import Sequence

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.counting import counted
from refseg.evaluation.report.few_caveat import find_few_caveat
from refseg.evaluation.rows import ImageAnswers, Row, rows_of
from refseg.inference.predict import truncate
from refseg.preprocessing.transform import Preprocessing
from refseg.protocols.video_protocol import Scoring

MIN_SHARE = 0.05  # share of images or expressions from which on it is worth a sentence
MOSTLY_MISSED = 0.5  # share of empty answers about what is there, from which on it is worth a sentence
INPUTS = {
    "cmpc": ("letterbox_rounded", 320),
    "lavt": ("square", 480),
    "dmmi": ("square", 480),
    "cmirnet": ("square", 480),
    "cris": ("letterbox", 416),
    "vlt": ("letterbox_truncated", 416),
    "rela": ("square", 480),
    "cmpc_video": ("letterbox_rounded", 320),
}
"""What the releases' networks see: how the image is resized, and to which side; `Preprocessing` says what it means."""
WITHOUT_NONE = ("cmpc", "lavt", "cmirnet", "cris", "vlt")
_SAID = {
    "keep": "the image in its own shape",
    "square": "a squashed square",
    "letterbox": "a letterbox",
    "none": "the image at its own size",
}


def find_caveats(
    answers: Sequence[ImageAnswers], protocols: Sequence[Scoring], checkpoint: Checkpoint | None = None
) -> list[str]:
    """Returns one or two sentences for each reason why figures may mean little; most important first.

    Args:
        answers: of the whole data set.
        protocols: how they were scored.
        checkpoint: what answered; None if that was another program.
    """
    caveats = []
    rows = rows_of(answers)
    shown = "videos" if any(row.frame for row in rows) else "images"
    known = [image.unfamiliar for image in answers if image.unfamiliar is not None]
    unfamiliar = sum(known) / len(known) if known else 0.0
    if checkpoint and unfamiliar >= MIN_SHARE:
        caveats.append(
            f"The weights call {_percent(unfamiliar)} of these {shown} unlike all that they were trained on (they know "
            f"{checkpoint.knows or 'what their card says'}). On such {shown} an answer means next to nothing, and so "
            "do the figures below: they say how these weights fail here, not how well the network could do. Use "
            f"weights that were trained on such {shown}."
        )
    if checkpoint:
        texts = list(dict.fromkeys(row.expression for row in rows))
        unknown = sum(bool(checkpoint.tokenizer.unknown_words(text)) for text in texts) / max(len(texts), 1)
        if unknown >= MIN_SHARE:
            caveats.append(
                f"{_percent(unknown)} of the different expressions hold words that the weights have never seen, which "
                "all look alike to them."
            )
        cut = sum(_is_cut(checkpoint, text) for text in texts)
        if cut:
            caveats.append(
                f"{counted(cut, 'different expression', len(texts))} are longer than the network reads (at most "
                f"{checkpoint.tokenizer.max_words} words or pieces) and lost their end."
            )
        caveats += _input_caveats(checkpoint.preprocessing, protocols)
        if shown == "videos" and checkpoint.network.frames == 1:
            caveats.append("The network takes images and answers each frame by itself: it cannot know what moves.")
    if missed := _missed_caveat(rows, protocols[0].name, checkpoint is not None):
        caveats.append(missed)
    unready = [protocol.name for protocol in protocols if protocol.name.partition("@")[0] in WITHOUT_NONE]
    if unready and (none := sum(not row.has_target for row in rows)):
        caveats.append(
            f"{counted(none, 'expression', len(rows))} refer to nothing. The releases behind {', '.join(unready)} were "
            "made for data where every expression refers to something, and count the others as their arithmetic falls: "
            "an empty answer is IoU 1 in vlt, not a number in cmpc, and 0 in the rest."
        )
    if nowhere := sum(image.nowhere for image in answers):
        caveats.append(
            f"Counted as if referring to nothing, since no annotated frame shows what they name: "
            f"{counted(nowhere, 'expression')}. Do the labels of the frames have the numbers that the "
            f"expressions name? `refseg "
            "data check` lists them."
        )
    images = len({row.image_id for row in rows})
    expressions = len({(row.image_id, row.id) for row in rows}) if shown == "videos" else len(rows)
    if few := find_few_caveat(expressions, images, shown.removesuffix("s")):
        caveats.append(few)
    return caveats


def share_missed(rows: Sequence[Row], protocol: str) -> float:
    """Returns the share of empty answers about what is there, 0 where nothing is."""
    answered = [row.scores[protocol].has_prediction for row in rows if row.has_target and protocol in row.scores]
    return 1 - sum(answered) / len(answered) if answered else 0.0


def _missed_caveat(rows: Sequence[Row], protocol: str, has_weights: bool) -> str:
    """Returns a caveat where most answers about what is there are empty, "" elsewhere."""
    missed = share_missed(rows, protocol)
    if missed < MOSTLY_MISSED:
        return ""
    no_merit = (
        ", so that those that are right where nothing is meant (N-acc, gIoU) are no merit"
        if any(not row.has_target for row in rows)
        else ""
    )
    why = (
        "The network has not learnt what exists, or its threshold of existence was fitted to other data; `refseg "
        "calibrate` fits it, to data in which some expressions refer to nothing"
        if has_weights
        else "Check that these are the masks of this data set, with values other than 0 where an object is"
    )
    return f"{_percent(missed)} of the answers about what is there are empty{no_merit}. {why}."


def _input_caveats(preprocessing: Preprocessing, protocols: Sequence[Scoring]) -> list[str]:
    """Returns a caveat of protocols whose official release has another network input than this network."""
    sees, side = preprocessing.resize, preprocessing.side
    other: dict[tuple[str, int], list[str]] = {}
    for protocol in protocols:
        name = protocol.name.partition("@")[0]
        if name in INPUTS and INPUTS[name] != (sees, side):
            other.setdefault(INPUTS[name], []).append(protocol.name)
    if not other:
        return []
    theirs = "; ".join(
        f"{', '.join(names)}: {_SAID[resize.split('_')[0]]} of {size} x {size}"
        for (resize, size), names in other.items()
    )
    size = "" if sees == "none" else f" (side {side})"
    return [
        f"The network sees {_SAID[sees.split('_')[0]]}{size}, which is not what these protocols' releases show "
        f"theirs ({theirs}). Masks are counted exactly as the releases count them, but the figures compare networks "
        "and pictures at once: set them beside published ones with care."
    ]


def _is_cut(checkpoint: Checkpoint, text: str) -> bool:
    """Whether the end of an expression is lost; tokenizers of pieces cut by themselves and remark on it."""
    tokenizer = checkpoint.tokenizer
    if truncate(tokenizer, text) != text:
        return True
    return bool(tokenizer.remarks(text)) and not tokenizer.unknown_words(text)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
