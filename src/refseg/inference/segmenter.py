"""Image or video and expressions in, results out: the one way that library, command line and demo take."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.checkpoints import bundled
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.familiarity import unpadded
from refseg.checkpoints.io import load_checkpoint
from refseg.errors import InvalidInput
from refseg.inference.chunks import expressions_at_once
from refseg.inference.crf import DenseCRF, library
from refseg.inference.network_input import Seen, encode, sampling_of
from refseg.inference.results import FrameResult, Result
from refseg.inference.windows import windows
from refseg.masks.boxes import mask_box
from refseg.networks.network import Network, Output
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.images import Rgb, read_image, strips
from refseg.preprocessing.restore import crop_padding, mask_at_image_size, to_image_size
from refseg.video.frames import Frame, Frames
from refseg.video.reading import read_frames

IMAGES_AT_ONCE = 16
CLIPS_AT_ONCE = 8  # at most: how far the answers to a video are behind what was read of it


def load(where: str | Path = bundled.FOR_IMAGES, device: str = "cpu", crf: DenseCRF | None = None) -> "Segmenter":
    """A segmenter with these weights: a checkpoint folder, a bundled name, or a hub id "owner/name".

    With a `refseg.inference.crf.DenseCRF`, masks are drawn to the edges of the image.
    """
    if crf is not None:
        library()  # or an error before the weights are read
    return Segmenter(load_checkpoint(where, device), crf)


@overload
def segment(
    image: Any, expressions: str, weights: str | Path = bundled.FOR_IMAGES, threshold: float | None = None
) -> Result: ...


@overload
def segment(
    image: Any, expressions: Sequence[str], weights: str | Path = bundled.FOR_IMAGES, threshold: float | None = None
) -> list[Result]: ...


def segment(
    image: Any,
    expressions: str | Sequence[str],
    weights: str | Path = bundled.FOR_IMAGES,
    threshold: float | None = None,
) -> Result | list[Result]:
    """The result of one expression, or results of several, about one image; `load` once to ask about many images."""
    return load(weights)(image, expressions, threshold)


class Segmenter:
    """Answers expressions about images; each image is encoded once for all of its expressions.

    Images are what `images.read_image` reads: paths, bytes, PIL images, arrays, tensors. May be used by many threads,
    and after a fork: a call changes nothing that others use.
    """

    def __init__(self, checkpoint: Checkpoint, crf: DenseCRF | None = None):
        self.checkpoint, self.crf = checkpoint, crf
        self.network = checkpoint.network

    def __repr__(self) -> str:
        return f"Segmenter({self.checkpoint.name!r}, knows {self.checkpoint.knows or 'what its card says'!r})"

    @overload
    def __call__(self, image: Any, expressions: str, threshold: float | None = None) -> Result: ...

    @overload
    def __call__(self, image: Any, expressions: Sequence[str], threshold: float | None = None) -> list[Result]: ...

    def __call__(
        self, image: Any, expressions: str | Sequence[str], threshold: float | None = None
    ) -> Result | list[Result]:
        """A result for one expression, a list of results for several.

        Args:
            image: anything that `read_image` reads.
            expressions: one or more sentences about it.
            threshold: probability of existence above which there is a mask; None is the one of the checkpoint.

        Raises:
            MissingFile, InvalidInput: for whatever cannot be read, and for weights whose answers are no numbers.
        """
        if isinstance(expressions, str):
            return next(self.ask(image, [expressions], threshold))
        return list(self.ask(image, expressions, threshold))

    def ask(self, image: Any, expressions: Sequence[str], threshold: float | None = None) -> Iterator[Result]:
        """As calling, but one result after the other, for images so large that not all masks fit into memory."""
        self._check(expressions, threshold)
        pixels = read_image(image)
        return (result for _, result in self._answer([pixels], [expressions], threshold))

    def batch(
        self, images: Sequence[Any], expressions: Sequence[Sequence[str]], threshold: float | None = None
    ) -> list[list[Result]]:
        """Results for many images, `expressions[i]` about `images[i]`; images of one shape are encoded together."""
        if len(images) != len(expressions):
            raise InvalidInput(
                f"{len(images)} images and {len(expressions)} lists of expressions; give one list an image"
            )
        for some in expressions:
            self._check(some, threshold)
        results: list[list[Result]] = [[] for _ in images]
        for start in range(0, len(images), IMAGES_AT_ONCE):
            end = start + IMAGES_AT_ONCE
            pixels = [read_image(image) for image in images[start:end]]
            for i, result in self._answer(pixels, expressions[start:end], threshold):
                results[start + i].append(result)
        return results

    def _check(self, expressions: Sequence[str], threshold: float | None) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise InvalidInput(f"threshold {threshold} is not between 0 and 1; it is a probability, for example 0.5")
        if isinstance(expressions, str):
            raise InvalidInput(f"{expressions!r} is one expression; give a list of them, for example [{expressions!r}]")
        for expression in expressions:
            if not isinstance(expression, str):
                raise InvalidInput(f"{type(expression).__name__} is not an expression; give a string")
            if any("\ud800" <= letter <= "\udfff" for letter in expression):
                raise InvalidInput(f"{expression!r} holds bytes that are no text; give the expression in UTF-8")
            self.checkpoint.tokenizer.ids(expression)

    @overload
    def video(
        self, frames: Any, expressions: str, threshold: float | None = None, every: int = 1, start: int = 0
    ) -> Iterator[FrameResult]: ...

    @overload
    def video(
        self, frames: Any, expressions: Sequence[str], threshold: float | None = None, every: int = 1, start: int = 0
    ) -> Iterator[list[FrameResult]]: ...

    def video(
        self,
        frames: Any,
        expressions: str | Sequence[str],
        threshold: float | None = None,
        every: int = 1,
        start: int = 0,
    ) -> Iterator[FrameResult] | Iterator[list[FrameResult]]:
        """Results frame by frame, while the video is read: however long it is, a few frames of it are in memory.

        A result for each frame if there is one expression, a list of results if there are several.

        Args:
            frames: anything that `video.frames.read_frames` reads: a file, a folder, a `Clip`, or frames in turn.
            expressions: one or more sentences about it.
            threshold: as of calling.
            every: answer the frames start, start + every, ... and no others.
            start: the first frame that is answered; a network that takes clips looks at those before it too.

        Raises:
            MissingFile, InvalidInput: for whatever cannot be read; for frames, when they are reached.

        Warns:
            UserWarning: at the end, for whatever was wrong with the video, as that it ends where its frames change
                their size; of `Frames`, see their `remarks`.
        """
        asked = [expressions] if isinstance(expressions, str) else expressions
        self._check(asked, threshold)
        if every < 1 or start < 0:
            raise InvalidInput(f"every {every} from frame {start} on cannot be answered; every must be 1 or more")
        sampling = sampling_of(self.network, self.checkpoint.preprocessing)
        read = read_frames(frames)
        clips = windows(read, sampling, every, start, self._seen)
        results = self._answer_clips(clips, asked, threshold)
        if read is not frames:
            results = _warned(results, read)
        return (result for (result,) in results) if isinstance(expressions, str) else results

    def _answer(
        self, images: Sequence[Rgb], expressions: Sequence[Sequence[str]], threshold: float | None
    ) -> Iterator[tuple[int, Result]]:
        """Pairs of image index and result; the results of an image come in the order of its expressions."""
        seen = [self._seen(image) for image in images]
        for shape in dict.fromkeys(one.pixels.shape for one in seen):
            members = [i for i, one in enumerate(seen) if one.pixels.shape == shape and expressions[i]]
            if not members:
                continue
            features = encode(self.network, [[seen[i]] for i in members])
            some = [(images[i], seen[i]) for i in members]
            for k, result in self._of_features(features, some, [expressions[i] for i in members], threshold):
                yield members[k], result

    def _answer_clips(
        self, clips: Iterator[tuple[Frame, list[Seen]]], expressions: Sequence[str], threshold: float | None
    ) -> Iterator[list[FrameResult]]:
        """The results of each frame that is answered, in the order of the expressions."""
        for first in clips:
            some = [first, *islice(clips, min(CLIPS_AT_ONCE, self._at_once(first[1][0])) - 1)]
            features = encode(self.network, [clip for _, clip in some])
            shown = [(frame.pixels, clip[self.network.annotated]) for frame, clip in some]
            results: list[list[FrameResult]] = [[] for _ in some]
            for k, result in self._of_features(features, shown, [expressions] * len(some), threshold):
                frame = some[k][0]
                results[k].append(FrameResult(**vars(result), index=frame.index, seconds=float(frame.time)))
            yield from results

    def _of_features(
        self,
        features: Any,
        shown: Sequence[tuple[Rgb, Seen]],
        expressions: Sequence[Sequence[str]],
        threshold: float | None,
    ) -> Iterator[tuple[int, Result]]:
        """As `_answer`, of images of one shape whose features are known."""
        unfamiliar = [self._unfamiliar(features, k, seen.geometry) for k, (_, seen) in enumerate(shown)]
        looks = [self.checkpoint.preprocessing.denormalise(seen.pixels) for _, seen in shown] if self.crf else []
        questions = [(k, text) for k, texts in enumerate(expressions) for text in texts]
        count = self._at_once(shown[0][1])
        for start in range(0, len(questions), count):
            some = questions[start : start + count]
            image_of_expression = torch.tensor([k for k, _ in some], device=self._device)
            output, chosen = self._fuse(features, [text for _, text in some], image_of_expression, threshold)
            if self.crf is not None:
                output.logits = self.crf.refine(output.logits, [looks[k] for k, _ in some])
            for m, (k, text) in enumerate(some):
                image, seen = shown[k]
                yield k, self._result(text, image, seen.geometry, output, chosen, m, k, unfamiliar[k])

    def _at_once(self, seen: Seen) -> int:
        return max(1, expressions_at_once(seen.pixels.shape[-2:]) // self.network.frames)

    def _seen(self, image: Rgb) -> Seen:
        return Seen(*self.checkpoint.preprocessing(image))

    @torch.inference_mode()
    def _fuse(
        self, features: Any, expressions: Sequence[str], image_of_expression: Tensor, threshold: float | None
    ) -> tuple[Output, Tensor | None]:
        """The network's output, and which objects (M, Q) it chose where it knows objects."""
        tokens, word_mask = (tensor.to(self._device) for tensor in self.checkpoint.tokenizer(expressions))
        words = self.network.encode_words(tokens, word_mask)
        network = self._at(threshold)
        output = network.fuse(features, words, word_mask, image_of_expression)
        if not bool(output.exists.isfinite().all() & output.logits.isfinite().all()):
            raise InvalidInput(
                f"the weights of {self.checkpoint.name} give values that are not finite; they are damaged, or their "
                "training failed: get them again, or use others"
            )
        choose = getattr(network, "chosen", None)
        return output, choose(output) if choose else None

    @torch.inference_mode()
    def _result(
        self,
        expression: str,
        image: Rgb,
        geometry: Geometry,
        output: Output,
        chosen: Tensor | None,
        m: int,
        k: int,
        unfamiliar: str | None,
    ) -> Result:
        """The answer to expression m of a chunk, about image k of the features."""
        logits = output.logits[m : m + 1]
        mask = mask_at_image_size(logits, geometry)[0].numpy()
        instance_map = None
        if chosen is not None and output.masks is not None:
            instance_map = _instance_map(output.masks[k, chosen[m]], geometry, mask)
        exists = output.exists[m]
        return Result(
            expression=expression,
            image=image,
            mask=mask,
            exists=float((exists / self.checkpoint.calibration.temperature).sigmoid()),
            logits=crop_padding(logits, geometry)[0, 0].float().cpu().clone(),
            instance_map=instance_map,
            warnings=(*filter(None, [unfamiliar]), *self.checkpoint.tokenizer.remarks(expression)),
            unknown_words=tuple(self.checkpoint.tokenizer.unknown_words(expression)),
        )

    def _unfamiliar(self, features: Any, k: int, geometry: Geometry) -> str | None:
        """A warning when image k is unlike those that the weights were trained on; the padding is not looked at."""
        familiarity = self.checkpoint.familiarity
        if familiarity is None or not hasattr(features, "coarse"):
            return None
        with torch.inference_mode():
            if bool(familiarity.is_familiar(unpadded(features.coarse[k : k + 1], geometry))):
                return None
        return (
            f"the image is unlike what these weights know ({self.checkpoint.knows or 'see their card'}), so the answer "
            'may mean nothing; use other weights: --weights FOLDER, or refseg.load("FOLDER")'
        )

    def _at(self, threshold: float | None) -> Network:
        """The network with the threshold of one call, a probability of existence; None is that of the checkpoint."""
        if threshold is None:
            return self.network
        return self.network.at_threshold(self.checkpoint.calibration.existence_logit(threshold))

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def _warned(results: Iterator[list[FrameResult]], frames: Frames) -> Iterator[list[FrameResult]]:
    yield from results
    for remark in frames.remarks:
        warnings.warn(remark, stacklevel=2)


def _instance_map(masks: Tensor, geometry: Geometry, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which of the objects' mask logits (K, h, w) is the largest (H, W), from 1; 0 outside of the mask (H, W)."""
    instance_map = np.zeros(mask.shape, np.uint8)
    box = mask_box(mask)
    if box is None:
        return instance_map
    left, top, right, bottom = box
    columns, here = slice(left, right), set[int]()
    for rows in strips(slice(top, bottom), right - left):
        largest = to_image_size(masks[:1, None], geometry, rows, columns)[0]
        numbers = torch.ones_like(largest, dtype=torch.uint8)
        for k in range(1, len(masks)):  # one by one: there may be many
            value = to_image_size(masks[k : k + 1, None], geometry, rows, columns)[0]
            numbers.masked_fill_(value > largest, k + 1)
            largest = torch.maximum(value, largest)
        part = instance_map[rows, columns] = numbers.cpu().numpy() * mask[rows, columns]
        here.update(np.unique(part).tolist())
    for new, old in enumerate(sorted(here - {0}), start=1):  # an object without a pixel has no number
        if new != old:
            instance_map[instance_map == old] = new
    return instance_map
