"""A run: the stages of a recipe one after another, in a folder from which it can be resumed at any moment.

RUN/recipe.yaml          what is trained
RUN/last/  RUN/best/     checkpoints: after the latest validation, and the one with the best oIoU; where no stage was
                         validated, both are what the training ended with; none of recipes that release an encoder
RUN/state/NAME-step=N    everything that resuming inside a stage needs, written every few hundred steps and every few
                         minutes; the last two are kept, and that of the end of the last stage, which can be prolonged
RUN/state/NAME           weights at the end of a finished stage
RUN/logs/NAME/           metrics.csv and files of TensorBoard, of the whole stage, however often it was resumed
RUN/weights/             at the end: the best checkpoint, calibrated, in half precision, with its card; or
RUN/image_encoder.safetensors, RUN/word_encoder.safetensors
                         what other networks start from, where that is what the recipe releases
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric, seed_everything
from lightning.fabric.strategies import ModelParallelStrategy
from lightning.fabric.utilities.rank_zero import rank_zero_only
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.counting import counted
from refseg.datasets import class_of
from refseg.errors import InvalidInput, RefsegError, UnwritableOutput, first_line
from refseg.files.atomic import remove_leftovers, write_atomically
from refseg.files.lock import only_writer
from refseg.hardware import supports_bfloat16
from refseg.networks.network import Network
from refseg.progress import Progress, no_progress
from refseg.recipes.recipe import Recipe, Stage
from refseg.training.checks import changed_lengths, check_run
from refseg.training.data.cached_objects import CachedObjectBatches, cache_objects
from refseg.training.data.sources import SceneSource, Source, source_of
from refseg.training.devices import ONE_DEVICE, Devices
from refseg.training.examples import COUNT, Examples
from refseg.training.export import export_encoder, export_weights
from refseg.training.initial_checkpoint import WHOLE, initial_checkpoint, with_checkpoint
from refseg.training.initial_weights import initialise
from refseg.training.launching import launched, tells_error
from refseg.training.loggers import DEFAULT, Logger, StageOfRun, check_loggers, open_loggers
from refseg.training.loop import StageLoop, step_seed
from refseg.training.parameter_groups import Length, frozen_parameters
from refseg.training.pretraining_table import pretraining_heads
from refseg.training.progress import StageLog, print_once, silence_known_warnings
from refseg.training.repeated_blocks import checkpoint_activations
from refseg.training.resume_states import States, train_again, unwritable, write_on_first
from refseg.training.shared_stage import shared_weights
from refseg.training.stopping import Timer, TrainingStopped, ignore_signals, stop_requests


def train(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    devices: Devices = ONE_DEVICE,
    save_every: int = 250,
    progress: Progress = no_progress,
    save_minutes: float = 5.0,
    loggers: Sequence[str] = DEFAULT,
    others: Sequence[Path] = (),
) -> None:
    """Runs the recipe in the folder `out`, which the header of this file describes.

    Args:
        recipe: what to train.
        out: the run's folder; must not hold a run yet, unless it is resumed.
        resume: go on with the run in `out` where it was stopped; `recipe` may then have other lengths of stages.
        devices: what it runs on.
        save_every: steps between two states from which a stage can be resumed.
        progress: shows how far a stage is.
        save_minutes: minutes between two such states, where steps are slow.
        loggers: where curves are written, names of `training.loggers.LOGGERS`.
        others: folders of runs, from which a first stage that pretrains an encoder is taken over if it is the same.

    Raises:
        TrainingStopped: if Ctrl-C, SIGTERM or SIGHUP asked for an end; a state is saved. It is a KeyboardInterrupt.
        InvalidInput: if the folder, the recipe and the devices do not go together.
        UnwritableOutput: if the folder cannot be written, or the disk is full.
        RefsegError: if a loss is not finite.
    """
    try:
        with nullcontext() if rank_zero_only.rank else only_writer(out):
            check_loggers(loggers)
            recipe = with_checkpoint(recipe)
            check_run(recipe, out, resume, devices)
            _train(recipe, out, resume, devices, (save_every, save_minutes), progress, loggers, others)
    except Exception as error:
        if not tells_error():
            raise SystemExit(2) from error  # another process has said it, or its end is all that is wrong here
        if (told := _of_worker(error)) is not error:
            raise told from error
        raise
    except TrainingStopped as stopped:
        if rank_zero_only.rank:
            raise SystemExit(0) from stopped  # Fabric kills the first process where another one fails
        raise


def _of_worker(error: Exception) -> Exception:
    """Returns an error as a process that reads data has raised it; torch puts the traceback into its message."""
    kind, text = type(error), str(error)
    if isinstance(error, RefsegError) and text.startswith(f"Caught {kind.__name__} in DataLoader worker"):
        return kind(text.strip().rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2])
    return error


def _train(
    recipe: Recipe,
    out: Path,
    resume: bool,
    devices: Devices,
    saving: tuple[int, float],
    progress: Progress,
    loggers: Sequence[str],
    others: Sequence[Path],
) -> None:
    if not devices.have_gpus and devices.count > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices.count))
    silence_known_warnings()
    seed_everything(recipe.seed, workers=True, verbose=False)
    fabric = devices.fabric(_precision(recipe, devices))
    try:
        with launched(fabric):
            run = Run(recipe, out, fabric, saving, progress, loggers, others)
            if fabric.is_global_zero:
                for folder in (out, out / "state"):  # a stage that is finished is not written again
                    remove_leftovers(folder)
                saved = Recipe.from_yaml(out / "recipe.yaml") if resume else None
                for line in changed_lengths(saved, recipe) if saved else ():
                    print(line)
                if saved is None or saved.to_yaml() != recipe.to_yaml():
                    with write_atomically(out / "recipe.yaml") as partial:
                        partial.write_text(recipe.to_yaml(), encoding="utf-8")
            for number in range(len(recipe.stages)):
                run.train_stage(number)
            if not fabric.is_global_zero:
                return
            if recipe.releases != "checkpoint":
                file = export_encoder(out, recipe.releases, run.network, run.tokenizer)
                print(f"weights of the {recipe.releases.replace('_', ' ')}: {file}")
            else:
                if not any(map(validates_network, recipe.stages)):
                    run.save(run.network.state_dict(), run.source, {})
                print("calibrating on validation data")
                print(f"weights: {export_weights(out, recipe, run.source, str(fabric.device), progress)}")
    except InvalidInput:
        if fabric.is_global_zero and not resume and not (out / "state").exists():
            (out / "recipe.yaml").unlink(missing_ok=True)  # nothing was trained; the mended command takes this folder
        raise
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
        saving: steps, and minutes, between two states.
        progress: shows how far a stage is.
        loggers: where curves are written.
        others: folders of runs that may share the first stage.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        fabric: Fabric,
        saving: tuple[int, float],
        progress: Progress,
        loggers: Sequence[str] = DEFAULT,
        others: Sequence[Path] = (),
    ):
        self.recipe, self.out, self.fabric, self.saving, self.progress = recipe, out, fabric, saving, progress
        self.loggers, self.others, self.steps_before = loggers, others, 0
        self.config = networks.configured(recipe.network, recipe.config)
        self.erases = networks.network_class(recipe.network).reads_erased
        self.source = source_of(recipe.data, self.erases, recipe.seed)
        start = initial_checkpoint(recipe)
        self.tokenizer = self.source.tokenizer(self.config) if start is None else start.tokenizer
        self.network = self._learning_network()
        self.frozen = frozen_parameters(self.network)
        if start is not None:
            self.network.load_state_dict(start.network.state_dict())
        parts = {part: source for part, source in recipe.initial.items() if part != WHOLE}
        initialise(self.network, parts, self.tokenizer)

    def train_stage(self, number: int) -> None:
        """Trains one stage, or the rest of it; does nothing if it is finished."""
        stage = self.recipe.stages[number]
        states = States(self.fabric, self.out, stage.name)
        source = self.source
        if stage.data is not None:
            source = source_of(stage.data, self.erases, self.recipe.seed, validates=False)
        per_epoch = source.steps_per_epoch(stage)
        length = Length(stage.steps or max(1, round((stage.epochs or 0) * per_epoch)), per_epoch)
        prolonged = states.can_be_prolonged(length.steps)
        if number == 0 and self.others and not states.finished.exists() and not states.paths():
            weights = shared_weights(self.recipe, self.network, self.others)
            if weights is not None:
                states.finish(weights, length.steps)
        if prolonged or not states.finished.exists():
            self._train_stage(stage, number, states, source, length, prolonged)
            if isinstance(self.fabric.strategy, ModelParallelStrategy):  # a sharded network is not made whole in place
                self.network = self._learning_network()
        else:
            print_once(f"stage {stage.name} is finished")
        self.steps_before += length.steps
        self._load(states)  # every process has the first one's batch norm statistics

    def _train_stage(
        self, stage: Stage, number: int, states: States, source: Source, length: Length, prolonged: bool
    ) -> None:
        key = self.recipe.seed, number
        print_once(f"stage {stage.name}: {counted(length.steps, 'step')} of {counted(stage.images, 'image')}")
        heads = None
        if kind := pretraining_heads(stage.objective):
            torch.manual_seed(step_seed(key, 0, 0, 0))
            heads = kind.of(self.network, class_of((stage.data or self.recipe.data).dataset).object_classes)
        batches = self._batches(stage, source, key)
        loop = StageLoop(self.fabric, self.network, stage, length, self.out, key, self.frozen, heads)
        states.resume(loop)
        if loop.step:
            print_once(f"stage {stage.name} goes on after step {loop.step:,}")
        elif "weights" in self.recipe.initial and not number:
            loop.validated = -1  # so that what it starts from is validated, too
        if prolonged:
            loop.since_best = 0  # it may have ended for lack of patience
        todo = range(loop.step * stage.accumulate, length.steps * stage.accumulate)
        every = stage.validate_every or (length.steps if stage.steps else int(length.steps_per_epoch))
        questions = None  # in a stage without language there is nothing to ask
        if stage.expressions_per_image:
            validation = self.source.validation(self.tokenizer, self.fabric.world_size)
            mine = range(self.fabric.global_rank, len(validation), self.fabric.world_size)
            questions = self._loader(validation, mine)
        save_every, minutes = self.saving
        with (
            StageLog(self._open_loggers(loop), loop, self.progress) as log,
            stop_requests(tells=self.fabric.is_global_zero) as request,
        ):
            loop.run(
                self._loader(batches, todo),
                log=log.write_step,
                validate_every=min(every, length.steps),
                validate=lambda: self.validate(loop, questions, source, log),
                save_every=save_every,
                save=lambda: states.write(loop.step, loop.state_dict()),
                request=request,
                timer=Timer(minutes),
            )
        if loop.step < length.steps:
            print_once(
                f"stage {stage.name} ends after step {loop.step:,}: the last {loop.since_best} validations were not "
                f"better than that of step {loop.best_step:,}"
            )
        if "weights" in self.recipe.initial and not number and not loop.best_step:
            print_once("no validation was better than that of the weights it started from")
        last = stage is self.recipe.stages[-1]
        if last:
            states.write(loop.step, loop.state_dict())
        states.finish(loop.network_weights(), length.steps, kept=int(last))

    def _open_loggers(self, loop: StageLoop) -> list[Logger]:
        if not self.fabric.is_global_zero:
            return []
        plain = self.recipe.model_dump(mode="json")
        return open_loggers(self.loggers, StageOfRun(self.out, loop.stage.name, loop.step, self.steps_before, plain))

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
            worker_init_fn=ignore_signals if workers else None,
        )

    def validate(self, loop: StageLoop, questions: DataLoader | None, source: Source, log: StageLog) -> bool:
        """Validates the loop's network and writes RUN/last, and RUN/best if the oIoU is the best so far.

        Args:
            loop: of the stage.
            questions: batches of this process; None: nothing is validated.
            source: what the network learns from.
            log: of the stage.

        Returns:
            whether it went to its end: a process that is asked to stop breaks it off.
        """
        if questions is None:
            loop.validated = loop.step
            return True
        examples = Examples(source.preprocessing, self.network.annotated, self.source.first_texts(COUNT))
        values = loop.validate(questions, self.source.types, examples.see)
        if values is None:
            return False
        loop.validated = loop.step
        loop.note_score(round(values["oIoU"], 5))
        log.write({f"val/{name}": value for name, value in values.items()})
        log.show(examples.pictures)
        weights = loop.network_weights()
        if validates_network(loop.stage):
            write_on_first(self.fabric, self.out, lambda: self.save(weights, source, values))
        main, *others = (f"{name} {100 * value:.1f}" for name, value in values.items() if isfinite(value))
        best = f"(best {100 * loop.best:.1f} at step {loop.best_step:,})"
        print_once(f"step {loop.step:,} of {loop.length.steps:,}: {main} {best}, {', '.join(others)}")
        return True

    def save(self, weights: Mapping[str, Tensor], source: Source, values: Mapping[str, float]) -> None:
        """Writes RUN/last, and RUN/best if no checkpoint there has a better oIoU.

        Args:
            weights: of the network.
            source: what it learnt from.
            values: metrics of its validation; empty: there was none.
        """
        with torch.device("meta"):
            network = self._fresh_network()
        network.load_state_dict(weights, assign=True)
        checkpoint = self._checkpoint(source, network)
        checkpoint.trained_on["validation"] = {f"val/{n}": round(v, 5) for n, v in values.items() if isfinite(v)}
        save_checkpoint(checkpoint, self.out / "last")
        best = self.out / "best"
        if round(values.get("oIoU", -1.0), 5) >= best_score(best):  # as good: it was killed while it wrote it
            save_checkpoint(checkpoint, best)

    def _load(self, states: States) -> None:
        """Loads the weights at the end of a stage."""
        try:
            self.network.load_state_dict(states.finished_weights())
        except RuntimeError as error:
            raise InvalidInput(
                f"{states.finished} does not belong to this run ({first_line(error)}); {train_again()}"
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


def validates_network(stage: Stage) -> bool:
    """Whether the stage's validation is one of the network, and not of heads that pretrain it: it chooses RUN/best."""
    return bool(stage.expressions_per_image) and not pretraining_heads(stage.objective)


def best_score(folder: Path) -> float:
    """Returns the validation oIoU of a checkpoint of this run; -1 if there is none, or it was not validated."""
    config = folder / "config.json"
    try:
        validation = json.loads(config.read_text(encoding="utf-8"))["trained_on"]["validation"]
        return float(validation["val/oIoU"]) if validation else -1.0
    except FileNotFoundError:
        return -1.0
    except (ValueError, LookupError, TypeError, RecursionError):
        print_once(f"{config} does not say how good its weights are; they are replaced")
        return -1.0
