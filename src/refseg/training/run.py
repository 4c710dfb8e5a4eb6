"""A run: the stages of a recipe one after another, in a folder from which it can be resumed at any moment.

RUN/recipe.yaml          what is trained
RUN/last/  RUN/best/     checkpoints: after the latest validation, and the one with the best oIoU
RUN/state/NAME-step=N    everything that resuming inside a stage needs, written every few hundred; the last two are kept
RUN/state/NAME           weights at the end of a finished stage
RUN/logs/NAME/version_N  CSV and TensorBoard, another N each time the stage is resumed
RUN/weights/             at the end: the best checkpoint, calibrated, in half precision, with its card; or
RUN/image_encoder.safetensors   what other networks start from, where that is what the recipe releases
"""

import json
import os
from collections.abc import Iterable
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric, seed_everything
from lightning.fabric.strategies import ModelParallelStrategy
from lightning.fabric.utilities.rank_zero import rank_zero_only
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.errors import InvalidInput, RefsegError, UnwritableOutput, first_line
from refseg.files.atomic import remove_leftovers, write_atomically
from refseg.files.lock import only_writer
from refseg.hardware import supports_bfloat16
from refseg.networks.network import Network
from refseg.progress import Progress, no_progress
from refseg.recipes.recipe import Recipe, Stage
from refseg.training.checks import check_run
from refseg.training.data.cached_objects import CachedObjectBatches, cache_objects
from refseg.training.data.sources import SceneSource, Source, source_of
from refseg.training.devices import ONE_DEVICE, Devices
from refseg.training.export import export_image_encoder, export_weights
from refseg.training.initial_weights import initialise
from refseg.training.loop import StageLoop, step_seed
from refseg.training.object_pretraining import CLASSES, OBJECT_PRETRAINING, ObjectHeads
from refseg.training.parameter_groups import Length, frozen_parameters
from refseg.training.progress import StageLog, print_once, silence_known_warnings
from refseg.training.repeated_blocks import checkpoint_activations
from refseg.training.resume_states import TRAIN_AGAIN, States, unwritable, write_on_first


def train(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    devices: Devices = ONE_DEVICE,
    save_every: int = 250,
    progress: Progress = no_progress,
) -> None:
    """Runs the recipe in the folder `out`, which the header of this file describes.

    Args:
        recipe: what to train.
        out: the run's folder; must not hold a run yet, unless it is resumed.
        resume: go on with the run in `out` where it was stopped.
        devices: what it runs on.
        save_every: steps between two states from which a stage can be resumed.
        progress: shows how far a stage is.

    Raises:
        InvalidInput: if the folder, the recipe and the devices do not go together.
        UnwritableOutput: if the folder cannot be written, or the disk is full.
        RefsegError: if a loss is not finite.
    """
    try:
        with nullcontext() if rank_zero_only.rank else only_writer(out):
            check_run(recipe, out, resume, devices)
            _train(recipe, out, resume, devices, save_every, progress)
    except RefsegError as error:
        if rank_zero_only.rank:
            raise SystemExit(2) from error  # the first process says it
        raise


def _train(recipe: Recipe, out: Path, resume: bool, devices: Devices, save_every: int, progress: Progress) -> None:
    if not devices.have_gpus and devices.count > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices.count))
    silence_known_warnings()
    seed_everything(recipe.seed, workers=True, verbose=False)
    fabric = devices.fabric(_precision(recipe, devices))
    fabric.launch()
    try:
        run = Run(recipe, out, fabric, save_every, progress)
        if fabric.is_global_zero:
            for folder in (out, out / "state"):  # a stage that is finished is not written again
                remove_leftovers(folder)
            if not resume:
                with write_atomically(out / "recipe.yaml") as partial:
                    partial.write_text(recipe.to_yaml(), encoding="utf-8")
        for number in range(len(recipe.stages)):
            run.train_stage(number)
        if not fabric.is_global_zero:
            return
        if recipe.releases == "image_encoder":
            print(f"weights of the image encoder: {export_image_encoder(out, run.network)}")
        else:
            print("calibrating on validation data")
            print(f"weights: {export_weights(out, recipe, run.source, str(fabric.device))}")
    except (OSError, SafetensorError) as error:
        raise UnwritableOutput(unwritable(out, error)) from error


def _precision(recipe: Recipe, devices: Devices) -> Any:
    """Returns Fabric's name of the recipe's precision, float32 where bfloat16 would be slower."""
    if recipe.precision == "bf16" and not (devices.have_gpus or supports_bfloat16()):
        print_once("this CPU has no bfloat16 instructions, which makes it several times slower: training in float32")
        return "32-true"
    return {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true"}[recipe.precision]


class Run:
    """The stages of a recipe, and what they share.

    Args:
        recipe: what to train.
        out: the run's folder.
        fabric: devices, processes and precision; launched.
        save_every: steps between two states.
        progress: shows how far a stage is.
    """

    def __init__(self, recipe: Recipe, out: Path, fabric: Fabric, save_every: int, progress: Progress):
        self.recipe, self.out, self.fabric, self.save_every, self.progress = recipe, out, fabric, save_every, progress
        self.config = networks.configured(recipe.network, recipe.config)
        self.erases = networks.network_class(recipe.network).reads_erased
        self.source = source_of(recipe.data, self.erases)
        self.tokenizer = self.source.tokenizer(self.config)
        self.network = self._learning_network()
        self.frozen = frozen_parameters(self.network)
        initialise(self.network, recipe.initial, self.tokenizer)

    def train_stage(self, number: int) -> None:
        """Trains one stage, or the rest of it; does nothing if it is finished."""
        stage = self.recipe.stages[number]
        states = States(self.fabric, self.out, stage.name)
        if not states.finished.exists():
            self._train_stage(stage, number, states)
            if isinstance(self.fabric.strategy, ModelParallelStrategy):  # a sharded network is not made whole in place
                self.network = self._learning_network()
        else:
            print_once(f"stage {stage.name} is finished")
        self._load(states)  # every process has the first one's batch norm statistics

    def _train_stage(self, stage: Stage, number: int, states: States) -> None:
        source = self.source if stage.data is None else source_of(stage.data, self.erases, validates=False)
        per_epoch, key = source.steps_per_epoch(stage), (self.recipe.seed, number)
        length = Length(stage.steps or max(1, round((stage.epochs or 0) * per_epoch)), per_epoch)
        print_once(f"stage {stage.name}: {length.steps:,} steps of {stage.images} images")
        heads = None
        if stage.objective == OBJECT_PRETRAINING:
            torch.manual_seed(step_seed(key, 0, 0, 0))
            encoder: Any = self.network.image_encoder
            heads = ObjectHeads(encoder.channels, CLASSES[(stage.data or self.recipe.data).dataset])
        batches = self._batches(stage, source, key)
        loop = StageLoop(self.fabric, self.network, stage, length, self.out, key, self.frozen, heads)
        states.resume(loop)
        todo = range(loop.step * stage.accumulate, length.steps * stage.accumulate)
        every = stage.validate_every or (length.steps if stage.steps else int(per_epoch))
        questions = None  # in a stage without language there is nothing to ask
        if stage.expressions_per_image:
            validation = self.source.validation(self.tokenizer, self.fabric.world_size)
            mine = range(self.fabric.global_rank, len(validation), self.fabric.world_size)
            questions = self._loader(validation, mine)
        with StageLog(self.out / "logs", loop, self.progress) as log:
            loop.run(
                self._loader(batches, todo),
                log=log.write_step,
                validate_every=min(every, length.steps),
                validate=lambda: self.validate(loop, questions, source, log),
                save_every=self.save_every,
                save=lambda: states.write(loop.step, loop.state_dict()),
            )
        states.finish(loop.network_weights())

    def _batches(self, stage: Stage, source: Source, key: tuple[int, int]) -> Dataset:
        place = self.fabric.global_rank, self.fabric.world_size
        if not stage.cached_scenes:
            return source.batches(stage, self.tokenizer, key, *place)
        assert isinstance(source, SceneSource)
        folder = self.out / "state" / f"{stage.name}-found"
        objects = cache_objects(self.fabric, self.network, source, self.tokenizer, stage, folder)
        words = source.words(self.tokenizer)
        return CachedObjectBatches(objects, source.scenes, words, source.preprocessing, stage, key, *place)

    def _loader(self, batches: Dataset, numbers: Iterable[int]) -> DataLoader:
        workers = self.source.workers
        return DataLoader(
            batches,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            pin_memory=self.fabric.device.type == "cuda",
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,  # validation comes again and again
        )

    def validate(self, loop: StageLoop, questions: DataLoader | None, source: Source, log: StageLog) -> None:
        """Validates the loop's network and writes RUN/last, and RUN/best if the oIoU is the best so far.

        Args:
            loop: of the stage.
            questions: batches of this process; None: nothing is validated.
            source: what the network learns from.
            log: of the stage.
        """
        if questions is None:
            return
        values = loop.validate(questions, self.source.types)
        log.write({f"val/{name}": value for name, value in values.items()})
        weights = loop.network_weights()

        def write() -> None:
            with torch.device("meta"):
                network = self._fresh_network()
            network.load_state_dict(weights, assign=True)
            checkpoint = self._checkpoint(source, network)
            checkpoint.trained_on["validation"] = {f"val/{n}": round(v, 5) for n, v in values.items() if isfinite(v)}
            save_checkpoint(checkpoint, self.out / "last")
            best = self.out / "best"
            if round(values["oIoU"], 5) >= best_score(best):  # as good: it was killed while it wrote it
                save_checkpoint(checkpoint, best)

        write_on_first(self.fabric, self.out, write)
        print_once(" ".join(f"{name} {100 * value:.1f}" for name, value in values.items() if isfinite(value)))

    def _load(self, states: States) -> None:
        """Loads the weights at the end of a stage."""
        try:
            self.network.load_state_dict(states.finished_weights())
        except RuntimeError as error:
            raise InvalidInput(
                f"{states.finished} does not belong to this run ({first_line(error)}); {TRAIN_AGAIN}"
            ) from error

    def _fresh_network(self) -> Network:
        return networks.build(self.recipe.network, self.config, vocabulary_size=len(self.tokenizer))

    def _learning_network(self) -> Network:
        """A fresh one that computes as the recipe says."""
        network = self._fresh_network()
        if self.recipe.channels_last:
            network.to(memory_format=torch.channels_last)
        if self.recipe.activation_checkpointing:
            checkpoint_activations(network)
        return network

    def _checkpoint(self, source: Source, network: Network) -> Checkpoint:
        """These weights, not calibrated yet."""
        return Checkpoint(
            name=self.recipe.network,
            network=network,
            tokenizer=self.tokenizer,
            preprocessing=source.preprocessing,
            calibration=Calibration(),
            knows=source.knows,
            recipe=self.recipe.to_yaml(),
            trained_on=source.about(),
        )


def best_score(folder: Path) -> float:
    """Returns the validation oIoU of a checkpoint of this run; -1 if there is none."""
    config = folder / "config.json"
    try:
        return float(json.loads(config.read_text(encoding="utf-8"))["trained_on"]["validation"]["val/oIoU"])
    except FileNotFoundError:
        return -1.0
    except (ValueError, LookupError, TypeError, RecursionError):
        print_once(f"{config} does not say how good its weights are; they are replaced")
        return -1.0
