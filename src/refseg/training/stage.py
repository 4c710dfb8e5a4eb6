"""One stage of a recipe as a Lightning module: losses, optimiser, schedule, clipping, validation."""

import json
import math
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from refseg.batch import Batch, FoundBatch
from refseg.errors import InvalidInput, RefsegError
from refseg.metrics import count_pixels
from refseg.networks.network import Network, Output
from refseg.recipes.recipe import Group, Stage
from refseg.training.object_pretraining import SEE, SeenObjects
from refseg.training.progress import EVERY
from refseg.training.repeated_blocks import units
from refseg.training.running_metrics import RunningMetrics


class Length(NamedTuple):
    """How long a stage is.

    Attributes:
        steps: of the optimiser, in all.
        steps_per_epoch: in which everything is seen once.
    """

    steps: int
    steps_per_epoch: float


class Learner(nn.Module):
    """A network whose methods are reached by calling it, so that strategies gather its weights in time.

    Args:
        network: what learns.
        seen: what learns beside its image encoder and is dropped afterwards, for the objective "see".
    """

    def __init__(self, network: Network, seen: SeenObjects | None = None):
        super().__init__()
        self.network, self.seen = network, seen

    def forward(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """What a method of the network gives; "answer": its answers to a `Batch`; "see": the loss of what it sees."""
        if self.seen is not None and method == SEE:
            return self.seen.loss(self.network, **arguments)
        if method != "answer":
            return getattr(self.network, method)(**arguments)
        batch: Batch = arguments["batch"]
        network, word_mask = self.network, batch.word_mask
        words = network.encode_words(batch.tokens, word_mask)
        return network.fuse(network.encode_image(batch.image), words, word_mask, batch.image_of_expression)


class TrainingStage(lightning.LightningModule):
    """Trains the parts of a network that the stage names; the others are frozen.

    Whatever is random in a step (dropout) is a function of the run's seed, the stage's number, step and process.

    Args:
        network: what learns.
        stage: how.
        length: how long.
        key: the run's seed and the stage's number.
        types: of expressions, whose numbers are `Batch.types` in validation.
        fixed: names of parameters that the network itself keeps as they are, such as fixed word vectors.
        seen: as for `Learner`; learns as the image encoder does.
    """

    def __init__(
        self,
        network: Network,
        stage: Stage,
        length: Length,
        key: tuple[int, int] = (0, 0),
        types: Sequence[str] = (),
        fixed: Collection[str] = (),
        seen: SeenObjects | None = None,
    ):
        super().__init__()
        self.learner, self.stage, self.length, self.key = Learner(network, seen), stage, length, key
        self.learning = learning(network, stage, fixed)
        network.requires_grad_(False)
        for parameter in (each for named in self.learning.values() for each in named.values()):
            parameter.requires_grad_()
        network.train()  # what does not learn stays in evaluation mode
        self.all_types = RunningMetrics()
        self.types, self.by_type = tuple(types), nn.ModuleList([RunningMetrics() for _ in types])
        self._amount, self._speed, self._since = 0, 0.0, time.perf_counter()

    @property
    def network(self) -> Network:
        """What learns."""
        return self.learner.network

    def configure_model(self) -> None:
        """Shards the network over the processes where the strategy is one that does (FSDP2)."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            from torch.distributed.fsdp import FSDPModule, fully_shard

            if isinstance(self.learner, FSDPModule):
                return
            mesh = self.device_mesh["data_parallel"]
            if self.device_mesh.device_type == "cuda":  # Lightning does this for DDP alone
                self.learner = nn.SyncBatchNorm.convert_sync_batchnorm(self.learner)
            for module in (*units(self.network), self.learner):
                fully_shard(module, mesh=mesh)

    def on_train_start(self) -> None:
        """Batch norms keep their statistics where the stage says so."""
        if self.stage.frozen_batch_norm:
            self.network.freeze_batch_norm()

    def training_step(self, batch: Batch | FoundBatch, part: int) -> Tensor:
        """The stage's loss of one batch.

        Raises:
            RefsegError: if it is not finite; the batch is named in a file of the run.
            InvalidInput: if the network has a batch norm that a single expression is too few for.
        """
        torch.manual_seed(step_seed(self.key, self.global_step, part % self.stage.accumulate, self.global_rank))
        arguments = vars(batch) if isinstance(batch, FoundBatch) else {"batch": batch}
        try:
            losses: Mapping[str, Tensor] = self.learner(self.stage.objective, arguments)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InvalidInput(
                f"stage {self.stage.name}: a batch norm of the network wants two expressions at once or more on each "
                f"device; set images, expressions_per_image or accumulate={self.stage.accumulate} otherwise"
            ) from error
        own = torch.stack([value.detach().float() for value in losses.values()])
        everyones = dict(zip(losses, self.trainer.strategy.reduce(own.clone(), reduce_op="mean"), strict=True))
        if not bool(torch.isfinite(everyones["loss"])):
            self._stop(batch, dict(zip(losses, own.tolist(), strict=True)))
        for name, value in everyones.items():
            self.log(f"train/{name}", value, prog_bar=name == "loss")
        self._log_speed(batch)
        return losses["loss"]

    def _stop(self, batch: Batch | FoundBatch, losses: Mapping[str, float]) -> None:
        """All processes stop, and those whose own loss is not finite name their batch in a file."""
        name = f"not-finite-{self.stage.name}-step={self.global_step}"
        folder = Path(self.trainer.default_root_dir)
        if not math.isfinite(losses["loss"]):
            about = {"step": self.global_step, "process": self.global_rank, "losses": losses}
            about["expressions"] = list(getattr(batch, "ids", ()))
            (folder / f"{name}-process={self.global_rank}.json").write_text(json.dumps(about, indent=1) + "\n")
        raise RefsegError(
            f"the loss of stage {self.stage.name} is not finite at step {self.global_step}; its batch is named in "
            f"{folder / name}-process=*.json. Look at these samples, or start in another folder with a lower learning "
            "rate or with precision 32"
        )

    def _log_speed(self, batch: Batch | FoundBatch) -> None:
        """Expressions (in a stage without language: images) a second, all processes together, since the last time."""
        language = self.stage.expressions_per_image > 0
        self._amount += len(batch.tokens) if language else len(batch.image)  # type: ignore[union-attr]
        if self.global_step % EVERY == 0:
            now = time.perf_counter()
            self._speed = self._amount * self.trainer.world_size / (now - self._since)
            self._amount, self._since = 0, now
        self.log("expressions/s" if language else "images/s", self._speed, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """A group for each part that learns and, in it, for what decays and what does not; rates by the schedule."""
        stage, groups, shares = self.stage, [], []
        for part, named in self._learning().items():
            settings = stage.groups[part]
            still = undecayed(self.network, named, settings.undecayed)
            for decays in (True, False):
                parameters = [parameter for name, parameter in named.items() if (name not in still) == decays]
                if parameters:
                    decay = settings.weight_decay if decays else 0.0
                    groups.append({"params": parameters, "lr": settings.lr, "weight_decay": decay})
                    shares.append(rate(settings, stage, self.length))
        kind = {"adamw": AdamW, "adam": Adam}[stage.optimiser]
        # A fused one divides scaled gradients of float16 itself, after the clipping, which would cut them to nothing.
        optimiser = kind(groups, betas=stage.betas, fused=self.trainer.precision != "16-mixed")
        schedule = LambdaLR(optimiser, shares)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning(self) -> dict[str, dict[str, nn.Parameter]]:
        """As `learning`, with the parameters that are there now: sharding replaces them."""
        now = dict(self.network.named_parameters())
        learning = {part: {name: now[name] for name in named} for part, named in self.learning.items()}
        if self.learner.seen is not None:
            learning["image_encoder"] |= self.learner.seen.named_parameters(prefix="seen")
        return learning

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Each part's gradient is cut to its own length."""
        for part, named in self._learning().items():
            if clip := self.stage.groups[part].clip:
                nn.utils.clip_grad_norm_(named.values(), clip)

    def on_train_batch_end(self, *_: Any) -> None:
        """Asks for a stop after the last step, before which Lightning validates, however many steps are left over."""
        if self.global_step >= self.length.steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, step: int) -> None:
        """Counts pixels of every expression of a batch; `batch.types` says which form each has, if it has one."""
        output: Output = self.learner("answer", {"batch": batch})
        truths = batch.masks()
        logits = F.interpolate(output.logits, truths.shape[-2:], mode="bilinear")  # some networks' are coarser
        counts = count_pixels(logits[:, 0] > 0, truths, batch.targets.any(1))
        self.all_types.update(*counts)
        if batch.types is not None:
            for number, metrics in enumerate(self.by_type):
                metrics.update(*counts.where(batch.types == number))  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """Logs every metric for all expressions, and the mean IoU of each type."""
        self.log_dict({f"val/{name}": value.float() for name, value in self.all_types.compute().items()})
        self.all_types.reset()
        for name, metrics in zip(self.types, self.by_type, strict=True):
            values = metrics.compute()  # type: ignore[operator]
            if "mIoU" in values:
                self.log(f"val/{name}/mIoU", values["mIoU"].float())
            metrics.reset()  # type: ignore[operator]


def fixed_in(network: nn.Module) -> frozenset[str]:
    """The parameters that a fresh network keeps as they are."""
    return frozenset(name for name, parameter in network.named_parameters() if not parameter.requires_grad)


def learning(network: Network, stage: Stage, fixed: Collection[str]) -> dict[str, dict[str, nn.Parameter]]:
    """What learns in a stage, by part, by name; `fixed` as for `TrainingStage`.

    Raises:
        InvalidInput: if nothing of a part does that the stage names.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {}
    for part, parameters in network.parts().items():
        if group := stage.groups.get(part):
            own = {names[id(each)]: each for each in parameters if names[id(each)] not in fixed}
            found[part] = {name: each for name, each in own.items() if matches(name, group.only, otherwise=True)}
            if not found[part]:
                why = f"`only` matches no name such as {next(iter(own))}" if own else "the network keeps it as it is"
                raise InvalidInput(f"stage {stage.name}: nothing of group {part} learns, {why}; leave the group out")
    return found


def rate(group: Group, stage: Stage, length: Length) -> Callable[[int], float]:
    """The share of a group's rate at each step."""

    def share(step: int) -> float:
        if group.first_epoch_lr and step < length.steps_per_epoch:
            return group.first_epoch_lr / group.lr
        return stage.schedule(step, length.steps, length.steps_per_epoch)

    return share


def undecayed(network: nn.Module, names: Mapping[str, Any], patterns: tuple[str, ...] | None) -> set[str]:
    """The parameters among these names without weight decay; see `recipe.Group.undecayed`."""
    if patterns is not None:
        return {name for name in names if matches(name, patterns, otherwise=False)}
    small = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in network.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim < 2 or isinstance(module, nn.Embedding) or "position" in name
    }
    return small & set(names)


def matches(name: str, patterns: tuple[str, ...], otherwise: bool) -> bool:
    """Does one of the patterns match anywhere in the name? `otherwise`, if there is none."""
    return any(re.search(pattern, name) for pattern in patterns) if patterns else otherwise


def step_seed(key: tuple[int, int], step: int, part: int, rank: int) -> int:
    """What everything random in a part of a step starts from in a process."""
    return int(np.random.SeedSequence((*key, step, part, rank)).generate_state(1)[0])
