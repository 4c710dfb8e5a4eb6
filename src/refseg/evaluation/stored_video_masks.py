"""Masks of videos as folders of PNG, in the layouts of the challenges.

VIDEO/EXPRESSION/FRAME.png        0 and 255; as Refer-YouTube-VOS and MeViS take it
anno_K/VIDEO/FRAME.png            labels of objects, one image for all texts of annotator K = 0, 1, ...; as DAVIS's tool
                                  takes Ref-DAVIS17
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from refseg.array_types import Mask
from refseg.datasets.ref_davis import by_annotator
from refseg.datasets.storage.annotated_frames import AnnotatedFrame, iter_annotated_frames
from refseg.datasets.tools.mask_ids import mask_id
from refseg.errors import InvalidInput, UnwritableOutput, another_out, first_line
from refseg.evaluation.clip_answers import join_frames
from refseg.evaluation.clip_scoring import Save, ScoredFrame, first_mask_wins, score_frame
from refseg.evaluation.rows import ImageAnswers
from refseg.evaluation.stored_masks import StoredMasks, compare_ids, open_masks, read_masks
from refseg.files.names import file_name
from refseg.inference.prefetch import prefetch_map
from refseg.masks.overlay import COLOURS
from refseg.preprocessing.images import open_image
from refseg.protocols.video_protocol import FrameAnswers, Scoring
from refseg.samples import Clip

BY_ANNOTATOR = frozenset({"ref_davis"})
"""Data sets whose masks are written as labels."""
ANNOTATOR = "anno_{}"
_PALETTE = np.array([(0, 0, 0), *COLOURS], np.uint8)


def saver(dataset: str, folder: Path) -> Save:
    """Returns a function that writes the answers to a frame, in the usual layout of the data set."""

    def expressions(answers: FrameAnswers) -> None:
        for number, mask in enumerate(answers.masks):
            write_mask(mask_file(folder, mask_id(answers.clip, number, answers.t)), mask)

    def annotators(answers: FrameAnswers) -> None:
        clip = answers.clip
        for k, texts in enumerate(by_annotator(clip)):
            objects = np.array([0, *(clip.expressions[number].targets[0] for number in texts)], np.uint8)
            image = Image.fromarray(objects[answers.labels(texts)], "P")
            image.putpalette(np.tile(_PALETTE, (-(-256 // len(_PALETTE)), 1))[:256].tobytes())
            _write(mask_file(folder / ANNOTATOR.format(k), f"{clip.clip_id}/{clip.frame_name(answers.t)}"), image)

    return annotators if dataset in BY_ANNOTATOR else expressions


class AnnotatorFolders(StoredMasks):
    """The masks of anno_K/VIDEO/FRAME.png: the pixels of the label of what an expression names."""

    def __init__(self, place: Path, clips: Iterable[Clip]):
        super().__init__()
        self.place = place
        self._files: dict[str, tuple[Path, tuple[int, ...]]] = {}
        for clip in clips:
            for k, texts in enumerate(by_annotator(clip)):
                folder = place / ANNOTATOR.format(k) / file_name(clip.clip_id, "video")
                there = {file.stem: file for file in sorted(folder.glob("*")) if file.suffix.lower() == ".png"}
                for number in texts:
                    objects = clip.expressions[number].targets
                    for t in range(len(clip)):
                        if (name := clip.frame_name(t)) in there:
                            self._files[mask_id(clip, number, t)] = there[name], objects
        self.ids = frozenset(self._files)

    def mask(self, id: str) -> Mask:
        """The mask of that expression and frame."""
        file, objects = self._files[id]
        try:
            with open_image(file) as image:
                mode, labels = image.mode, np.asarray(image)
        except Exception as error:  # decoders of damaged files raise whatever they like
            raise InvalidInput(f"{file} cannot be read ({first_line(error)}); is it damaged?") from error
        if mode not in ("P", "L"):
            raise InvalidInput(f"{file} holds colours ({mode}), not numbers of objects; write one channel of labels")
        return np.isin(labels, objects)


def open_folders(place: Path, clips: Iterable[Clip]) -> StoredMasks:
    """The masks of videos of a folder in either layout; or of JSON Lines, whose ids are EXPRESSION/FRAME.

    Raises:
        MissingFile, InvalidInput: if there are none.
    """
    return AnnotatorFolders(place, clips) if (place / ANNOTATOR.format(0)).is_dir() else open_masks(place)


def compare_frames(masks: StoredMasks, clips: Iterable[Clip]) -> list[str]:
    """As `compare_ids`, of those frames whose truth is known; masks of the others may be there."""
    wanted, allowed = list[str](), set[str]()
    for clip in clips:
        for frame in iter_annotated_frames(clip):
            wanted += [mask_id(clip, number, frame.t) for number in frame.asked]
        allowed |= {mask_id(clip, number, t) for number in range(len(clip.expressions)) for t in range(len(clip))}
    return compare_ids(masks, wanted, allowed)


def score_videos(
    masks: StoredMasks, clips: Iterable[Clip], protocols: Sequence[Scoring], workers: int = 0
) -> Iterator[ImageAnswers]:
    """Yields the rows of clips, one after the other; an empty mask predicts no target.

    Raises:
        InvalidInput: if a mask is not of its frames' size.
    """

    def score(one: tuple[int, AnnotatedFrame]) -> tuple[int, ScoredFrame]:
        number, frame = one
        answers = read_frame_masks(masks, frame)
        stacked = torch.from_numpy(np.stack(answers))
        none = ~stacked.flatten(1).any(1)
        exists = [masks.exists(mask_id(frame.clip, number, frame.t)) for number in frame.asked]
        scored = score_frame(
            number,
            frame,
            lambda protocol, where: protocol.from_masks(stacked[where], none[where]),
            first_mask_wins(answers),
            none,
            exists,
            0.0,
            protocols,
        )
        return number, scored

    frames = ((number, frame) for number, clip in enumerate(clips) for frame in iter_annotated_frames(clip))
    return join_frames(prefetch_map(score, frames, workers), protocols)


def read_frame_masks(masks: StoredMasks, frame: AnnotatedFrame) -> list[Mask]:
    """The masks (H, W) of the expressions that are asked of a frame.

    Raises:
        InvalidInput: if one is not of its size.
    """
    return read_masks(masks, [mask_id(frame.clip, number, frame.t) for number in frame.asked], frame.size_hw)


def mask_file(folder: Path, id: str) -> Path:
    """The file of the mask with this id: each part between slashes is a folder in the one before, the last a PNG.

    Raises:
        InvalidInput: if a part cannot be the name of one file or folder.
    """
    *folders, name = (file_name(part, "part of an expression id") for part in id.split("/"))
    return folder.joinpath(*folders, f"{name}.png")


def write_mask(file: Path, mask: Mask) -> None:
    """Writes a mask (H, W) as a PNG of 0 and 255, in a folder that need not be there."""
    _write(file, Image.fromarray(mask.astype(np.uint8) * 255))


def _write(file: Path, image: Image.Image) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, "PNG")
    except OSError as error:
        reason = error.strerror or error
        raise UnwritableOutput(f"{file} cannot be written ({reason}); choose {another_out()}") from error
