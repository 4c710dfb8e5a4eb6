"""What is wrong with a data set of files: `refseg data check`.

Every check gives a finding or a few. A "problem" makes figures wrong or training fail; a "note" is how the data are,
good to know before a figure is printed.
"""

import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.datasets.index import BOX_ONLY, CROWD, MISSING, Index
from refseg.datasets.indexed import IndexedDataset
from refseg.datasets.masks import draw
from refseg.datasets.published_counts import PUBLISHED, SHARE_IMAGES
from refseg.encoders.bert import WordPieces
from refseg.encoders.clip_text import BytePairs
from refseg.encoders.tokenizer import Tokenizer
from refseg.encoders.vocabulary import split_words
from refseg.errors import MissingFile, RefsegError
from refseg.mirroring import mirrored

EXAMPLES = 5
READERS = 8
BEYOND = 2.0  # pixels that an outline may leave the image by; annotators click a little outside
TOKENS = (("BERT word pieces", 20), ("CLIP byte pairs", 17), ("CLIP byte pairs", 22))
"""What the papers' networks read, the special tokens included: most of them, CRIS, CRIS on RefCOCOg."""

_NO_LIMIT = 1_000_000
_HIDDEN_SIDE = re.compile(r"\b\w*(?:left|right)\w*\b", re.IGNORECASE)

Verdict = Literal["ok", "note", "problem", "skipped"]
Track = Callable[[Sequence[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        verdict: "ok" if it found nothing, "skipped" if it could not or should not look.
        count: how many it found.
        what: what that means, in a line.
        examples: the first few.
        advice: what to do.
    """

    check: str
    verdict: Verdict
    count: int
    what: str
    examples: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class _Photograph:
    """An image file: what is wrong with it ("" = nothing), its size and a digest of its bytes where they are known."""

    trouble: Literal["", "missing", "unreadable", "size"] = ""
    message: str = ""
    size_hw: tuple[int, int] | None = None
    digest: bytes | None = None


def examine(
    dataset: IndexedDataset,
    against: Sequence[IndexedDataset] = (),
    tokens: Sequence[int] = (),
    fast: bool = False,
    track: Track = lambda items, what: items,
) -> list[Finding]:
    """All findings about a data set, problems first, then notes.

    Args:
        dataset: with split "all".
        against: data sets, with split "all" too, that are trained on or reported together with it.
        tokens: further limits of BERT's word pieces.
        fast: do not read more of images than their size, and draw no masks.
        track: gives the same items again, and may show progress.
    """
    photographs = _read_photographs(dataset, fast, track)
    texts = _texts(dataset)
    findings = [
        *_counts(dataset),
        *_photographs(dataset, photographs),
        *_objects(dataset, photographs, fast, track),
        *_sentences(dataset, texts),
        *_token_limits(texts, tokens, track),
        *_sides(texts),
        *_leaks(dataset, photographs),
        *(_leaks_between(dataset, other) for other in against),
    ]
    order: tuple[Verdict, ...] = ("problem", "note", "skipped", "ok")
    return sorted(findings, key=lambda finding: order.index(finding.verdict))


def _finding(
    check: str,
    found: Sequence[str],
    what: str,
    advice: str = "",
    verdict: Verdict = "problem",
    count: int | None = None,
    examples: int = EXAMPLES,
) -> Finding:
    if not found:
        return Finding(check, "ok", 0, what)
    return Finding(check, verdict, len(found) if count is None else count, what, tuple(found[:examples]), advice)


def _counts(dataset: IndexedDataset) -> Iterator[Finding]:
    """Names and sizes of splits against those that the makers give."""
    published = PUBLISHED.get((dataset.name, getattr(dataset, "split_by", "")))
    if published is None:
        yield Finding("counts", "skipped", 0, f"no published counts of {dataset.name} are known")
        return
    strangers = [name for name in dataset.splits if not any(dataset.belongs(name, split) for split in published)]
    found = [f"split {name!r} is none of {', '.join(published)}" for name in strangers]
    for split, known in published.items():
        numbers = dataset.expressions_of(split)
        if not len(numbers):
            found.append(f"split {split} is missing")
            continue
        index = dataset.index
        images, refs = (len(np.unique(index[name][numbers])) for name in ("expression_image", "expression_ref"))
        for what, have in (("images", images), ("refs", refs), ("expressions", len(numbers))):
            want = getattr(known, what)
            if want not in (None, have):
                found.append(f"split {split} has {have:,} {what}, published are {want:,}")
    advice = (
        "take the file again from its source; a file of another division (split_by) or a cut-off one counts differently"
    )
    yield _finding("counts", found, "splits are not those that were published", advice, examples=len(found))


def _read_photographs(dataset: IndexedDataset, fast: bool, track: Track) -> list[_Photograph]:
    """What each image of the index is like; several threads read them."""
    index = dataset.index

    def read(path: Path, annotated_hw: tuple[int, int]) -> _Photograph:
        try:
            with path.open("rb") as file:
                content = file if fast else io.BytesIO(file.read())
                with Image.open(content) as image:
                    if not fast:
                        image.load()
                    size_hw = image.height, image.width
        except Image.UnidentifiedImageError:
            return _Photograph("unreadable", f"{path} is no image")
        except Exception as error:  # decoders of damaged files raise whatever they like
            return _Photograph("unreadable", f"{path}: {error}")
        digest = hashlib.blake2b(content.getbuffer()).digest() if isinstance(content, io.BytesIO) else None
        if all(annotated_hw) and annotated_hw != size_hw:
            message = f"{path} is {_size(size_hw)}, its annotations are for {_size(annotated_hw)}"
            return _Photograph("size", message, annotated_hw, digest)
        return _Photograph("", "", size_hw, digest)

    def look_up(number: int) -> Path | _Photograph:
        try:
            return dataset.find_image(index.text("image_file", number))
        except MissingFile as error:
            return _Photograph("missing", str(error))

    with ThreadPoolExecutor(READERS) as pool:
        waiting: list[_Photograph | Future[_Photograph]] = []
        for number, (height, width) in enumerate(index["image_hw"].tolist()):
            found = look_up(number)
            waiting.append(pool.submit(read, found, (height, width)) if isinstance(found, Path) else found)
        try:
            return [one.result() if isinstance(one, Future) else one for one in track(waiting, "images")]
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for all the others
            raise


def _photographs(dataset: IndexedDataset, photographs: Sequence[_Photograph]) -> Iterator[Finding]:
    def of(trouble: str) -> list[str]:
        return [photograph.message for photograph in photographs if photograph.trouble == trouble]

    index = dataset.index
    missing = [
        f"{index.text('image_file', number)} (image {index.text('image_id', number)})"
        for number, photograph in enumerate(photographs)
        if photograph.trouble == "missing"
    ]
    where = next(iter(of("missing")), "")
    yield _finding("images missing", missing, "annotated images that are in no folder", where)
    yield _finding("images unreadable", of("unreadable"), "images that cannot be decoded", "download these again")
    advice = "take the original photographs; masks are drawn on the annotated size"
    yield _finding("image sizes", of("size"), "images of another size than annotated", advice)


def _objects(
    dataset: IndexedDataset, photographs: Sequence[_Photograph], fast: bool, track: Track
) -> Iterator[Finding]:
    """Masks and boxes of everything that an expression names."""
    index = dataset.index
    missing, crowds, empty, broken, beyond = [], [], [], [], []
    for number in track(np.unique(index["targets"]).tolist(), "masks"):
        name = f"object {index.text('object_id', number)}"
        state, image = index["object_state"][number], int(index["object_image"][number])
        if state == MISSING:
            missing.append(name)
            continue
        name += f" in image {index.text('image_id', image)}"
        if state == CROWD:
            crowds.append(name)
        size_hw = photographs[image].size_hw or tuple(index["image_hw"][image].tolist())
        if not all(size_hw):
            continue
        box = index["object_box"][number]
        if _beyond(box, size_hw) or any(_beyond(p, size_hw) for p in index.pieces(number) if isinstance(p, np.ndarray)):
            beyond.append(f"{name} ({_size(size_hw)})")
        if state == BOX_ONLY:
            if not (box[0] < box[2] and box[1] < box[3]):
                empty.append(name)
        elif not fast:
            try:
                if not draw(index.pieces(number), size_hw).any():
                    empty.append(name)
            except RefsegError as error:
                broken.append(f"{name}: {error}")
    advice = "take instances.json and the refs from one source; expressions about them cannot be scored"
    yield _finding("annotations missing", missing, "objects that expressions name and no annotation describes", advice)
    if fast:
        yield Finding("masks", "skipped", 0, "masks were not drawn, images not decoded (--fast)")
    yield _finding("masks unreadable", broken, "masks that cannot be drawn", "download the annotations again")
    advice = "their expressions score 0 whatever is answered; leave them out or mend the annotation"
    yield _finding("masks empty", empty, "objects without a pixel", advice)
    advice = "masks are cut at the border; many of them mean that images and annotations do not belong together"
    yield _finding("masks outside", beyond, f"outlines or boxes more than {BEYOND:g} pixels outside", advice, "note")
    yield _finding("crowds", crowds, "expressions name crowd regions", "some loaders leave these out", "note")


def _beyond(coordinates: NDArray[np.float64], size_hw: tuple[int, int]) -> bool:
    """Does any x or y (in turns) lie outside?"""
    height, width = size_hw
    points = coordinates.reshape(-1, 2)
    return bool((points < -BEYOND).any() or (points > (width + BEYOND, height + BEYOND)).any())


def _texts(dataset: IndexedDataset) -> list[str]:
    return [dataset.index.text(f"expression_{dataset.text}", number) for number in range(len(dataset.index))]


def _sentences(dataset: IndexedDataset, texts: Sequence[str]) -> Iterator[Finding]:
    """Empty sentences, ids that occur twice, sentences that occur twice in an image."""
    index = dataset.index
    empty, repeated, ambiguous = [], [], []
    ids = Counter(index.text("expression_id", number) for number in range(len(index)))
    meant: dict[tuple[int, str], set[tuple[int, ...]]] = defaultdict(set)
    for number, (text, image) in enumerate(zip(texts, index["expression_image"].tolist(), strict=True)):
        place = f"about image {index.text('image_id', image)}"
        words, targets = " ".join(split_words(text)), index.targets(number)
        if not words:
            empty.append(f"expression {index.text('expression_id', number)} {place}")
            continue
        before = meant[image, words]
        if targets in before:
            repeated.append(f"{text!r} {place}")
        elif before:
            ambiguous.append(f"{text!r} {place}")
        before.add(targets)
    yield _finding("empty expressions", empty, "expressions without a word", "leave them out: networks refuse them")
    twice = [f"{id} ({count} times)" for id, count in ids.items() if count > 1]
    advice = "rows of an evaluation cannot be told apart; make sent_id unique within its ref and ref_id in the file"
    yield _finding("ids", twice, "ids of expressions that occur more than once", advice)
    advice = "they weigh double in every mean; leave as it is to compare with papers"
    yield _finding("repeated", repeated, "sentences said again about the same referents", advice, "note")
    advice = "nobody can answer both; leave as it is to compare with papers"
    yield _finding("ambiguous", ambiguous, "sentences said about different referents of one image", advice, "note")


def _token_limits(texts: Sequence[str], tokens: Sequence[int], track: Track) -> Iterator[Finding]:
    tokenizers: dict[str, Tokenizer] = {
        "BERT word pieces": WordPieces(_NO_LIMIT),
        "CLIP byte pairs": BytePairs(_NO_LIMIT),
    }
    counts = Counter(text for text in texts if text)
    lengths = {
        name: {text: len(tokenizer.pieces(text)) for text in track(list(counts), name)}
        for name, tokenizer in tokenizers.items()
    }
    for name, limit in [*TOKENS, *(("BERT word pieces", limit) for limit in tokens if limit != TOKENS[0][1])]:
        long = sorted((text for text, length in lengths[name].items() if length > limit), key=lambda text: -len(text))
        cut = sum(counts[text] for text in long)
        most = max(lengths[name].values(), default=0)
        what = f"expressions of more than {limit} {name}, the special ones included; the longest has {most}"
        advice = "their ends are not read; raise the network's max_words, or say so beside the figures"
        yield _finding(f"{limit} {name}", [_short(text) for text in long], what, advice, "note", cut)


def _sides(texts: Sequence[str]) -> Iterator[Finding]:
    """Left and right, which have to change where images are mirrored."""
    with_sides = [text for text in texts if mirrored(text) != text]
    lost = [text for text in with_sides if mirrored(mirrored(text)) != text]
    advice = "mirroring an image must swap these words, whole words only; recipes that flip do"
    yield _finding("left and right", with_sides, "expressions that a mirrored image makes wrong", advice, "note")
    yield _finding("swapped words", lost, "expressions that are not themselves after two swaps", "train without flips")
    words = Counter(word.lower() for text in texts for word in _HIDDEN_SIDE.findall(text) if mirrored(word) == word)
    found = [f"{word} ({count})" for word, count in words.most_common()]
    advice = "right for bright and upright; where a word here is a side after all, train without flips"
    what = "words with left or right inside, which swapping leaves alone"
    yield _finding("words left alone", found, what, advice, "note", words.total())


def _leaks(dataset: IndexedDataset, photographs: Sequence[_Photograph]) -> Iterator[Finding]:
    """Photographs that are in two splits, under one name or two; parts of one test are not held against each other."""
    index = dataset.index
    splits_of = _splits_of(index)
    first_of: dict[tuple[str, Any], int] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for number, photograph in enumerate(photographs):
        keys: list[tuple[str, Any]] = [("number", number)]
        if (coco_id := int(index["image_coco"][number])) >= 0:
            keys.append(("COCO", coco_id))
        if photograph.digest:
            keys.append(("digest", photograph.digest))
        first = next((first_of[key] for key in keys if key in first_of), number)
        first_of |= {key: first for key in keys if key not in first_of}
        alike[first].append(number)
    shared, copies = [], []
    for numbers in alike.values():
        splits = sorted({split for number in numbers for split in splits_of[number]})
        name = _short(" = ".join(f"image {index.text('image_id', number)}" for number in numbers))
        if any(not (a.startswith("test") and b.startswith("test")) for a, b in combinations(splits, 2)):
            shared.append(f"{name} in {' and '.join(splits)}")
        elif len(numbers) > 1:
            copies.append(name)
    promised = (dataset.name, getattr(dataset, "split_by", "")) not in SHARE_IMAGES
    advice = "figures on these are not held out; train without them" if promised else "this division is known for it"
    verdict: Verdict = "problem" if promised else "note"
    yield _finding("leaks", shared, "photographs in more than one split", advice, verdict)
    yield _finding("copies", copies, "photographs that are there under two names", verdict="note")


def _leaks_between(dataset: IndexedDataset, other: IndexedDataset) -> Finding:
    """Photographs that one of two data sets trains on and the other tests on, told by their numbers in COCO."""
    check = f"leaks, {other.name}"
    found = []
    for trains, tests in ((dataset, other), (other, dataset)):
        train = set().union(*(ids for split, ids in _coco_ids(trains.index).items() if _trains(split)))
        by_split = _coco_ids(tests.index)
        if not any(by_split.values()):
            return Finding(check, "skipped", 0, f"{tests.name} does not say which photographs of COCO it uses")
        for split, ids in by_split.items():
            if not _trains(split) and (leaking := sorted(train & ids)):
                where = f"of {trains.name} train in {tests.name} {split}"
                found.append(f"{where}: {len(leaking):,}, for example COCO {leaking[0]}")
    advice = "train on both only without them; rec_pretraining leaves them out"
    return _finding(check, found, f"photographs trained on in one set, tested on in the other ({other.root})", advice)


def _coco_ids(index: Index) -> dict[str, set[int]]:
    """Numbers in COCO of each split's photographs."""
    found: dict[str, set[int]] = {name: set() for name in index.names["split"]}
    for number, splits in _splits_of(index).items():
        if (coco_id := int(index["image_coco"][number])) >= 0:
            for split in splits:
                found[split].add(coco_id)
    return found


def _splits_of(index: Index) -> dict[int, set[str]]:
    """The splits of each image, by its number; what belongs to none is left out."""
    found: dict[int, set[str]] = defaultdict(set)
    for image, split in np.unique(np.stack([index["expression_image"], index["expression_split"]]), axis=1).T.tolist():
        if name := index.names["split"][split]:
            found[image].add(name)
    return found


def _trains(split: str) -> bool:
    return split.startswith("train")


def _size(size_hw: Sequence[int]) -> str:
    return f"{size_hw[1]} x {size_hw[0]} pixels"


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
