"""What is refused before the first step of a run: settings, devices and folders that do not go together."""

from pathlib import Path

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from refseg import networks
from refseg.datasets import OF_CLIPS
from refseg.errors import InvalidInput
from refseg.files.atomic import check_writable
from refseg.networks.network import Network
from refseg.recipes.recipe import FileData, Recipe, SceneData, Stage
from refseg.training.devices import Devices
from refseg.training.object_pretraining import CLASSES, OBJECT_PRETRAINING
from refseg.training.parameter_groups import frozen_parameters, trainable_parameters


def check_run(recipe: Recipe, out: Path, resume: bool, devices: Devices) -> None:
    """Refuses what cannot be trained; nothing is written.

    Raises:
        InvalidInput: if recipe, devices and the run's folder do not go together.
        UnwritableOutput: if the folder cannot be written.
    """
    for stage in recipe.stages:
        if stage.images // stage.accumulate % devices.world:
            raise InvalidInput(
                f"stage {stage.name} has {stage.images // stage.accumulate} images at once, which {devices.world} "
                f"devices cannot share evenly; set --devices to a divisor or --set stages.{stage.name}.images=N"
            )
        if stage.ema and devices.strategy == "fsdp":
            raise InvalidInput(
                f"stage {stage.name} keeps a running mean of its weights, which --strategy fsdp cannot; take ddp, or "
                f"--set stages.{stage.name}.ema=null"
            )
        data = stage.data or recipe.data
        if isinstance(data, SceneData):
            if stage.cached_scenes > data.scenes:
                raise InvalidInput(f"stage {stage.name} caches {stage.cached_scenes} scenes of {data.scenes}")
        elif stage.cached_scenes:
            raise InvalidInput(f"stage {stage.name} caches scenes, but learns from {data.dataset}; leave it out")
    if recipe.channels_last and devices.strategy == "fsdp":
        raise InvalidInput("channels_last is not for --strategy fsdp; take ddp, or --set channels_last=false")
    if devices.have_gpus and devices.count > torch.cuda.device_count():
        raise InvalidInput(
            f"{devices.count} GPUs are wanted and {torch.cuda.device_count()} found; set --devices, or "
            "--accelerator cpu"
        )
    if recipe.precision == "16" and not devices.have_gpus:
        raise InvalidInput("precision 16 wants a GPU; set --precision 32, or bf16")
    with torch.device("meta"):
        network = networks.build(recipe.network, recipe.config, vocabulary_size=3)
    for data in (recipe.data, *(stage.data for stage in recipe.stages if stage.data is not None)):
        _check_frames(network, data)
    for stage in recipe.stages:
        if stage.objective == OBJECT_PRETRAINING:
            _check_object_pretraining(network, stage, stage.data or recipe.data)
            continue
        unknown = set(stage.groups) - set(network.parts())
        if unknown or not hasattr(network, stage.objective):
            what = f"no part {', '.join(unknown)}" if unknown else f"no objective {stage.objective}"
            raise InvalidInput(f"stage {stage.name}: {recipe.network} has {what}; parts: {', '.join(network.parts())}")
        trainable_parameters(network, stage, frozen_parameters(network))
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


def _check_frames(network: Network, data: SceneData | FileData) -> None:
    offsets = (0,) if isinstance(data, SceneData) else data.preprocessing.clip.offsets
    if not network.accepts_offsets(offsets):
        raise InvalidInput(
            f"the network takes clips of {network.frames} frames and answers number {network.annotated} of them, but "
            f"the offsets of data.preprocessing.clip are {list(offsets)}; change those or the network"
        )
    if network.frames > 1 and data.dataset not in OF_CLIPS:
        videos = ", ".join(sorted(OF_CLIPS))
        raise InvalidInput(f"the network takes clips, and {data.dataset} holds images; choose one of: {videos}")
    if data.dataset in OF_CLIPS and isinstance(data, FileData) and data.spread_no_target:
        raise InvalidInput(f"data.spread_no_target is for images, and {data.dataset} holds videos; leave it out")


def _check_object_pretraining(network: Network, stage: Stage, data: SceneData | FileData) -> None:
    if "image_encoder" not in network.parts() or set(stage.groups) != {"image_encoder"}:
        raise InvalidInput(
            f"stage {stage.name} teaches an image encoder what objects are, and no more; it takes one group, "
            f"image_encoder, and a network that has one, so not {', '.join(stage.groups)} of this network"
        )
    if data.dataset not in CLASSES:
        known = " or ".join(CLASSES)
        raise InvalidInput(f"{data.dataset} does not tell what objects are; stage {stage.name} takes {known}")
