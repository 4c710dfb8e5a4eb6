"""Checks of data sets of images in files, for `refseg data check`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.counting import counted
from refseg.datasets.storage.annotation_masks import MaskFile, draw, has_more_values
from refseg.datasets.storage.index import BOX_ONLY, CROWD, MISSING, Index
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.tools.findings import (
    Finding,
    Track,
    Verdict,
    as_size,
    check_encodings,
    make_finding,
    sort_by_verdict,
)
from refseg.datasets.tools.kinds import check_kinds
from refseg.datasets.tools.no_target import check_no_target
from refseg.datasets.tools.photographs import Photograph, check_photographs, read_photograph
from refseg.datasets.tools.published_counts import PUBLISHED, SHARE_IMAGES
from refseg.datasets.tools.sentences import SentenceEntry, check_sentences
from refseg.errors import MissingFile, RefsegError, option, shortened
from refseg.preprocessing.images import open_image

READERS = 8
MAX_OUTSIDE = 2.0  # pixels that an outline may leave the image by; annotators click a little outside


def examine(
    dataset: IndexedDataset,
    against: Sequence[IndexedDataset] = (),
    tokens: Sequence[int] = (),
    fast: bool = False,
    track: Track = lambda items, what: items,
) -> list[Finding]:
    """Runs all checks of a data set; problems come first, then notes.

    Args:
        dataset: with split "all".
        against: data sets, with split "all" too, that are trained on or reported together with it.
        tokens: further limits of BERT's word pieces.
        fast: do not read more of images than their size, and draw no masks.
        track: gives the same items again, and may show progress.
    """
    photographs = _read_photographs(dataset, fast, track)
    return sort_by_verdict(
        [
            *_counts(dataset),
            *check_kinds(dataset),
            _no_target(dataset),
            *_repeated_ids(dataset),
            check_encodings(dataset.sources()),
            *_files(dataset, photographs),
            *check_photographs(photographs),
            *_objects(dataset, photographs, fast, track),
            *check_sentences(_entries(dataset), tokens, track),
            *_leaks(dataset, photographs),
            *(_leaks_between(dataset, other) for other in against),
        ]
    )


def _counts(dataset: IndexedDataset) -> Iterator[Finding]:
    """Compares names and sizes of splits with the published ones."""
    published = PUBLISHED.get((dataset.name, dataset.split_by))
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
                found.append(f"split {split} has {counted(have, what.removesuffix('s'))}, published are {want:,}")
    advice = (
        "take the file again from its source; a file of another division (split_by) or a cut-off one counts differently"
    )
    yield make_finding("counts", found, "splits are not those that were published", advice, examples=len(found))


def _no_target(dataset: IndexedDataset) -> Finding:
    """Counts the expressions that refer to nothing, by split."""
    referents = np.diff(dataset.index["expression_targets"])
    splits = [*filter(None, dataset.splits)] or ["all"]
    return check_no_target(dataset.name, {split: referents[dataset.expressions_of(split)].tolist() for split in splits})


def _repeated_ids(dataset: IndexedDataset) -> Iterator[Finding]:
    """Finds ids that the sources give to several things."""
    repeated = dataset.index.repeated
    refs = [id for id in repeated if id.startswith("ref ")]
    others = [id for id in repeated if id not in refs]
    advice = "make them unique; here the last one in the image counts, in other programs the last one of all"
    yield make_finding("repeated ids", others, "ids of annotations or images that occur more than once", advice)
    what = "ids of refs that occur more than once"
    yield make_finding("repeated refs", refs, what, "programs that count or find refs by their ids lose some", "note")


def _read_photographs(dataset: IndexedDataset, fast: bool, track: Track) -> list[Photograph]:
    """Reads all images of the index in several threads."""
    index = dataset.index

    def look_up(number: int) -> Path | Photograph:
        try:
            return dataset.find_image(index.text("image_file", number))
        except MissingFile as error:
            return Photograph("missing", str(error))
        except RefsegError as error:  # a name that leads out of the folder
            return Photograph("unreadable", str(error))

    with ThreadPoolExecutor(READERS) as pool:
        waiting: list[Photograph | Future[Photograph]] = []
        for number, (height, width) in enumerate(index["image_hw"].tolist()):
            found = look_up(number)
            if isinstance(found, Path):
                opened = partial(dataset.open_file, index.text("image_file", number))
                waiting.append(pool.submit(read_photograph, str(found), opened, (height, width), fast))
            else:
                waiting.append(found)
        try:
            return [one.result() if isinstance(one, Future) else one for one in track(waiting, "images")]
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for all the others
            raise


def _files(dataset: IndexedDataset, photographs: Sequence[Photograph]) -> Iterator[Finding]:
    """Finds photographs that are missing, damaged or of another size."""

    def of(trouble: str) -> list[str]:
        return [photograph.message for photograph in photographs if photograph.trouble == trouble]

    index = dataset.index
    missing = [
        f"{index.text('image_file', number)} (image {index.text('image_id', number)})"
        for number, photograph in enumerate(photographs)
        if photograph.trouble == "missing"
    ]
    where = next(iter(of("missing")), "")
    yield make_finding("images missing", missing, "annotated images that are in no folder", where)
    yield make_finding("images unreadable", of("unreadable"), "images that cannot be decoded", "download these again")
    advice = "take the original photographs; masks are drawn on the annotated size"
    yield make_finding("image sizes", of("size"), "images of another size than annotated", advice)


def _objects(dataset: IndexedDataset, photographs: Sequence[Photograph], fast: bool, track: Track) -> Iterator[Finding]:
    """Checks masks and boxes of everything that an expression names."""
    index = dataset.index
    missing, crowds, empty, broken, beyond, cut = (list[str]() for _ in range(6))
    for number in track(np.unique(index["targets"]).tolist(), "masks"):
        name = f"object {index.text('object_id', number)}"
        state, image = index["object_state"][number], int(index["object_image"][number])
        if state == MISSING:
            missing.append(name)
            continue
        name += f" in image {index.text('image_id', image)}"
        if state == CROWD:
            crowds.append(name)
        photograph = photographs[image]
        size_hw = photograph.size_hw or tuple(index["image_hw"][image].tolist())
        if not all(size_hw):
            continue
        try:
            pieces = index.pieces(number) if fast else dataset.pieces(number)
            box = index["object_box"][number]
            if _beyond(box, size_hw) or any(_beyond(p, size_hw) for p in pieces if isinstance(p, np.ndarray)):
                beyond.append(f"{name} ({as_size(size_hw)})")
            if state == BOX_ONLY:
                if not (box[0] < box[2] and box[1] < box[3]):
                    empty.append(name)
            elif not fast:
                if not draw(pieces, size_hw).any():
                    empty.append(name)
                cut += [piece.path for piece in pieces if isinstance(piece, MaskFile) and _is_soft(piece)]
        except RefsegError as error:
            turned = f" (turned as EXIF says it is {as_size(photograph.turned)})" if photograph.turned else ""
            broken.append(f"{name}: {error}{turned}")
    advice = "take instances.json and the refs from one source; expressions about them cannot be scored"
    yield make_finding(
        "annotations missing", missing, "objects that expressions name and no annotation describes", advice
    )
    if fast:
        yield Finding("masks", "skipped", 0, f"masks were not drawn, images not decoded ({option('fast', True)})")
    yield make_finding("masks unreadable", broken, "masks that cannot be drawn", "download the annotations again")
    what = "mask files of more than two values: soft edges are cut at half, labels are inside whatever their number"
    yield make_finding("mask values", cut, what, "save masks as black and one other value, as PNG", "note")
    advice = "their expressions score 0 whatever is answered; leave them out or mend the annotation"
    yield make_finding("masks empty", empty, "objects without a pixel", advice)
    advice = "masks are cut at the border; many of them mean that images and annotations do not belong together"
    yield make_finding(
        "masks outside", beyond, f"outlines or boxes more than {MAX_OUTSIDE:g} pixels outside", advice, "note"
    )
    yield make_finding("crowds", crowds, "expressions name crowd regions", "some loaders leave these out", "note")


def _is_soft(piece: MaskFile) -> bool:
    """Whether a mask's file, which can be drawn, has more than two values."""
    if piece.path.endswith(".mat"):
        return False
    with open_image(piece.path) as image:
        return has_more_values(image)


def _beyond(coordinates: NDArray[np.float64], size_hw: tuple[int, int]) -> bool:
    """Whether any x or y (in turns) lies outside of the image."""
    height, width = size_hw
    points = coordinates.reshape(-1, 2)
    return bool((points < -MAX_OUTSIDE).any() or (points > (width + MAX_OUTSIDE, height + MAX_OUTSIDE)).any())


def _entries(dataset: IndexedDataset) -> list[SentenceEntry]:
    index = dataset.index
    return [
        SentenceEntry(
            index.text("expression_id", number),
            index.text(f"expression_{dataset.text}", number),
            f"image {index.text('image_id', image)}",
            index.targets(number),
        )
        for number, image in enumerate(index["expression_image"].tolist())
    ]


def _leaks(dataset: IndexedDataset, photographs: Sequence[Photograph]) -> Iterator[Finding]:
    """Finds photographs in two splits, under one name or two; parts of one test are not compared."""
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
        name = shortened(" = ".join(f"image {index.text('image_id', number)}" for number in numbers))
        if any(not (a.startswith("test") and b.startswith("test")) for a, b in combinations(splits, 2)):
            shared.append(f"{name} in {' and '.join(splits)}")
        elif len(numbers) > 1:
            copies.append(name)
    promised = (dataset.name, dataset.split_by) not in SHARE_IMAGES
    advice = "figures on these are not held out; train without them" if promised else "this division is known for it"
    verdict: Verdict = "problem" if promised else "note"
    yield make_finding("leaks", shared, "photographs in more than one split", advice, verdict)
    yield make_finding("copies", copies, "photographs that are there under two names", verdict="note")


def _leaks_between(dataset: IndexedDataset, other: IndexedDataset) -> Finding:
    """Finds photographs, by COCO id, that one of two data sets trains on and the other tests on."""
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
    return make_finding(
        check, found, f"photographs trained on in one set, tested on in the other ({other.root})", advice
    )


def _coco_ids(index: Index) -> dict[str, set[int]]:
    """Returns the COCO ids of each split's photographs."""
    found: dict[str, set[int]] = {name: set() for name in index.names["split"]}
    for number, splits in _splits_of(index).items():
        if (coco_id := int(index["image_coco"][number])) >= 0:
            for split in splits:
                found[split].add(coco_id)
    return found


def _splits_of(index: Index) -> dict[int, set[str]]:
    """Returns the splits of each image, by its number; unnamed splits are left out."""
    found: dict[int, set[str]] = defaultdict(set)
    for image, split in np.unique(np.stack([index["expression_image"], index["expression_split"]]), axis=1).T.tolist():
        if name := index.names["split"][split]:
            found[image].add(name)
    return found


def _trains(split: str) -> bool:
    return split.startswith("train")
