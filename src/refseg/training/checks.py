"""What is refused before the first step of a run: settings, devices and folders that do not go together."""

from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from refseg import networks
from refseg.counting import counted
from refseg.datasets import DATASETS, class_of, names_of_clips
from refseg.errors import InvalidInput, another_out, for_caller, option, setting
from refseg.files.atomic import check_writable
from refseg.networks.network import Network
from refseg.recipes.recipe import FileData, Recipe, SceneData, Stage
from refseg.training.devices import Devices
from refseg.training.loggers import settings
from refseg.training.parameter_groups import frozen_parameters, trainable_parameters
from refseg.training.pretraining import PretrainingHeads
from refseg.training.pretraining_table import pretraining_heads
from refseg.training.resume_states import finished_steps


def check_run(recipe: Recipe, out: Path, resume: bool, devices: Devices) -> None:
    """Refuses what cannot be trained; nothing is written.

    Raises:
        InvalidInput: if recipe, devices and the run's folder do not go together.
        UnwritableOutput: if the folder cannot be written.
    """
    for stage in recipe.stages:
        if stage.images // stage.accumulate % devices.world:
            at_once = devices.world * stage.accumulate
            enough = setting(f"stages.{stage.name}.images", -(-stage.images // at_once) * at_once)
            raise InvalidInput(
                f"stage {stage.name} has {counted(stage.images // stage.accumulate, 'image')} at once, which "
                f"{devices.world} devices cannot share evenly; take a number of devices that divides it, or {enough}"
            )
        if stage.ema and devices.strategy == "fsdp":
            raise InvalidInput(
                f"stage {stage.name} keeps a running mean of its weights, which strategy fsdp cannot; take ddp, or "
                f"{setting(f'stages.{stage.name}.ema', 'null')}"
            )
        data = stage.data or recipe.data
        if isinstance(data, SceneData):
            if stage.cached_scenes > data.scenes:
                raise InvalidInput(f"stage {stage.name} caches {stage.cached_scenes} scenes of {data.scenes}")
        elif stage.cached_scenes:
            raise InvalidInput(f"stage {stage.name} caches scenes, but learns from {data.dataset}; leave it out")
    if recipe.channels_last and devices.strategy == "fsdp":
        raise InvalidInput(f"channels_last is not for strategy fsdp; take ddp, or {setting('channels_last', 'false')}")
    if devices.have_gpus and devices.count > torch.cuda.device_count():
        raise InvalidInput(
            f"{devices.count} GPUs are needed and {torch.cuda.device_count()} found; take fewer, or "
            f"{option('accelerator', 'cpu')}"
        )
    if recipe.precision == "16" and not devices.have_gpus:
        raise InvalidInput(f"precision 16 needs a GPU; take 32 or bf16: {setting('precision', 32)}")
    with torch.device("meta"):
        network = networks.build(recipe.network, recipe.config, vocabulary_size=3)
    for data in (recipe.data, *(stage.data for stage in recipe.stages if stage.data is not None)):
        if network.needs_objects and not class_of(data.dataset).object_classes:
            kind, known = "an image" if network.frames == 1 else "a clip", _know_objects(of_clips=network.frames > 1)
            raise InvalidInput(
                f"{recipe.network} learns from all objects of {kind} and their classes, which {data.dataset} does "
                f"not tell; it takes {known}. Other networks and their weights take any data set (refseg recipes)"
            )
        told = class_of(data.dataset).object_classes.items()
        for learnt, (attribute, classes) in zip(network.object_classes, told, strict=False):
            if learnt < classes:
                raise InvalidInput(
                    f"{recipe.network} learns {counted(learnt, 'class')} of {attribute}, and {data.dataset} has "
                    f"{classes}; set as many in the network's config"
                )
        _check_frames(network, data)
    for stage in recipe.stages:
        if heads := pretraining_heads(stage.objective):
            _check_pretraining(heads, network, stage, stage.data or recipe.data)
            continue
        unknown = set(stage.groups) - set(network.parts())
        if unknown or not hasattr(network, stage.objective):
            what = f"no part {', '.join(unknown)}" if unknown else f"no objective {stage.objective}"
            raise InvalidInput(f"stage {stage.name}: {recipe.network} has {what}; parts: {', '.join(network.parts())}")
        chooses = "found_tokens" in signature(getattr(network, stage.objective)).parameters
        if chooses != bool(stage.cached_scenes):
            name = f"stages.{stage.name}.cached_scenes"
            learns = "objects that were found before" if chooses else "images"
            way = f"set for how many scenes: {setting(name, 1000)}" if chooses else f"leave it out: {setting(name, 0)}"
            raise InvalidInput(f"stage {stage.name}: {stage.objective} learns from {learns}, so {way}")
        trainable_parameters(network, stage, frozen_parameters(network))
    saved = out / "recipe.yaml"
    if resume:
        if not saved.is_file():
            raise InvalidInput(f"{out} holds no run to resume; leave {option('resume', True)} out to start one")
        _check_same_run(Recipe.from_yaml(saved), recipe, out)
    elif not rank_zero_only.rank:  # the first process looks, and writes later
        if saved.exists():
            raise InvalidInput(
                f"{out} holds a run already; add {option('resume', True)} to go on with it, or choose {another_out()}"
            )
        check_writable(out)


def _check_same_run(saved: Recipe, recipe: Recipe, out: Path) -> None:
    """Refuses to resume a run with another recipe, but for lengths of stages that are not over."""
    before, now = (settings(one.model_dump(mode="json")) for one in (saved, recipe))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    lengths = {f"stages.{stage.name}.{unit}" for stage in recipe.stages for unit in ("steps", "epochs")}
    if other := [name for name in names if name not in lengths]:
        first = ", ".join(f"{name} ({before.get(name)}, now {now.get(name)})" for name in other[:3])
        as_before = for_caller(f"refseg train --resume --out {out}", f"Recipe.from_yaml(Path('{out}/recipe.yaml'))")
        raise InvalidInput(
            f"{out / 'recipe.yaml'} differs from this recipe in {first}; only steps and epochs of stages may change "
            f"on the way. Go on as it was started: {as_before}"
        )
    for old, new in zip(saved.stages, recipe.stages, strict=True):
        if (old.steps, old.epochs) == (new.steps, new.epochs) or not (out / "state" / new.name).exists():
            continue
        done = finished_steps(out / "state" / new.name)
        if not any((out / "state").glob(f"{new.name}-step=*.ckpt")):
            raise InvalidInput(
                f"stage {new.name} is finished and has kept no state to go on from; start another run from its "
                f"weights: refseg train finetune --set initial.weights={out / 'last'}"
            )
        if (new.steps or done) < done or (new.epochs and old.epochs and new.epochs < old.epochs):
            raise InvalidInput(
                f"stage {new.name} is finished after {counted(done, 'step')}; it can be prolonged, but not cut"
            )


def changed_lengths(saved: Recipe, recipe: Recipe) -> Iterator[str]:
    """Yields a line for each stage of a resumed run that is prolonged or cut."""
    for old, new in zip(saved.stages, recipe.stages, strict=True):
        if (old.steps, old.epochs) != (new.steps, new.epochs):
            lengths = [counted(s.steps, "step") if s.steps else f"{s.epochs:g} epochs" for s in (old, new)]
            yield (
                f"stage {new.name}: {lengths[1]} instead of {lengths[0]}; from here on its learning rates are those of "
                "a stage of that length"
            )


def _check_frames(network: Network, data: SceneData | FileData) -> None:
    offsets = (0,) if isinstance(data, SceneData) else data.preprocessing.clip.offsets
    if not network.accepts_offsets(offsets):
        raise InvalidInput(
            f"the network takes clips of {network.frames} frames and answers number {network.annotated} of them, but "
            f"the offsets of data.preprocessing.clip are {list(offsets)}; change those or the network"
        )
    if network.frames > 1 and not class_of(data.dataset).of_clips:
        videos = ", ".join(sorted(names_of_clips()))
        raise InvalidInput(f"the network takes clips, and {data.dataset} holds images; choose one of: {videos}")
    if isinstance(data, FileData) and data.spread_no_target and class_of(data.dataset).of_clips:
        raise InvalidInput(f"data.spread_no_target is for images, and {data.dataset} holds videos; leave it out")


def _check_pretraining(
    heads: type[PretrainingHeads], network: Network, stage: Stage, data: SceneData | FileData
) -> None:
    part = heads.part
    if part not in network.parts() or set(stage.groups) != {part}:
        raise InvalidInput(
            f"stage {stage.name} teaches the {part.replace('_', ' ')} {heads.teaches}, and no more; it takes one "
            f"group, {part}, and a network that has one, so not {', '.join(stage.groups)} of this network"
        )
    if not class_of(data.dataset).object_classes:
        raise InvalidInput(f"{data.dataset} does not tell what objects are; stage {stage.name} takes {_know_objects()}")


def _know_objects(of_clips: bool | None = None) -> str:
    """Returns the names of the data sets that tell what objects are; of images alone, or of clips alone."""
    known = (name for name in DATASETS if class_of(name).object_classes)
    return " or ".join(name for name in known if of_clips in (None, class_of(name).of_clips))
