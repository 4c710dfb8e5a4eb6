"""Checks of data sets of videos in files, for `refseg data check`."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

from refseg.counting import counted
from refseg.datasets import class_of
from refseg.datasets.storage.clip_dataset import ClipOfFiles, ClipsOfFiles, LabelledClip
from refseg.datasets.storage.frame_files import FrameFiles
from refseg.datasets.storage.ids import repeated
from refseg.datasets.storage.reading import find_folder
from refseg.datasets.tools.findings import (
    Finding,
    Track,
    as_size,
    check_encodings,
    make_finding,
    sort_by_verdict,
)
from refseg.datasets.tools.no_target import check_no_target
from refseg.datasets.tools.photographs import Photograph, check_photographs, read_photograph
from refseg.datasets.tools.sentences import SentenceEntry, check_sentences
from refseg.errors import MissingFile, RefsegError, option, shortened

READERS = 8


@dataclass
class _Faults:
    """Faults of one or more videos, by kind, a line each."""

    frames_missing: list[str] = field(default_factory=list)
    frames_unreadable: list[str] = field(default_factory=list)
    frame_sizes: list[str] = field(default_factory=list)
    labels_missing: list[str] = field(default_factory=list)
    labels_unreadable: list[str] = field(default_factory=list)
    frames_unlabelled: list[str] = field(default_factory=list)
    labels_alone: list[str] = field(default_factory=list)
    nowhere: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    frames: list[Photograph] = field(default_factory=list)

    def add(self, other: "_Faults") -> None:
        """Adds the faults of another video."""
        for name, found in vars(other).items():
            getattr(self, name).extend(found)


@dataclass(frozen=True)
class Opened:
    """Open splits of a data set of videos.

    Attributes:
        name: of the data set.
        root: its folder.
        splits: by name.
        refused: what is wrong with the splits that cannot be opened.
    """

    name: str
    root: Path
    splits: Mapping[str, ClipsOfFiles]
    refused: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Numbers of videos and expressions of each split."""
        return {
            split: {"videos": len(clips), "expressions": clips.expression_count} for split, clips in self.splits.items()
        }


def open_splits(name: str, root: Path | None) -> Opened:
    """Opens all splits of a data set of videos that its folder has.

    Raises:
        MissingFile, InvalidInput: if there is none, or none can be opened.
    """
    kind: type[ClipsOfFiles] = class_of(name)
    folder = find_folder(kind.name, kind.folder, kind.name, root)
    found, refused = dict[str, ClipsOfFiles](), dict[str, RefsegError]()
    for split in kind.splits_in(folder) or ["train"]:
        try:
            found[split] = kind(split, folder)
        except RefsegError as error:
            refused[split] = error
    if not found:
        raise next(iter(refused.values()))
    return Opened(name, folder, found, tuple(f"split {split}: {error}" for split, error in refused.items()))


def examine_videos(
    opened: Opened,
    tokens: Sequence[int] = (),
    fast: bool = False,
    track: Track = lambda items, what: items,
) -> list[Finding]:
    """Runs all checks of a data set of videos; problems come first, then notes.

    Args:
        opened: the data set.
        tokens: further limits of BERT's word pieces.
        fast: do not read more of frames than their size, and no labels.
        track: gives the same items again, and may show progress.
    """

    def examine(clips: ClipsOfFiles, number: int) -> _Faults:
        return _examine(clips, number, fast)

    faults, firsts = _Faults(), defaultdict[bytes, dict[str, str]](dict)
    with ThreadPoolExecutor(READERS) as pool:
        waiting = [
            (split, video.id, pool.submit(examine, clips, number))
            for split, clips in opened.splits.items()
            for number, video in enumerate(clips.listed)
        ]
        try:
            for split, video, answer in track(waiting, "videos"):
                found = answer.result()
                faults.add(found)
                if found.frames and (digest := found.frames[0].digest):
                    firsts[digest][split] = video
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for all the others
            raise
    sources = dict.fromkeys(source for clips in opened.splits.values() for source in clips.sources())
    what = "splits whose annotations cannot be read"
    return sort_by_verdict(
        [
            make_finding("splits", opened.refused, what, "take these files again from their source"),
            check_encodings(list(sources)),
            check_no_target(opened.name, {split: _referents(clips) for split, clips in opened.splits.items()}),
            _repeated_keys(list(sources)),
            *_findings(faults, fast),
            *check_photographs(faults.frames, "frames"),
            *check_sentences(_entries(opened), tokens, track),
            _leaks(firsts.values()),
        ]
    )


def _examine(clips: ClipsOfFiles, number: int, fast: bool) -> _Faults:
    """Finds the faults of one video."""
    faults, video = _Faults(), clips.listed[number]
    untold = [one for one, truth in zip(video.expressions, video.annotations, strict=True) if truth is None]
    faults.untold += [f"expression {one.id}" for one in untold]
    try:
        clip = clips[number]
        len(clip)
    except MissingFile as error:
        faults.frames_missing.append(str(error))
    except RefsegError as error:
        faults.frames_unreadable.append(str(error))
    else:
        _examine_frames(clip, faults, fast)
        if not fast and len(untold) < len(video.expressions):
            _examine_masks(clip, faults)
    return faults


def _examine_frames(clip: ClipOfFiles, faults: _Faults, fast: bool) -> None:
    sizes = list[tuple[str, tuple[int, int]]]()
    if isinstance(clip.frames, FrameFiles):
        there = [file for file in clip.frames.files if file.is_file()]
        if missing := [file for file in clip.frames.files if not file.is_file()]:
            others = f" and {len(missing) - 1:,} more of this video" if len(missing) > 1 else ""
            faults.frames_missing.append(f"{missing[0]}{others}")
        faults.frames += [read_photograph(str(file), partial(open, file, "rb"), fast=fast) for file in there]
        faults.frames_unreadable += [one.message for one in faults.frames if one.trouble]
        sizes += [(one.name, one.size_hw) for one in faults.frames if one.size_hw]
    else:
        try:
            for t in range(1 if fast else len(clip)):
                height, width, _ = clip.frame(t).shape
                sizes.append((f"frame {t} of {clip.clip_id}", (height, width)))
        except RefsegError as error:
            faults.frames_unreadable.append(str(error))
    if changed := [(name, size_hw) for name, size_hw in sizes if size_hw != sizes[0][1]]:
        (name, size_hw), (first, first_hw) = changed[0], sizes[0]
        faults.frame_sizes.append(f"{name} is {as_size(size_hw)}, {first} {as_size(first_hw)}")


def _examine_masks(clip: ClipOfFiles, faults: _Faults) -> None:
    annotated = [number for number, truth in enumerate(clip.video.annotations) if truth is not None]
    asked = defaultdict[int, list[int]](list)
    try:
        for number in annotated:
            for t in clip.annotated_frames(number):
                asked[t].append(number)
    except MissingFile as error:
        faults.labels_missing.append(str(error))
        return
    except RefsegError as error:
        faults.labels_unreadable.append(str(error))
        return
    if isinstance(clip, LabelledClip):
        _compare_with_labels(clip, faults)
        if not clip.label_files:
            return
    seen, unreadable = set[int](), list[str]()
    for t, numbers in sorted(asked.items()):
        try:
            seen.update(number for number, shown in zip(numbers, clip.visible(t, numbers), strict=True) if shown)
        except RefsegError as error:
            unreadable.append(str(error))
    faults.labels_unreadable += unreadable
    if not unreadable:  # it may be there
        for number in annotated:
            expression = clip.expressions[number]
            if expression.targets and number not in seen:
                objects = ", ".join(map(str, expression.targets))
                faults.nowhere.append(
                    f"expression {expression.id} names object {objects}: {shortened(expression.text)!r}"
                )


def _compare_with_labels(clip: LabelledClip, faults: _Faults) -> None:
    """Finds frames without a label image, and label images without a frame."""
    names = {clip.frame_name(t) for t in range(len(clip))}
    if not clip.label_files:
        faults.labels_missing.append(f"video {clip.clip_id} has none")
    elif unlabelled := sorted(names - clip.label_files.keys()):
        faults.frames_unlabelled.append(
            f"video {clip.clip_id}: {counted(len(unlabelled), 'frame')}, the first {unlabelled[0]}"
        )
    if alone := sorted(clip.label_files.keys() - names):
        faults.labels_alone.append(f"{clip.label_files[alone[0]]} (of {len(alone):,} in this video)")


def _findings(faults: _Faults, fast: bool) -> Iterator[Finding]:
    advice = "take these files again from their source"
    yield make_finding("frames missing", faults.frames_missing, "frames, or videos, that are not there", advice)
    yield make_finding(
        "frames unreadable", faults.frames_unreadable, "frames, or videos, that cannot be decoded", advice
    )
    what = "videos whose frames are of several sizes"
    yield make_finding("frame sizes", faults.frame_sizes, what, "masks are for the size of the first frame")
    what = "expressions whose truth is not given out: they can be answered and submitted, not scored"
    yield make_finding("truth", faults.untold, what, verdict="note")
    if fast:
        yield Finding("masks", "skipped", 0, f"masks were not read, frames not decoded ({option('fast', True)})")
    what = "videos without masks whose ground truth is published"
    yield make_finding("masks missing", faults.labels_missing, what, advice)
    what = "masks that cannot be read, or are of another size than the frames"
    yield make_finding("masks unreadable", faults.labels_unreadable, what, advice)
    what = "expressions that name objects which no annotated frame shows"
    advice = "compare the labels with obj_id: 0 is the background, k object k; expressions about nothing have obj_id []"
    yield make_finding("objects in no frame", faults.nowhere, what, advice)
    what = "videos some frames of which have no image of labels"
    yield make_finding("frames without labels", faults.frames_unlabelled, what, "these are not scored", "note")
    what = "images of labels for which there is no frame"
    yield make_finding("labels without frames", faults.labels_alone, what, "they are not read", "note")


def _referents(clips: ClipsOfFiles) -> list[int]:
    """Returns the number of referents of each expression whose truth is given out."""
    return [
        len(one.targets)
        for video in clips.listed
        for one, truth in zip(video.expressions, video.annotations, strict=True)
        if truth is not None
    ]


def _repeated_keys(paths: Sequence[Path]) -> Finding:
    """Finds videos and expressions that a JSON file names twice; programs read only the last one."""
    found = list[str]()
    for path in paths:

        def note(pairs: list[tuple[str, object]], path: Path = path) -> dict[str, object]:
            found.extend(f"{key!r} in {path}" for key in repeated(key for key, _ in pairs))
            return dict(pairs)

        if path.suffix.lower() == ".json":
            content = path.read_bytes()
            json.loads(content.decode(json.detect_encoding(content)), object_pairs_hook=note)
    what = "names that occur more than once in an object of a JSON file, the last of which counts"
    return make_finding("repeated ids", found, what, "give each video, and each of its expressions, an id of its own")


def _entries(opened: Opened) -> list[SentenceEntry]:
    entries = []
    for split, clips in opened.splits.items():
        where = f" of {split}" if len(opened.splits) > 1 else ""  # splits may use an id of their own each
        for video in clips.listed:
            for one, truth in zip(video.expressions, video.annotations, strict=True):
                entries.append(SentenceEntry(f"{one.id}{where}", one.text, f"video {video.id}{where}", truth))
    return entries


def _leaks(alike: Iterable[Mapping[str, str]]) -> Finding:
    """Finds videos in two splits by their first frame; parts of one test are not compared."""
    found = []
    for of_splits in alike:
        if any(not (a.startswith("test") and b.startswith("test")) for a, b in combinations(of_splits, 2)):
            found.append(" = ".join(f"{video} of {split}" for split, video in of_splits.items()))
    advice = "figures on these are not held out; train without them"
    return make_finding("leaks", found, "videos that begin alike in more than one split", advice)
