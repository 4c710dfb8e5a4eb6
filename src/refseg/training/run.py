"""A run: the stages of a recipe one after another, in a folder from which it can be resumed at any moment.

RUN/recipe.yaml          what is trained
RUN/last/  RUN/best/     checkpoints: after the latest validation, and the one with the best oIoU
RUN/state/NAME-step=N    everything that resuming inside a stage needs, written every few minutes
RUN/state/NAME           weights at the end of a finished stage
RUN/logs/NAME/version_N  CSV and TensorBoard, another N each time the stage is resumed
RUN/weights/             at the end: the best checkpoint, calibrated, in half precision, with its card; or
RUN/image_encoder.safetensors   what other networks start from, where that is what the recipe releases
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from refseg import networks
from refseg.calibration import Calibration
from refseg.checkpoints import Checkpoint, save_checkpoint
from refseg.datasets.drawn_scenes import VERSION, DrawnScenes
from refseg.datasets.drawn_scenes.store import StoredScenes, stored_scenes
from refseg.encoders.vocabulary import Vocabulary
from refseg.errors import InvalidInput, UnwritableOutput
from refseg.hardware import cpu_has_bfloat16
from refseg.preprocessing import Preprocessing
from refseg.recipe import Recipe, Stage
from refseg.samples import Batch
from refseg.training.batches import FoundBatches, FoundScenes, SceneBatches, WordTable
from refseg.training.initial import initialise
from refseg.training.progress import StageProgress, be_quiet, say
from refseg.training.release import release, release_image_encoder
from refseg.training.stage import TrainingStage

STATE_EVERY = 250  # steps between states from which a stage can be resumed
VALIDATION_IMAGES = 16  # scenes a batch
KNOWS = "drawn scenes only: coloured, patterned shapes on a plain ground; no photographs"


def train(recipe: Recipe, out: Path, resume: bool, devices: int, accelerator: str) -> None:
    """Runs the recipe in the folder `out`, which the header of this file describes.

    Args:
        recipe: what to train.
        out: the run's folder; must not hold a run yet, unless it is resumed.
        resume: go on with the run in `out` where it was stopped.
        devices: processes, each with its own device.
        accelerator: "cpu", "gpu" or "auto".

    Raises:
        InvalidInput: if the folder, the recipe and the devices do not go together.
    """
    _check(recipe, out, resume, devices)
    if accelerator != "gpu" and devices > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
    be_quiet()
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    run = _Run(recipe, out, devices, accelerator)
    for number in range(len(recipe.stages)):
        run.stage(number)
    if rank_zero_only.rank:
        return
    if recipe.releases == "image_encoder":
        print(f"weights of the image encoder: {release_image_encoder(out, run.network)}")
    else:
        print("calibrating on split val")
        print(f"weights: {release(out, recipe)}")


def _check(recipe: Recipe, out: Path, resume: bool, devices: int) -> None:
    for stage in recipe.stages:
        if stage.images % devices:
            raise InvalidInput(
                f"stage {stage.name} has {stage.images} images a step, which {devices} devices cannot share evenly; "
                f"set --devices to a divisor or --set stages.{stage.name}.images=N"
            )
        if stage.cached_scenes > recipe.data.scenes:
            raise InvalidInput(f"stage {stage.name} caches {stage.cached_scenes} scenes of {recipe.data.scenes}")
    if recipe.data.validation_scenes < devices:
        raise InvalidInput(f"{recipe.data.validation_scenes} validation scenes cannot be shared by {devices} devices")
    network = networks.build(recipe.network, recipe.config, vocabulary_size=3)
    initialise(network, recipe.initial)
    for stage in recipe.stages:
        unknown = set(stage.groups) - set(network.parts())
        if unknown or not hasattr(network, stage.objective):
            what = f"no part {', '.join(unknown)}" if unknown else f"no objective {stage.objective}"
            raise InvalidInput(f"stage {stage.name}: {recipe.network} has {what}; parts: {', '.join(network.parts())}")
    saved = out / "recipe.yaml"
    if resume:
        if not saved.is_file():
            raise InvalidInput(f"{out} holds no run to resume; leave --resume out to start one")
        if Recipe.from_yaml(saved) != recipe:
            raise InvalidInput(f"{saved} differs from this recipe; resume without --set, or start in another folder")
    elif rank_zero_only.rank != 0:
        return  # the first process looks and writes
    elif saved.exists():
        raise InvalidInput(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
            saved.write_text(recipe.to_yaml())
        except OSError as error:
            raise UnwritableOutput(f"{out} cannot be written ({error.strerror}); choose another --out") from error


class _Run:
    def __init__(self, recipe: Recipe, out: Path, devices: int, accelerator: str):
        self.recipe, self.out, self.devices, self.accelerator = recipe, out, devices, accelerator
        self.preprocessing = Preprocessing(side=recipe.data.side)
        self.bfloat16 = recipe.precision == "bf16" and (on_gpu(accelerator) or cpu_has_bfloat16())
        if recipe.precision == "bf16" and not self.bfloat16:
            say("this CPU has no bfloat16 instructions, which makes it several times slower: training in float32")
        self.scenes = self._scenes("train", recipe.data.scenes)
        self.validation = self._scenes("val", recipe.data.validation_scenes)
        self.vocabulary = Vocabulary.of(self.scenes.texts)
        self.network = networks.build(recipe.network, recipe.config, vocabulary_size=len(self.vocabulary))
        initialise(self.network, recipe.initial, self.vocabulary)
        self.words = WordTable(self.scenes.texts, self.vocabulary, with_phrases=self.network.reads_erased)

    def _scenes(self, split: str, count: int) -> StoredScenes:
        data = self.recipe.data
        scenes = DrawnScenes(split, count, tier=data.tier, side=data.side, seed=data.seed)
        drawn = 0

        def progress(more: int) -> None:
            nonlocal drawn
            drawn += more
            print(
                f"\rdrawing scenes of split {split}: {drawn:,} of {count:,}",
                end="" if drawn < count else "\n",
                flush=True,
            )

        return stored_scenes(scenes, workers=os.cpu_count() or 1, progress=rank_zero_only(progress))

    def stage(self, number: int) -> None:
        """Trains one stage, or the rest of it; does nothing if it is finished."""
        stage, state = self.recipe.stages[number], self.out / "state"
        finished = state / stage.name
        if finished.exists():
            self.network.load_state_dict(load_file(finished))
            say(f"stage {stage.name} is finished")
            return
        module = TrainingStage(self.network, stage)
        unfinished = sorted(state.glob(f"{stage.name}-step=*.ckpt"), key=lambda path: int(path.stem.split("=")[1]))
        trainer = lightning.Trainer(
            default_root_dir=self.out,
            accelerator=self.accelerator,
            devices=self.devices,
            strategy=DDPStrategy(broadcast_buffers=False) if self.devices > 1 else "auto",
            precision="bf16-mixed" if self.bfloat16 else "32-true",
            max_steps=stage.steps,
            max_epochs=-1,
            check_val_every_n_epoch=None,
            val_check_interval=min(stage.validate_every or stage.steps, stage.steps),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=20,
            enable_model_summary=False,
            logger=[CSVLogger(self.out / "logs", stage.name), TensorBoardLogger(self.out / "logs", stage.name)],
            callbacks=[
                StageProgress(stage.name, stage.steps),
                SaveCheckpoints(self),
                ModelCheckpoint(
                    state,
                    stage.name + "-{step}",
                    monitor="step",
                    mode="max",
                    save_top_k=2,
                    every_n_train_steps=STATE_EVERY,
                    enable_version_counter=False,
                ),
            ],
        )
        say(f"stage {stage.name}: {stage.steps:,} steps of {stage.images} images")
        resumed = unfinished[-1] if unfinished else None
        try:
            trainer.fit(module, datamodule=StageData(self, number), ckpt_path=resumed, weights_only=False)
        except SystemExit as stop:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from stop
        if trainer.is_global_zero:
            state.mkdir(exist_ok=True)
            partial = finished.with_suffix(".partial")
            save_file({name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}, partial)
            os.replace(partial, finished)
            for path in state.glob(f"{stage.name}-step=*.ckpt"):
                path.unlink()
        trainer.strategy.barrier()
        self.network.load_state_dict(load_file(finished))  # every process has the first one's batch norm statistics

    def checkpoint(self) -> Checkpoint:
        """The weights as they are now, not calibrated yet."""
        data = self.recipe.data
        return Checkpoint(
            name=self.recipe.network,
            network=self.network,
            tokenizer=self.vocabulary,
            preprocessing=self.preprocessing,
            calibration=Calibration(),
            knows=KNOWS,
            recipe=self.recipe.to_yaml(),
            trained_on={
                "dataset": "drawn_scenes",
                "version": VERSION,
                "tier": data.tier,
                "scenes": len(self.scenes),
                "expressions": len(self.scenes.texts),
                "seed": data.seed,
            },
        )


def on_gpu(accelerator: str) -> bool:
    """Does the training run on a GPU?"""
    return accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())


class StageData(lightning.LightningDataModule):
    """The loaders of one stage; training goes on at the step where a resumed state stopped."""

    def __init__(self, run: _Run, number: int):
        super().__init__()
        self.run, self.number, self.stage_settings = run, number, run.recipe.stages[number]
        self.found: FoundScenes | None = None

    def setup(self, stage: str) -> None:
        """Runs the image side once over the scenes that the stage wants cached."""
        if self.stage_settings.cached_scenes and self.found is None:
            assert self.trainer is not None
            self.found = find_once(self.run, self.stage_settings, self.trainer)

    def train_dataloader(self) -> DataLoader:
        """One batch a step."""
        assert self.trainer is not None
        run, stage = self.run, self.stage_settings
        arguments = (run.scenes, run.words, run.preprocessing, stage, (run.recipe.seed, self.number))
        place = {"rank": self.trainer.global_rank, "world": self.trainer.world_size}
        if self.found is None:
            batches = SceneBatches(*arguments, **place)
        else:
            batches = FoundBatches(self.found, *arguments, **place)
        return DataLoader(batches, batch_size=None, sampler=Steps(self.trainer, stage.steps))

    def val_dataloader(self) -> DataLoader | list:
        """Validation scenes, each process its own share; nothing to ask in a stage without language."""
        assert self.trainer is not None
        if not self.stage_settings.expressions_per_image:
            return []
        batches = ValidationBatches(self.run, self.trainer.world_size)
        mine = range(self.trainer.global_rank, len(batches), self.trainer.world_size)
        return DataLoader(batches, batch_size=None, sampler=mine)


class Steps:
    """The steps still to do, in order: a resumed run begins where its state was saved."""

    def __init__(self, trainer: lightning.Trainer, steps: int):
        self.trainer, self.steps = trainer, steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.trainer.global_step, self.steps))

    def __len__(self) -> int:
        return self.steps


class ValidationBatches(torch.utils.data.Dataset):
    """All expressions of the validation scenes, a few scenes a batch and at least one batch for every process."""

    def __init__(self, run: _Run, world: int):
        self.images = min(VALIDATION_IMAGES, len(run.validation) // world)
        whole = Stage(
            name="validation",
            groups={},
            steps=1,
            images=self.images,
            expressions_per_image=10**6,
            flip=0,
        )
        self.scenes = run.validation
        words = WordTable(self.scenes.texts, run.vocabulary)
        self.batches = SceneBatches(self.scenes, words, run.preprocessing, whole, (0, 0))

    def __len__(self) -> int:
        return -(-len(self.scenes) // self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.batches.whole(range(index * self.images, min((index + 1) * self.images, len(self.scenes))))


class SaveCheckpoints(Callback):
    """After each validation: RUN/last, and RUN/best if the oIoU is the best so far."""

    def __init__(self, run: _Run):
        self.run = run

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Writes the checkpoints."""
        score = trainer.callback_metrics.get("val/oIoU")
        if score is None or not trainer.is_global_zero:
            return
        checkpoint = self.run.checkpoint()
        checkpoint.trained_on["validation"] = {
            name: round(float(value), 5) for name, value in trainer.callback_metrics.items() if name.startswith("val/")
        }
        save_checkpoint(checkpoint, self.run.out / "last")
        best = self.run.out / "best"
        if float(score) > best_score(best):
            save_checkpoint(checkpoint, best)
        values = {
            name[4:]: f"{100 * float(v):.1f}" for name, v in trainer.callback_metrics.items() if name[:4] == "val/"
        }
        print("\n" + " ".join(f"{name} {value}" for name, value in values.items()), flush=True)


def best_score(folder: Path) -> float:
    """Validation oIoU of a checkpoint of this run; -1 if there is none."""
    config = folder / "config.json"
    if not config.is_file():
        return -1.0
    return float(json.loads(config.read_text())["trained_on"]["validation"]["val/oIoU"])


@torch.no_grad()
def find_once(run: _Run, stage: Stage, trainer: lightning.Trainer) -> FoundScenes:
    """What the frozen image side says of the first scenes; each process looks at its share, all read the whole."""
    folder = run.out / "state" / f"{stage.name}-found"
    strategy = trainer.strategy
    network: Any = run.network.to(strategy.root_device).eval()  # Lightning moves it only later
    world, rank = trainer.world_size, trainer.global_rank
    count, slots = stage.cached_scenes, network.config.candidates
    batches = SceneBatches(run.scenes, run.words, run.preprocessing, stage.replace(expressions_per_image=0), (0, 0))
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
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
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
    return FoundScenes(**{name: np.load(folder / f"{name}.npy") for name in shapes})
