"""Where a stage's batches come from: drawn scenes, or a data set of files; both the same to the run."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.data import Dataset

from refseg import datasets
from refseg.batch import Batch
from refseg.counting import counted
from refseg.datasets.drawn_scenes.dataset import TYPE_SHARES, VERSION, DrawnScenes
from refseg.datasets.drawn_scenes.mixed_tiers import mix_tiers
from refseg.datasets.drawn_scenes.stored_scenes import StoredScenes, stored_scenes
from refseg.datasets.storage.annotated_frames import AnnotatedFrames
from refseg.encoders import build_tokenizer
from refseg.errors import InvalidInput
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import FileData, SceneData, Stage
from refseg.samples import Sample
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import MAX_WORDS, Vocabulary
from refseg.text.word_list import WordList
from refseg.training.data.file_batches import FileBatches, items_of
from refseg.training.data.held_out import HeldOut
from refseg.training.data.scene_batches import SceneBatches, TokenTable
from refseg.training.progress import print_once

VALIDATION_IMAGES, VALIDATION_PHOTOGRAPHS = 16, 4  # a batch


class Source(ABC):
    """Training and validation data of a recipe or of a stage.

    Attributes:
        preprocessing: of its images.
        knows: what images a network knows that learnt from it, for warnings and cards.
        workers: processes that make batches, for each device.
        types: of its expressions, by which validation reports.
    """

    preprocessing: Preprocessing
    knows: str
    workers: int
    types: tuple[str, ...] = ()

    @abstractmethod
    def tokenizer(self, config: Any) -> Tokenizer:
        """The tokenizer of a network with this config."""

    @abstractmethod
    def batches(self, stage: Stage, tokenizer: Tokenizer, key: tuple[int, int], rank: int, world: int) -> Any:
        """The batches of a stage by part of a step; `key` is the run's seed and the stage's number."""

    @abstractmethod
    def steps_per_epoch(self, stage: Stage) -> float:
        """Steps in which the stage sees everything once."""

    @abstractmethod
    def validation(self, tokenizer: Tokenizer, world: int) -> "ValidationBatches":
        """All expressions of the validation images."""

    def first_texts(self, images: int) -> dict[str, str]:
        """Expressions of the first validation images, by their id; {} where batches have no ids."""
        return {}

    @abstractmethod
    def calibration(self) -> tuple[Sequence[Sample], str]:
        """Samples for thresholds after the training, and what they are."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a checkpoint says of its training data."""


def source_of(data: SceneData | FileData, erases: bool, seed: int = 0, validates: bool = True) -> Source:
    """Opens training and validation data.

    Args:
        data: which.
        erases: whether the network learns from expressions with a phrase erased.
        seed: of the run, by which validation images are held out where the data have no split of them.
        validates: whether checkpoints are chosen by them; a stage with its own data is validated on the recipe's.
    """
    return SceneSource(data, erases) if isinstance(data, SceneData) else FileSource(data, erases, seed, validates)


class SceneSource(Source):
    """Drawn scenes, kept on disk."""

    knows = DrawnScenes.familiar_images
    workers = 0  # a batch is a look-up in memory-mapped arrays
    types = tuple(TYPE_SHARES)

    def __init__(self, data: SceneData, erases: bool):
        self.data, self.erases = data, erases
        self.preprocessing = Preprocessing(side=data.side)
        self.scenes = self._stored("train", data.scenes)
        self.validation_scenes = self._stored("val", data.validation_scenes)
        self._words: TokenTable | None = None

    def tokenizer(self, config: Any) -> Vocabulary:
        """The words of the scenes."""
        return Vocabulary.of(self.scenes.texts, max(getattr(config, "max_words", 0), MAX_WORDS))

    def words(self, tokenizer: Tokenizer) -> TokenTable:
        """All expressions as tokens."""
        if self._words is None:
            self._words = TokenTable(self.scenes.texts, tokenizer, with_phrases=self.erases)
        return self._words

    def batches(
        self, stage: Stage, tokenizer: Tokenizer, key: tuple[int, int], rank: int = 0, world: int = 1
    ) -> SceneBatches:
        """As `Source` says."""
        return SceneBatches(self.scenes, self.words(tokenizer), self.preprocessing, stage, key, rank, world)

    def steps_per_epoch(self, stage: Stage) -> float:
        """Scenes are drawn without end of an epoch; this is when all were seen once."""
        return max(1, (stage.cached_scenes or len(self.scenes)) / stage.images)

    def validation(self, tokenizer: Tokenizer, world: int) -> "ValidationBatches":
        """As `Source` says."""
        words = TokenTable(self.validation_scenes.texts, tokenizer)
        whole = SceneBatches(self.validation_scenes, words, self.preprocessing, whole_images(1), (0, 0))
        return ValidationBatches(whole, len(self.validation_scenes), VALIDATION_IMAGES, world)

    def calibration(self) -> tuple[list[Sample], str]:
        """Scenes of split val."""
        scenes: list[Sample] = [scene for drawn in self._drawn("val", self.data.calibration_scenes) for scene in drawn]
        what = f"drawn_scenes version {VERSION}, tier {' and '.join(self.data.tiers)}, split val"
        return scenes, f"{what}, {counted(len(scenes), 'scene')}"

    def about(self) -> dict[str, Any]:
        """As `Source` says."""
        return {
            "dataset": "drawn_scenes",
            "version": VERSION,
            "tier": " and ".join(self.data.tiers),
            "scenes": len(self.scenes),
            "expressions": len(self.scenes.texts),
            "seed": self.data.seed,
        }

    def _drawn(self, split: str, count: int) -> list[DrawnScenes]:
        """The scenes of each tier, which share the count."""
        data, share = self.data, count // len(self.data.tiers)
        return [DrawnScenes(split, share, tier=tier, side=data.side, seed=data.seed) for tier in data.tiers]

    def _stored(self, split: str, count: int) -> StoredScenes:
        workers = os.cpu_count() or 1
        return mix_tiers([stored_scenes(scenes, workers, _report(scenes)) for scenes in self._drawn(split, count)])


def _report(scenes: DrawnScenes) -> Callable[[int], None]:
    """What says how many scenes are drawn, from the numbers of those that are drawn since it was last called."""
    drawn = 0

    def report(more: int) -> None:
        nonlocal drawn
        drawn += more
        end = "" if drawn < len(scenes) else "\n"
        what = f"{scenes.split}, tier {scenes.tier}"
        print(f"\rdrawing scenes of split {what}: {drawn:,} of {len(scenes):,}", end=end, flush=True)

    return rank_zero_only(report)


class FileSource(Source):
    """A data set of files."""

    def __init__(self, data: FileData, erases: bool, seed: int = 0, validates: bool = True):
        """As `source_of`."""
        self.erases = erases
        self.preprocessing, self.workers = data.preprocessing, data.workers
        self.of_clips = datasets.class_of(data.dataset).of_clips
        self.held_out = HeldOut.of(data, seed) if data.held_out and validates else None
        self.data = data = self.held_out.data if self.held_out else data
        self.samples = self._build(data.train, data.settings.get("count"))
        if self.held_out:
            print_once(self.held_out.describe())
        if selection := self.samples.selection:
            print_once(f"{data.dataset}: {selection}")
        self.validation_samples = self._validation_samples(data.validation_images) if validates else []
        self.types = self.samples.kinds
        self.images = "annotated frames" if self.of_clips else "images"
        kind = "videos" if self.of_clips else "photographs"
        self.knows = self.samples.familiar_images or f"{kind} as those of {data.dataset}"

    def tokenizer(self, config: Any) -> Tokenizer:
        """That of the network's word encoder; of drawn clips the words that they have, as of drawn scenes."""
        if file := self.data.vocabulary:
            if config.word_encoder.kind not in ("gru", "lstm"):
                raise InvalidInput(f"the network brings its own words; leave out data.vocabulary {file}")
            return WordList.read(Path(file), config.max_words)
        if (closed := self.samples.texts_with_all_words()) is not None:
            return Vocabulary.of(closed)
        texts = (expression.text for sample in self.samples for expression in sample.expressions)
        return build_tokenizer(config.word_encoder, config.max_words, lambda: texts)

    def batches(
        self, stage: Stage, tokenizer: Tokenizer, key: tuple[int, int], rank: int = 0, world: int = 1
    ) -> FileBatches:
        """As `Source` says."""
        return FileBatches(self.samples, tokenizer, self.data, stage, key, rank, world, self.erases)

    def steps_per_epoch(self, stage: Stage) -> float:
        """As `Source` says; what does not fill a step is left out."""
        return max(1, len(items_of(self.samples, self.data)) // stage.images)

    def validation(self, tokenizer: Tokenizer, world: int) -> "ValidationBatches":
        """As `Source` says."""
        data = self.data.replace(train=self.data.validation, item="image", spread_no_target=False, crop_from=None)
        whole = FileBatches(self.validation_samples, tokenizer, data, whole_images(1), (0, 0))
        return ValidationBatches(whole, len(self.validation_samples), VALIDATION_PHOTOGRAPHS, world)

    def first_texts(self, images: int) -> dict[str, str]:
        """As `Source` says."""
        first = (self.validation_samples[number] for number in range(min(images, len(self.validation_samples))))
        return {expression.id: expression.text for sample in first for expression in sample.expressions}

    def calibration(self) -> tuple[Sequence[Sample], str]:
        """The validation split, or as much of it as the data say."""
        samples, data = self.validation_samples, self.data
        if data.calibration_images is not None:
            samples = self._validation_samples(data.calibration_images)
        split = f"held out of split {data.train}" if self.held_out else f"split {data.validation}"
        return samples, f"{data.dataset}, {split}, {len(samples)} {self.images}"

    def about(self) -> dict[str, Any]:
        """As `Source` says."""
        data = self.data
        return {
            "dataset": data.dataset,
            **{name: str(value) for name, value in data.settings.items() if name not in ("root", "images")},
            "split": data.train,
            **(
                {"held out": f"{counted(self.held_out.count, 'image')}, seed {self.held_out.seed}"}
                if self.held_out
                else {}
            ),
            **self._amount(),
        }

    def _amount(self) -> dict[str, Any]:
        images = "clips" if self.of_clips else "images"
        if self.samples.version is not None:  # all would be drawn to count their expressions
            return {"version": self.samples.version, images: len(self.samples)}
        return {images: len(self.samples), "expressions": self.samples.expression_count}

    def _validation_samples(self, count: int | None) -> Sequence[Sample]:
        samples = self._build(self.data.validation, count, validation=True)
        return AnnotatedFrames(samples) if self.of_clips else samples

    def _build(self, split: str, count: int | None, validation: bool = False) -> Any:
        settings = {**self.data.settings, "count": count}
        if self.held_out is None:
            return datasets.build(self.data.dataset, split=split, **settings)
        return self.held_out.images(validation, count)


class ValidationBatches(Dataset):
    """All expressions of the validation images, a few images a batch; of process r of R the batches r, r + R, ...

    Every process has as many batches as the others, since all take part in each where weights are shared.

    Raises:
        InvalidInput: if there are fewer images than processes.
    """

    def __init__(self, batches: SceneBatches | FileBatches, count: int, images: int, world: int):
        if count < world:
            raise InvalidInput(
                f"{counted(count, 'validation image')} cannot be shared by {world} devices; take fewer devices"
            )
        self.batches, self.count = batches, count
        self.number = min(-(-count // (images * world)), count // world) * world

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Batch:
        return self.batches.whole(range(index * self.count // self.number, (index + 1) * self.count // self.number))


def whole_images(images: int) -> Stage:
    """How images are shown as they are, with all expressions."""
    return Stage(name="validation", groups={}, steps=1, images=images, expressions_per_image=10**6, flip=0)
