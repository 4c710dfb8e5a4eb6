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
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.datasets import OF_CLIPS
from refseg.errors import InvalidInput, RefsegError, UnwritableOutput, first_line, system_errno
from refseg.files.atomic import check_writable, remove_leftovers, write_atomically
from refseg.files.lock import only_writer
from refseg.files.tensor_files import read_safetensors
from refseg.hardware import cpu_has_bfloat16
from refseg.networks.network import Network
from refseg.recipes.recipe import Files, Recipe, Scenes, Stage
from refseg.training.data.cached_objects import FoundBatches, FoundScenes
from refseg.training.data.sources import SceneSource, Source, source_of
from refseg.training.devices import Machines
from refseg.training.export import release, release_image_encoder
from refseg.training.initial_weights import initialise
from refseg.training.object_pretraining import CLASSES, SEE, SeenObjects
from refseg.training.progress import EVERY, StageProgress, be_quiet, say
from refseg.training.repeated_blocks import compute_again
from refseg.training.resume_states import (
    WAY_OUT,
    KeepStates,
    WholeFiles,
    newest_sound,
    states,
    unwritable,
    write_together,
)
from refseg.training.signals import OwnSignals
from refseg.training.stage import Length, TrainingStage, fixed_in, learning, step_seed


def train(recipe: Recipe, out: Path, resume: bool, machines: Machines, state_every: int = 250) -> None:
    """Runs the recipe in the folder `out`, which the header of this file describes.

    Args:
        recipe: what to train.
        out: the run's folder; must not hold a run yet, unless it is resumed.
        resume: go on with the run in `out` where it was stopped.
        machines: what it runs on.
        state_every: steps between two states from which a stage can be resumed.

    Raises:
        InvalidInput: if the folder, the recipe and the machines do not go together.
        UnwritableOutput: if the folder cannot be written, or the disk is full.
        RefsegError: if a loss is not finite.
    """
    try:
        with nullcontext() if rank_zero_only.rank else only_writer(out):
            _check(recipe, out, resume, machines)
            _train(recipe, out, resume, machines, state_every)
    except RefsegError as error:
        if rank_zero_only.rank:
            raise SystemExit(2) from error  # the first process says it
        raise


def _train(recipe: Recipe, out: Path, resume: bool, machines: Machines, state_every: int) -> None:
    if machines.accelerator != "gpu" and machines.devices > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // machines.devices))
    be_quiet()
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    try:
        run = _Run(recipe, out, machines, state_every)
        if not rank_zero_only.rank:
            for folder in (out, out / "state"):  # a stage that is finished is not written again
                remove_leftovers(folder)
        if not resume and not rank_zero_only.rank:
            with write_atomically(out / "recipe.yaml") as partial:
                partial.write_text(recipe.to_yaml(), encoding="utf-8")
        for number in range(len(recipe.stages)):
            run.stage(number)
        if rank_zero_only.rank:
            return
        if recipe.releases == "image_encoder":
            print(f"weights of the image encoder: {release_image_encoder(out, run.network)}")
        else:
            print("calibrating on validation data")
            print(f"weights: {release(out, recipe, run.source)}")
    except (OSError, SafetensorError) as error:
        raise UnwritableOutput(unwritable(out, error)) from error


def _check(recipe: Recipe, out: Path, resume: bool, machines: Machines) -> None:
    for stage in recipe.stages:
        if stage.images // stage.accumulate % machines.world:
            raise InvalidInput(
                f"stage {stage.name} has {stage.images // stage.accumulate} images at once, which {machines.world} "
                f"devices cannot share evenly; set --devices to a divisor or --set stages.{stage.name}.images=N"
            )
        if stage.ema and machines.strategy == "fsdp":
            raise InvalidInput(
                f"stage {stage.name} keeps a running mean of its weights, which --strategy fsdp cannot; take ddp, or "
                f"--set stages.{stage.name}.ema=null"
            )
        data = stage.data or recipe.data
        if isinstance(data, Scenes):
            if stage.cached_scenes > data.scenes:
                raise InvalidInput(f"stage {stage.name} caches {stage.cached_scenes} scenes of {data.scenes}")
        elif stage.cached_scenes:
            raise InvalidInput(f"stage {stage.name} caches scenes, but learns from {data.dataset}; leave it out")
    if recipe.channels_last and machines.strategy == "fsdp":
        raise InvalidInput("channels_last is not for --strategy fsdp; take ddp, or --set channels_last=false")
    if machines.have_gpus and machines.devices > torch.cuda.device_count():
        raise InvalidInput(
            f"{machines.devices} GPUs are wanted and {torch.cuda.device_count()} found; set --devices, or "
            "--accelerator cpu"
        )
    if recipe.precision == "16" and not machines.have_gpus:
        raise InvalidInput("precision 16 wants a GPU; set --precision 32, or bf16")
    with torch.device("meta"):
        network = networks.build(recipe.network, recipe.config, vocabulary_size=3)
    for data in (recipe.data, *(stage.data for stage in recipe.stages if stage.data is not None)):
        _check_frames(network, data)
    for stage in recipe.stages:
        if stage.objective == SEE:
            _check_seen(network, stage, stage.data or recipe.data)
            continue
        unknown = set(stage.groups) - set(network.parts())
        if unknown or not hasattr(network, stage.objective):
            what = f"no part {', '.join(unknown)}" if unknown else f"no objective {stage.objective}"
            raise InvalidInput(f"stage {stage.name}: {recipe.network} has {what}; parts: {', '.join(network.parts())}")
        learning(network, stage, fixed_in(network))
    saved = out / "recipe.yaml"
    if resume:
        if not saved.is_file():
            raise InvalidInput(f"{out} holds no run to resume; leave --resume out to start one")
        if Recipe.from_yaml(saved).to_yaml() != recipe.to_yaml():  # tuples and lists are the same
            raise InvalidInput(
                f"{saved} differs from this recipe; resume with what was started: refseg train {saved} --out {out} "
                "--resume"
            )
    elif not rank_zero_only.rank:  # the first process looks, and writes later
        if saved.exists():
            raise InvalidInput(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
        check_writable(out)


def _check_frames(network: Network, data: Scenes | Files) -> None:
    offsets = (0,) if isinstance(data, Scenes) else data.preprocessing.clip.offsets
    if not network.answers_in(offsets):
        raise InvalidInput(
            f"the network takes clips of {network.frames} frames and answers number {network.annotated} of them, but "
            f"the offsets of data.preprocessing.clip are {list(offsets)}; change those or the network"
        )
    if network.frames > 1 and data.dataset not in OF_CLIPS:
        videos = ", ".join(sorted(OF_CLIPS))
        raise InvalidInput(f"the network takes clips, and {data.dataset} holds images; choose one of: {videos}")
    if data.dataset in OF_CLIPS and isinstance(data, Files) and data.spread_no_target:
        raise InvalidInput(f"data.spread_no_target is for images, and {data.dataset} holds videos; leave it out")


def _check_seen(network: Network, stage: Stage, data: Scenes | Files) -> None:
    if "image_encoder" not in network.parts() or set(stage.groups) != {"image_encoder"}:
        raise InvalidInput(
            f"stage {stage.name} teaches an image encoder what objects are, and no more; it takes one group, "
            f"image_encoder, and a network that has one, so not {', '.join(stage.groups)} of this network"
        )
    if data.dataset not in CLASSES:
        known = " or ".join(CLASSES)
        raise InvalidInput(f"{data.dataset} does not tell what objects are; stage {stage.name} takes {known}")


class _Run:
    def __init__(self, recipe: Recipe, out: Path, machines: Machines, state_every: int):
        self.recipe, self.out, self.machines, self.state_every = recipe, out, machines, state_every
        self.bfloat16 = recipe.precision == "bf16" and (machines.have_gpus or cpu_has_bfloat16())
        if recipe.precision == "bf16" and not self.bfloat16:
            say("this CPU has no bfloat16 instructions, which makes it several times slower: training in float32")
        self.config = networks.configured(recipe.network, recipe.config)
        self.erases = networks.network_class(recipe.network).reads_erased
        self.source = source_of(recipe.data, self.erases)
        self.tokenizer = self.source.tokenizer(self.config)
        self.network = self.learning_network()
        self.fixed = fixed_in(self.network)
        initialise(self.network, recipe.initial, self.tokenizer)

    def stage(self, number: int) -> None:
        """Trains one stage, or the rest of it; does nothing if it is finished."""
        stage, state = self.recipe.stages[number], self.out / "state"
        finished = state / stage.name
        if finished.exists():
            _load_finished(self.network, finished)
            say(f"stage {stage.name} is finished")
            return
        source = self.source if stage.data is None else source_of(stage.data, self.erases, validates=False)
        per_epoch = source.steps_per_epoch(stage)
        length = Length(stage.steps or max(1, round((stage.epochs or 0) * per_epoch)), per_epoch)
        key, seen = (self.recipe.seed, number), None
        if stage.objective == SEE:
            torch.manual_seed(step_seed(key, 0, 0, 0))
            encoder: Any = self.network.image_encoder
            seen = SeenObjects(encoder.channels, CLASSES[(stage.data or self.recipe.data).dataset])
        module = TrainingStage(self.network, stage, length, key, self.source.types, self.fixed, seen)
        every = stage.validate_every or (length.steps if stage.steps else int(per_epoch))
        keep = KeepStates(state, stage.name, self.state_every)
        trainer = lightning.Trainer(
            default_root_dir=self.out,
            accelerator=self.machines.accelerator,
            devices=self.machines.devices,
            num_nodes=self.machines.nodes,
            strategy=self.machines.lightning_strategy(),
            precision=self._precision(),
            max_steps=length.steps,
            max_epochs=-1,
            check_val_every_n_epoch=None,
            accumulate_grad_batches=stage.accumulate,
            val_check_interval=min(every, length.steps) * stage.accumulate,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            sync_batchnorm=self.machines.have_gpus and self.machines.world > 1,
            log_every_n_steps=min(EVERY, length.steps),
            enable_model_summary=False,
            logger=[CSVLogger(self.out / "logs", stage.name), TensorBoardLogger(self.out / "logs", stage.name)],
            plugins=[WholeFiles()],
            callbacks=[
                OwnSignals(),
                StageProgress(stage.name, length.steps),
                SaveCheckpoints(self, source),
                *([RunningMean(decay=stage.ema)] if stage.ema else []),
                keep,
            ],
        )
        say(f"stage {stage.name}: {length.steps:,} steps of {stage.images} images")
        resumed = newest_sound(state, stage.name)
        try:
            data = StageData(self, source, number, length)
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
        except SystemExit as stop:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from stop
        except Exception as error:  # what Lightning makes of a state that it did not write may be any
            if resumed is None or keep.begun or isinstance(error, RefsegError) or system_errno(error) is not None:
                raise
            raise InvalidInput(f"{resumed} does not belong to this run ({first_line(error)}); {WAY_OUT}") from error
        weights = whole_weights(trainer, module)

        def write() -> None:
            if trainer.is_global_zero:
                with write_atomically(finished) as partial:
                    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, partial)
                for path in states(state, stage.name):
                    path.unlink()

        write_together(trainer, self.out, write)
        if self.machines.strategy == "fsdp":  # what is sharded cannot be made whole again in place
            self.network = self.learning_network()
        _load_finished(self.network, finished)  # every process has the first one's batch norm statistics

    def _precision(self) -> Any:
        if self.recipe.precision == "16":
            return "16-mixed"
        return "bf16-mixed" if self.bfloat16 else "32-true"

    def fresh_network(self) -> Network:
        """The network before it learns."""
        return networks.build(self.recipe.network, self.config, vocabulary_size=len(self.tokenizer))

    def learning_network(self) -> Network:
        """The same, computing as the recipe says."""
        network = self.fresh_network()
        if self.recipe.channels_last:
            network.to(memory_format=torch.channels_last)
        if self.recipe.activation_checkpointing:
            compute_again(network)
        return network

    def checkpoint(self, source: Source, network: Network) -> Checkpoint:
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


def whole_weights(trainer: lightning.Trainer, module: TrainingStage) -> dict[str, torch.Tensor]:
    """The network's weights as they are now, gathered on the first process where they are sharded."""
    prefix = "learner.network."
    state = trainer.strategy.lightning_module_state_dict()
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class StageData(lightning.LightningDataModule):
    """The loaders of one stage; training goes on at the step where a resumed state stopped."""

    def __init__(self, run: _Run, source: Source, number: int, length: Length):
        super().__init__()
        self.run, self.source, self.number, self.length = run, source, number, length
        self.stage_settings = run.recipe.stages[number]
        self.found: FoundScenes | None = None

    def setup(self, stage: str) -> None:
        """Runs the image side once over the scenes that the stage wants cached."""
        if self.stage_settings.cached_scenes and self.found is None:
            assert self.trainer is not None and isinstance(self.source, SceneSource)
            self.found = find_once(self.run, self.source, self.stage_settings, self.trainer)

    def train_dataloader(self) -> DataLoader:
        """One batch a part of a step."""
        assert self.trainer is not None
        run, stage, source = self.run, self.stage_settings, self.source
        key, place = (run.recipe.seed, self.number), (self.trainer.global_rank, self.trainer.world_size)
        if self.found is None:
            batches = source.batches(stage, run.tokenizer, key, *place)
        else:
            assert isinstance(source, SceneSource)
            words = source.words(run.tokenizer)
            batches = FoundBatches(self.found, source.scenes, words, source.preprocessing, stage, key, *place)
        parts = Parts(self.trainer, self.length.steps, stage.accumulate)
        return DataLoader(batches, sampler=parts, **self._loading())

    def val_dataloader(self) -> DataLoader | list:
        """Validation images, each process its own share; nothing to ask in a stage without language."""
        assert self.trainer is not None
        if not self.stage_settings.expressions_per_image:
            return []
        batches = self.run.source.validation(self.run.tokenizer, self.trainer.world_size)
        mine = range(self.trainer.global_rank, len(batches), self.trainer.world_size)
        return DataLoader(batches, sampler=mine, **self._loading())

    def _loading(self) -> dict[str, Any]:
        workers = self.source.workers
        more = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
        return {"batch_size": None, "num_workers": workers, "pin_memory": self.run.machines.have_gpus, **more}


class Parts:
    """The parts of steps still to do, in order: a resumed run begins where its state was saved."""

    def __init__(self, trainer: lightning.Trainer, steps: int, accumulate: int):
        self.trainer, self.steps, self.accumulate = trainer, steps, accumulate

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.trainer.global_step * self.accumulate, self.steps * self.accumulate))

    def __len__(self) -> int:
        return self.steps * self.accumulate


def _load_finished(network: Network, path: Path) -> None:
    """Loads the weights at the end of a finished stage; raises InvalidInput if they are damaged or of another run."""
    way_out = "put back a copy, or delete it and --resume to train this stage again"
    weights = read_safetensors(path, way_out)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InvalidInput(f"{path} does not belong to this run ({first_line(error)}); {way_out}") from error


class RunningMean(EMAWeightAveraging):
    """The running mean of the weights is validated and is what checkpoints hold; `SaveCheckpoints` comes before."""

    def on_validation_epoch_end(self, *_: Any) -> None:
        """The weights that learn come back only when the checkpoints are written."""

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Now."""
        super().on_validation_epoch_end(trainer, module)


class SaveCheckpoints(Callback):
    """After each validation: RUN/last, and RUN/best if the oIoU is the best so far."""

    def __init__(self, run: _Run, source: Source):
        self.run, self.source = run, source

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Writes the checkpoints."""
        score = trainer.callback_metrics.get("val/oIoU")
        if score is None:
            return
        assert isinstance(module, TrainingStage)
        sharded = self.run.machines.strategy == "fsdp"
        weights = whole_weights(trainer, module) if sharded else {}
        write_together(trainer, self.run.out, lambda: self._write(trainer, weights, float(score)))

    def _write(self, trainer: lightning.Trainer, weights: dict[str, torch.Tensor], score: float) -> None:
        if not trainer.is_global_zero:
            return
        network = self.run.network
        if weights:
            network = self.run.fresh_network()
            network.load_state_dict(weights)
        logged = trainer.callback_metrics.items()
        values = {name: float(v) for name, v in logged if name.startswith("val/") and v.isfinite()}
        checkpoint = self.run.checkpoint(self.source, network)
        checkpoint.trained_on["validation"] = {name: round(value, 5) for name, value in values.items()}
        save_checkpoint(checkpoint, self.run.out / "last")
        best = self.run.out / "best"
        if round(score, 5) >= best_score(best):  # as good: a run that was killed while it wrote it writes it again
            save_checkpoint(checkpoint, best)
        print("\n" + " ".join(f"{name[4:]} {100 * value:.1f}" for name, value in values.items()), flush=True)


def best_score(folder: Path) -> float:
    """Validation oIoU of a checkpoint of this run; -1 if there is none."""
    config = folder / "config.json"
    try:
        return float(json.loads(config.read_text(encoding="utf-8"))["trained_on"]["validation"]["val/oIoU"])
    except FileNotFoundError:
        return -1.0
    except (ValueError, LookupError, TypeError, RecursionError):
        say(f"{config} does not say how good its weights are; they are replaced")
        return -1.0


@torch.no_grad()
def find_once(run: _Run, source: SceneSource, stage: Stage, trainer: lightning.Trainer) -> FoundScenes:
    """What the frozen image side says of the first scenes; each process looks at its share, all read the whole."""
    folder = run.out / "state" / f"{stage.name}-found"
    strategy = trainer.strategy
    network: Any = run.network.to(strategy.root_device).eval()  # Lightning moves it only later
    world, rank = trainer.world_size, trainer.global_rank
    count, slots = stage.cached_scenes, network.config.candidates
    batches = source.batches(stage.replace(expressions_per_image=0), run.tokenizer, (0, 0))
    first = network.encode_image(strategy.batch_to_device(batches.whole(range(1))).image)
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "found_tokens": (np.float16, (slots, first.tokens.shape[-1])),
        "valid": (np.bool_, (slots,)),
        "pairs": (np.float16, (slots, slots, first.pairs.shape[-1])),
        "matched": (np.int8, (slots,)),
    }
    if trainer.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (dtype, shape) in shapes.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape))
    strategy.barrier()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+", allow_pickle=False) for name in shapes}
    chunk = 64
    with torch.autocast(strategy.root_device.type, torch.bfloat16, enabled=run.bfloat16):
        for start in range(rank * chunk, count, world * chunk):
            batch = strategy.batch_to_device(batches.whole(range(start, min(start + chunk, count))))
            found = network.encode_image(batch.image)
            matched, q = network.match(found, batch.objects), found.valid.shape[1]
            here = slice(start, start + len(batch.image))
            arrays["found_tokens"][here, :q] = found.tokens.float().cpu().numpy()
            arrays["valid"][here, :q] = found.valid.cpu().numpy()
            arrays["pairs"][here, :q, :q] = found.pairs.float().cpu().numpy()
            arrays["matched"][here, :q] = matched.cpu().numpy()
            if trainer.is_global_zero:
                print(
                    f"\rfinding objects: {min(start + world * chunk, count):,} of {count:,} scenes", end="", flush=True
                )
    if trainer.is_global_zero:
        print()
    strategy.barrier()
    return FoundScenes(**{name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in shapes})
