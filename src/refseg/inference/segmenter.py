"""Segmenter: image or video and expressions to results."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.array_types import RgbImage
from refseg.checkpoints import bundled
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint
from refseg.checkpoints.locate import with_settings
from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError, shown
from refseg.inference.checks import check_expressions, number_warnings, unfamiliar_warning
from refseg.inference.chunks import PIXELS_AT_ONCE
from refseg.inference.crf import DenseCRF, library
from refseg.inference.file_result import FileResult
from refseg.inference.network_input import NetworkInput, encode, sampling_of
from refseg.inference.partial_answers import file_stamp
from refseg.inference.predict import (
    Prediction,
    Query,
    batches,
    evaluation_mode,
    exists_probability,
    is_unfamiliar,
    max_batch_pixels,
    max_prediction_expressions,
    predict,
    predict_encoded,
)
from refseg.inference.prefetch import prefetch_map
from refseg.inference.questions import Question, group_by_image, questions
from refseg.inference.results import Candidate, FrameResult, Result
from refseg.inference.windows import windows
from refseg.inference.word_weights import words_of_expression
from refseg.masks.boxes import mask_box
from refseg.networks.network import Candidates, Network, Output
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.images import read_image, strips
from refseg.preprocessing.restore import crop_padding, mask_at_image_size, to_image_size
from refseg.video.frames import Frame, Frames
from refseg.video.reading import read_frames

BATCH_IMAGES = 16
CLIPS_AT_ONCE = 8  # at most: how far the answers to a video are behind what was read of it
FILE_THREADS = 2  # that decode image files ahead; each holds up to four images


def load(
    where: str | Path = bundled.FOR_IMAGES,
    device: str = "cpu",
    crf: DenseCRF | None = None,
    *,
    precision: str = "f32",
    **settings: Any,
) -> "Segmenter":
    """Loads a segmenter.

    Args:
        where: a checkpoint folder, a bundled name, a hub id, or an open model ("clipseg", "clipseg=FOLDER").
        device: where the network runs: "cpu", "cuda", ..., or "auto".
        crf: draws masks to the edges of the image (`refseg.inference.crf.DenseCRF`).
        precision: of the network's arithmetic: "f32", "bf16", or "auto", bf16 if that is faster on the device.
        settings: of the reader: finder, masker, threshold, scorer; of open models theirs.

    Examples:
        >>> load("reader", finder="yolo")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        refseg.errors.InvalidInput: unknown finder 'yolo'; choose one of: coco80, ...
    """
    if crf is not None:
        library()  # or an error before the weights are read
    where = with_settings(where, settings) if settings else where
    return Segmenter(load_checkpoint(where, device, precision), crf)


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
    """Segments an image: a result for one expression, or results for several; `load` once for many images."""
    return load(weights)(image, expressions, threshold)


@dataclass
class _ImageQuery(Query):
    """An image (H, W, 3), or a frame, with its index and its time in seconds; an image has none."""

    pixels: RgbImage
    index: int
    time: Any = None

    @property
    def is_frame(self) -> bool:
        """Whether it is of a video."""
        return self.time is not None


ImageQuery = TypeVar("ImageQuery", bound=_ImageQuery)


@dataclass(eq=False)
class EncodedImages:
    """Images that a network has encoded together.

    Attributes:
        network: the network.
        queries: the B images, without expressions.
        features: output of `encode_image`.
        unfamiliar: whether each image is unlike those that the weights were trained on; None if they cannot tell.
    """

    network: Network
    queries: Sequence[_ImageQuery]
    features: Any
    unfamiliar: Sequence[bool | None]

    @property
    def max_expressions(self) -> int:
        """Number of expressions about these images that are answered at once, at most."""
        return max_prediction_expressions(self.network, self.queries[0].size_hw)


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image with the features that all expressions about it share; `Segmenter.encode` gives it.

    Attributes:
        together: the images that were encoded in one call of the network.
        place: its place among them.
    """

    together: EncodedImages
    place: int

    @property
    def pixels(self) -> RgbImage:
        """The image (H, W, 3)."""
        return self.together.queries[self.place].pixels

    @property
    def familiar(self) -> bool:
        """Whether nothing says that it is unlike the images that the weights were trained on."""
        return not self.together.unfamiliar[self.place]


class Segmenter:
    """Answers expressions about images; each image is encoded once for all of its expressions.

    Images are what `images.read_image` reads: paths, bytes, PIL images, arrays, tensors; or what `encode` made of them,
    for several calls about one image. May be used by many threads, and after a fork: a call changes nothing that others
    use.

    Examples:
        >>> from refseg import load_dataset
        >>> scene = load_dataset("drawn_scenes", split="test", count=1)[0]
        >>> segmenter = load()
        >>> result = segmenter(scene.image, scene.expressions[0].text)
        >>> result.found, result.mask.shape
        (True, (128, 128))
    """

    def __init__(self, checkpoint: Checkpoint, crf: DenseCRF | None = None, view_words: bool = False):
        """Makes a segmenter.

        Args:
            checkpoint: network with its tokenizer and preprocessing.
            crf: draws masks to the edges of the image.
            view_words: whether results tell what weight each word has in the network, `Result.words`.
        """
        self.checkpoint, self.crf, self.view_words = checkpoint, crf, view_words
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

    def knows(self, image: Any) -> bool | None:
        """Whether an image is like those that the weights were trained on; None if the weights cannot tell."""
        (encoded,) = self.encode([image])
        (unfamiliar,) = encoded.together.unfamiliar
        return None if unfamiliar is None else not unfamiliar

    def encode(self, images: Sequence[Any], batch_images: int = BATCH_IMAGES) -> list[EncodedImage]:
        """Encodes images, those of one size together, so that several calls about them need not do so again.

        Args:
            images: anything that `read_image` reads.
            batch_images: as of `encoding_batches`.

        Examples:
            >>> segmenter = load()
            >>> (blank,) = segmenter.encode([np.full((64, 64, 3), 255, np.uint8)])
            >>> [segmenter(blank, expression).found for expression in ("the red star", "both circles")]
            [False, False]
        """
        pixels = [read_image(image) for image in images]
        encoded: dict[int, EncodedImage] = {}
        for batch in self.encoding_batches([(len(one), len(one[0])) for one in pixels], batch_images):
            queries = [
                _ImageQuery([self._network_input(pixels[i])] * self.network.frames, [], pixels[i], i) for i in batch
            ]
            with evaluation_mode(self.network):
                features = encode(self.network, [query.frames for query in queries])
            unfamiliar = [
                is_unfamiliar(self.checkpoint, features, k, query.image.geometry) for k, query in enumerate(queries)
            ]
            together = EncodedImages(self.network, queries, features, unfamiliar)
            encoded |= {i: EncodedImage(together, place) for place, i in enumerate(batch)}
        return [encoded[i] for i in range(len(pixels))]

    def encoding_batches(self, sizes_hw: Sequence[Size], batch_images: int = BATCH_IMAGES) -> list[list[int]]:
        """Returns the indices of images of these sizes, in the batches in which `encode` gives them to the network.

        Args:
            sizes_hw: height and width of each image.
            batch_images: number of images of a batch, at most; fewer where they are large and the network does not
                resize them, or runs on a CPU, where more are no faster.
        """
        sizes = [self.checkpoint.preprocessing.geometry(size_hw).padded_hw for size_hw in sizes_hw]
        first = {size: sizes.index(size) for size in set(sizes)}
        on_cpu = next(self.network.parameters()).device.type == "cpu"
        most = min(max_batch_pixels(self.checkpoint), PIXELS_AT_ONCE if on_cpu else math.inf)
        by_size = sorted(range(len(sizes)), key=lambda i: first[sizes[i]])
        return list(batches(by_size, sizes.__getitem__, batch_images, most))

    def ask(self, image: Any, expressions: Sequence[str], threshold: float | None = None) -> Iterator[Result]:
        """Yields the results one after the other, for images so large that not all masks fit into memory."""
        self.check(expressions, threshold)
        read = self._read(image)
        return (result for _, result in self._predict_images([read], [expressions], threshold))

    def batch(
        self, images: Sequence[Any], expressions: Sequence[Sequence[str]], threshold: float | None = None
    ) -> list[list[Result]]:
        """Segments many images, `expressions[i]` about `images[i]`; images of one shape are encoded together."""
        results: list[list[Result]] = [[] for _ in images]
        for i, result in self.ask_batch(images, expressions, threshold):
            results[i].append(result)
        return results

    def ask_batch(
        self, images: Sequence[Any], expressions: Sequence[Sequence[str]], threshold: float | None = None
    ) -> Iterator[tuple[int, Result]]:
        """Yields the results of `batch` with the indices of their images, while the later ones are computed.

        The results of an image come in the order of its expressions, those of several images in any order.
        """
        if len(images) != len(expressions):
            raise InvalidInput(
                f"{counted(len(images), 'image')} and {counted(len(expressions), 'list')} of expressions; "
                f"give one list an image"
            )
        for some in expressions:
            self.check(some, threshold)
        return self._answer_batches(images, expressions, threshold)

    def _answer_batches(
        self, images: Sequence[Any], expressions: Sequence[Sequence[str]], threshold: float | None
    ) -> Iterator[tuple[int, Result]]:
        for start in range(0, len(images), BATCH_IMAGES):
            end = start + BATCH_IMAGES
            read = [self._read(image) for image in images[start:end]]
            for i, result in self._predict_images(read, expressions[start:end], threshold):
                yield start + i, result

    def many(
        self,
        images: str | Path | Iterable[str | Path | Question | Mapping[str, Any]],
        expressions: Sequence[str] | None = None,
        threshold: float | None = None,
        *,
        root: str | Path | None = None,
        workers: int = FILE_THREADS,
        on_error: Callable[[Question, RefsegError], None] | None = None,
    ) -> Iterator[FileResult]:
        """Yields results of many image files, which are decoded ahead in threads: a few images are in memory at once.

        The results are those of one call an image, in the order of the images; `name`, `path` and `row` of each say
        what it is of. An image that cannot be read, or an expression that the network cannot read, ends nothing.

        Args:
            images: with expressions, a folder of photographs, a glob, a path, or an iterable of these. Without, a table
                .csv or .jsonl with columns image and expression, whose further columns are kept in `row`; or an
                iterable of such rows.
            expressions: one or more sentences about each image.
            threshold: as of calling.
            root: folder of the paths of the table; its own folder if not given.
            workers: threads that decode images; 0 decodes them in this one.
            on_error: receives what could not be answered, in place of a warning.

        Raises:
            MissingFile, InvalidInput: if a table, a folder or a glob cannot be read, or `expressions`.

        Warns:
            UserWarning: for each image or expression that could not be answered, unless there is `on_error`.

        Examples:
            >>> from PIL import Image
            >>> from tempfile import TemporaryDirectory
            >>> segmenter = load()
            >>> with TemporaryDirectory() as photographs:
            ...     for name in "ab":
            ...         Image.new("RGB", (64, 48)).save(f"{photographs}/{name}.png")
            ...     for result in segmenter.many(photographs, ["the red star", "both circles"]):
            ...         print(result.path.name, result.expression, result.mask.shape)
            a.png the red star (48, 64)
            a.png both circles (48, 64)
            b.png the red star (48, 64)
            b.png both circles (48, 64)
        """
        self.check(expressions or [], threshold)
        asked = questions(images, expressions, root)
        return self._answer_files(asked, threshold, workers, on_error or _warn_of_file)

    def _answer_files(
        self,
        asked: Iterable[Question],
        threshold: float | None,
        workers: int,
        on_error: Callable[[Question, RefsegError], None],
    ) -> Iterator[FileResult]:
        def read(group: list[Question]) -> tuple[list[Question], _FileQuery | RefsegError]:
            try:
                path = group[0].path()
                stamp = file_stamp(path) if path.exists() else (0, 0)  # before it is read, lest it changes in between
                pixels = read_image(path)
                return group, _FileQuery([self._network_input(pixels)], [], pixels, 0, path=path, stamp=stamp)
            except RefsegError as error:
                return group, error

        def queries() -> Iterator[_FileQuery]:
            for group, query in prefetch_map(read, group_by_image(asked), workers):
                if isinstance(query, RefsegError):
                    for question in group:
                        on_error(question, query)
                    continue
                readable = []
                for question in group:
                    try:
                        self.check([question.expression], None)
                        readable.append(question)
                    except RefsegError as error:
                        on_error(question, error)
                query.expressions, query.questions = [one.expression for one in readable], iter(readable)
                yield query

        # alone on a CPU, where several are no faster: answers are those of single calls to the last bit
        on_cpu = next(self.network.parameters()).device.type == "cpu"
        for query, result in self._predict(queries(), threshold, 1 if on_cpu else BATCH_IMAGES):
            question = next(query.questions)
            about = {"name": question.image, "path": query.path, "row": question.row, "stamp": query.stamp}
            yield FileResult(**{**vars(result), "source": str(query.path), **about})

    def check(self, expressions: Sequence[str], threshold: float | None = None) -> None:
        """Checks expressions and a threshold; raises InvalidInput if they cannot be answered."""
        check_expressions(self.checkpoint.tokenizer, expressions, threshold)

    @overload
    def video(
        self,
        frames: Any,
        expressions: str,
        threshold: float | None = None,
        every: int = 1,
        start: int = 0,
        frames_at_once: int | None = None,
    ) -> Iterator[FrameResult]: ...

    @overload
    def video(
        self,
        frames: Any,
        expressions: Sequence[str],
        threshold: float | None = None,
        every: int = 1,
        start: int = 0,
        frames_at_once: int | None = None,
    ) -> Iterator[list[FrameResult]]: ...

    def video(
        self,
        frames: Any,
        expressions: str | Sequence[str],
        threshold: float | None = None,
        every: int = 1,
        start: int = 0,
        frames_at_once: int | None = None,
    ) -> Iterator[FrameResult] | Iterator[list[FrameResult]]:
        """Yields results frame by frame, while the video is read: however long it is, a few frames of it are in memory.

        A result for each frame if there is one expression, a list of results if there are several.

        Args:
            frames: anything that `video.frames.read_frames` reads: a file, a folder, a `Clip`, or frames in turn.
            expressions: one or more sentences about it.
            threshold: as of calling.
            every: answer the frames start, start + every, ... and no others.
            start: the first frame that is answered; a network that takes clips looks at those before it too.
            frames_at_once: number of frames that are computed together, at most: how far the results are behind; 8 by
                default, fewer if there are many expressions.

        Raises:
            MissingFile, InvalidInput: for whatever cannot be read; for frames, when they are reached.

        Warns:
            UserWarning: at the end, for whatever was wrong with the video, as that it ends where its frames change
                their size; of `Frames`, see their `remarks`.
        """
        asked = [expressions] if isinstance(expressions, str) else expressions
        self.check(asked, threshold)
        if frames_at_once is None:
            frames_at_once = CLIPS_AT_ONCE
        if frames_at_once < 1:
            raise InvalidInput(f"frames_at_once {frames_at_once} is not allowed; it must be 1 or more")
        if every < 1 or start < 0:
            raise InvalidInput(f"every {every} from frame {start} on cannot be answered; every must be 1 or more")
        sampling = sampling_of(self.network, self.checkpoint.preprocessing)
        read = read_frames(frames)
        clips = windows(read, sampling, every, start, self._network_input)
        results = self._predict_frames(clips, asked, threshold, frames_at_once)
        if read is not frames:
            results = _warned(results, read)
        return (result for (result,) in results) if isinstance(expressions, str) else results

    def _read(self, image: Any) -> "RgbImage | EncodedImage":
        if not isinstance(image, EncodedImage):
            return read_image(image)
        if image.together.network is not self.network:
            raise InvalidInput("the image was encoded by another segmenter; encode it with this one, or give the image")
        return image

    def _predict_images(
        self,
        images: "Sequence[RgbImage | EncodedImage]",
        expressions: Sequence[Sequence[str]],
        threshold: float | None,
    ) -> Iterator[tuple[int, Result]]:
        """Yields image index and result; the results of an image come in the order of its expressions."""
        queries, encoded = [], []
        for index, (image, some) in enumerate(zip(images, expressions, strict=True)):
            if isinstance(image, EncodedImage):
                encoded.append((index, image, some))
            else:
                queries.append(_ImageQuery([self._network_input(image)], some, image, index))
        shapes = list(dict.fromkeys(query.image.pixels.shape for query in queries))
        queries.sort(key=lambda query: shapes.index(query.image.pixels.shape))
        for query, result in self._predict(queries, threshold, BATCH_IMAGES):
            yield query.index, result
        for together in dict.fromkeys(image.together for _, image, _ in encoded):
            yield from self._predict_encoded(
                together, [one for one in encoded if one[1].together is together], threshold
            )

    def _predict_encoded(
        self,
        together: EncodedImages,
        asked: "Sequence[tuple[int, EncodedImage, Sequence[str]]]",
        threshold: float | None,
    ) -> Iterator[tuple[int, Result]]:
        """Yields index and result of (index, image, expressions); an image may be there more than once."""
        texts: list[list[str]] = [[] for _ in together.queries]
        indices: list[list[int]] = [[] for _ in together.queries]
        for index, image, some in asked:
            texts[image.place] += some
            indices[image.place] += [index] * len(some)
        queries = [
            replace(query, expressions=some, index=place)
            for place, (query, some) in enumerate(zip(together.queries, texts, strict=True))
        ]
        predictions = predict_encoded(
            self.checkpoint,
            queries,
            together.features,
            split_expressions=True,
            exists_threshold_logit=self._existence_logit(threshold),
            crf=self.crf,
            view_words=self.view_words,
        )
        of_image = [iter(some) for some in indices]
        for query, result in self._results(predictions, threshold, together.unfamiliar):
            yield next(of_image[query.index]), result

    def _predict_frames(
        self,
        clips: Iterator[tuple[Frame, list[NetworkInput]]],
        expressions: Sequence[str],
        threshold: float | None,
        frames_at_once: int,
    ) -> Iterator[list[FrameResult]]:
        """Yields the results of each frame that is answered, in the order of the expressions."""
        if not expressions:
            yield from ([] for _ in clips)
            return
        queries = (_ImageQuery(clip, expressions, frame.pixels, frame.index, frame.time) for frame, clip in clips)
        first = next(queries, None)
        if first is None:
            return
        count = max_prediction_expressions(self.network, first.size_hw)
        results: list[FrameResult] = []
        for query, result in self._predict(chain([first], queries), threshold, min(frames_at_once, count)):
            results.append(FrameResult(**vars(result), index=query.index, seconds=float(query.time)))
            if len(results) == len(expressions):
                yield results
                results = []

    def _predict(
        self, queries: Iterable[ImageQuery], threshold: float | None, batch_images: int
    ) -> Iterator[tuple[ImageQuery, Result]]:
        """Yields a result for each expression of each image, a few at a time."""
        predictions = predict(
            self.checkpoint,
            queries,
            batch_images=batch_images,
            split_expressions=True,
            exists_threshold_logit=self._existence_logit(threshold),
            crf=self.crf,
            view_words=self.view_words,
        )
        return self._results(predictions, threshold)

    def _existence_logit(self, threshold: float | None) -> float | None:
        return None if threshold is None else self.checkpoint.calibration.existence_logit(threshold)

    def _results(
        self,
        predictions: Iterable[Prediction[ImageQuery]],
        threshold: float | None,
        unfamiliar: Sequence[bool | None] | None = None,
    ) -> Iterator[tuple[ImageQuery, Result]]:
        """Yields a result for each expression of predictions; `unfamiliar` is as of `EncodedImages`, if it is known."""
        logit = self._existence_logit(threshold)
        network = self.network if logit is None else self.network.at_threshold(logit)
        if threshold is None:
            threshold = self.checkpoint.calibration.exists_threshold
        features, strange = None, unfamiliar or ()
        for prediction in predictions:
            output = prediction.output
            if unfamiliar is None and prediction.features is not features:
                features = prediction.features
                strange = [
                    is_unfamiliar(self.checkpoint, features, k, one.image.geometry)
                    for k, one in enumerate(prediction.queries)
                ]
            with torch.inference_mode():
                chosen = network.chosen(output)
            for m, k in enumerate(prediction.image_of_expression.tolist()):
                query, text = prediction.queries[k], prediction.expressions[m]
                result = self._result(text, query, output, chosen, threshold, m, k, bool(strange[k]))
                if prediction.viewed_words:
                    pieces = self.checkpoint.tokenizer.pieces(text)
                    result.words = words_of_expression(prediction.viewed_words, m, pieces)
                yield query, result

    def _network_input(self, image: RgbImage) -> NetworkInput:
        return NetworkInput(*self.checkpoint.preprocessing(image))

    @torch.inference_mode()
    def _result(
        self,
        expression: str,
        query: "_ImageQuery",
        output: Output,
        chosen: Tensor | None,
        threshold: float,
        m: int,
        k: int,
        unfamiliar: bool,
    ) -> Result:
        """The result of expression m of a prediction, about its image k."""
        geometry, logits = query.image.geometry, output.logits[m : m + 1]
        mask = mask_at_image_size(logits, geometry)[0].numpy()
        instance_map, tokenizer = None, self.checkpoint.tokenizer
        reading = output.readings[m] if output.readings is not None else None
        if output.referents is not None:
            instance_map = _instance_map(output.referents[m], geometry, mask)
        elif chosen is not None and output.masks is not None:
            instance_map = _instance_map(output.masks[k, chosen[m]], geometry, mask)
        return Result(
            expression=expression,
            image=query.pixels,
            mask=mask,
            exists=float(exists_probability(self.checkpoint, output.exists[m])),
            logits=crop_padding(logits, geometry)[0, 0].float().cpu().clone(),
            instance_map=instance_map,
            exists_threshold=threshold,
            familiar=not unfamiliar,
            warnings=(
                *((unfamiliar_warning(self.checkpoint.knows, query.is_frame),) if unfamiliar else ()),
                *tokenizer.remarks(expression),
                *(reading.warnings(bool(mask.any())) if reading else ()),
                *number_warnings(expression, instance_map),
            ),
            unknown_words=reading.not_understood if reading else tuple(tokenizer.unknown_words(expression)),
            reading=reading,
            candidates=_candidates(output.candidates[m], geometry) if output.candidates is not None else (),
        )


@dataclass
class _FileQuery(_ImageQuery):
    """An image file with the questions that are left of its group."""

    path: Path = Path()
    stamp: tuple[int, int] = (0, 0)
    questions: Iterator[Question] = field(default_factory=lambda: iter(()))


def _warn_of_file(question: Question, error: RefsegError) -> None:
    warnings.warn(f"{shown(question.expression, 40)} about {question.image}: {error}", stacklevel=2)


def _warned(results: Iterator[list[FrameResult]], frames: Frames) -> Iterator[list[FrameResult]]:
    yield from results
    for remark in frames.remarks:
        warnings.warn(remark, stacklevel=2)


def _candidates(found: Candidates, geometry: Geometry) -> tuple[Candidate, ...]:
    """Returns boxes in pixels of the image."""
    height, width = geometry.own_hw
    sides = (found.places.cpu().double() * torch.tensor([width, height] * 2)).tolist()
    rows = zip(sides, found.scores.tolist(), found.meant.tolist(), strict=True)
    return tuple(Candidate((x0, y0, x1, y1), score, meant) for (x0, y0, x1, y1), score, meant in rows)


def _instance_map(masks: Tensor, geometry: Geometry, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns which of the objects' mask logits (K, h, w) is the largest (H, W), from 1, in the mask (H, W); else 0."""
    if len(masks) == 1:
        return mask.astype(np.uint8)
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
