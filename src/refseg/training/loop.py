"""The training loop of one stage, on one process or on many (Lightning Fabric).

A step      For each of its parts (`accumulate`) forward and backward; then clipping, optimiser, schedule, running mean.
Between     Validation with its checkpoints, then a state from which the stage goes on as if it had never been stopped.
Stopping    When one process is asked to, all stop after the same step, or within a validation, which is made up for.
Random      Dropout and the like are functions of the run's seed, the stage's number, step and process.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from refseg.batch import Batch, CachedObjectBatch
from refseg.errors import InvalidInput, RefsegError
from refseg.metrics import count_pixels
from refseg.networks.network import Network, Output
from refseg.recipes.recipe import Stage
from refseg.training.parameter_groups import Length, build_optimizer, trainable_parameters
from refseg.training.pretraining import PretrainingHeads
from refseg.training.running_metrics import RunningMetrics
from refseg.training.stopping import StopRequest, Timer, TrainingStopped

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # unsharded, on the first process
Losses = Mapping[str, Tensor]


class Learner(nn.Module):
    """A network whose methods are reached by calling it, so that DDP and FSDP2 gather its weights in time.

    Args:
        network: what learns.
        heads: what learns beside one of its encoders and is dropped afterwards, for objectives of pretraining.
    """

    def __init__(self, network: Network, heads: PretrainingHeads | None = None):
        super().__init__()
        self.network, self.heads = network, heads

    def forward(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Returns what a method of the network gives; of "predict", its `Output` for a `Batch`."""
        if self.heads is not None:
            return (self.heads.predict if method == "predict" else self.heads.loss)(self.network, **arguments)
        if method != "predict":
            return getattr(self.network, method)(**arguments)
        batch: Batch = arguments["batch"]
        network, word_mask = self.network, batch.word_mask
        words = network.encode_words(batch.tokens, word_mask)
        return network.fuse(network.encode_image(batch.image), words, word_mask, batch.image_of_expression)


class StageLoop:
    """Trains the parts of a network that a stage names; the others are frozen.

    Args:
        fabric: devices, processes and precision; launched.
        network: what learns.
        stage: how.
        length: how long.
        out: folder of the run.
        key: the run's seed and the stage's number.
        frozen: names of parameters that the network itself keeps as they are.
        heads: as for `Learner`; they learn as the encoder does.

    Attributes:
        step: steps that are done.
        validated: the step after which the network was validated last.
        best, best_step: the highest score of a validation, and its step.
        since_best: validations since then.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: Network,
        stage: Stage,
        length: Length,
        out: Path,
        key: tuple[int, int] = (0, 0),
        frozen: Collection[str] = (),
        heads: PretrainingHeads | None = None,
    ):
        self.fabric, self.network, self.stage, self.length, self.key = fabric, network, stage, length, key
        self.out, self.step = out, 0
        self.validated, self.best, self.best_step, self.since_best = 0, -math.inf, 0, 0
        self.request: StopRequest | None = None
        trainable = trainable_parameters(network, stage, frozen)
        network.requires_grad_(False)
        for parameter in (each for named in trainable.values() for each in named.values()):
            parameter.requires_grad_()
        self.learner = Learner(network, heads)
        if fabric.device.type == "cuda" and fabric.world_size > 1:
            self.learner = nn.SyncBatchNorm.convert_sync_batchnorm(self.learner)
        self.model = fabric.setup(self.learner)
        if stage.frozen_batch_norm:
            network.freeze_batch_norm()
        self.model.train()  # what does not learn stays in evaluation mode

        now = dict(network.named_parameters())  # sharding has replaced them
        self.trainable = {part: {name: now[name] for name in named} for part, named in trainable.items()}
        if heads is not None:
            self.trainable[heads.part] |= heads.named_parameters(prefix="heads")
        # A fused one divides scaled gradients of float16 itself, after the clipping, which would cut them to nothing.
        fused = fabric.strategy.precision.precision != "16-mixed"
        optimizer, self.schedule = build_optimizer(network, self.trainable, stage, length, fused)
        self.optimizer = fabric.setup_optimizers(optimizer)
        self.average = AveragedModel(network, avg_fn=get_ema_avg_fn(stage.ema), use_buffers=True) if stage.ema else None

    def run(
        self,
        batches: Iterable[Batch | CachedObjectBatch],
        validate_every: int,
        validate: Callable[[], bool],
        save_every: int,
        save: Callable[[], None],
        log: Callable[[Losses, int], None],
        request: StopRequest | None = None,
        timer: Timer | None = None,
    ) -> None:
        """Runs the steps that are still to do.

        Args:
            batches: from the first part of the next step on, each on its way to the device.
            validate_every: steps between two calls of `validate`, which is also called after the last step.
            validate: after a step; returns False if it was broken off, since a stop was asked for.
            save_every: steps between two calls of `save`.
            save: when all that belongs to a step is over.
            log: takes the losses of each step, means over processes, and how many expressions it had on this one.
            request: asks for an end after the step.
            timer: asks for a call of `save` after the step; that of the first process counts.

        Raises:
            TrainingStopped: on all processes, after a call of `save`, if one was asked to stop.
        """
        self.request = request
        parts = iter(batches)
        if self._is_validation_due(validate_every) and not validate():  # it was broken off
            self._stop_as_asked(save)
        while not self.is_over():
            log(*self.train_step(parts))
            stop, late = self._agree(bool(timer and timer.is_due()))
            if stop or (self._is_validation_due(validate_every) and not validate()):
                self._stop_as_asked(save)
            if self.is_over():
                break
            if self.step % save_every == 0 or late:
                save()
                if timer:
                    timer.set()

    def is_over(self) -> bool:
        """Whether all steps are done, or so many validations were no better that the stage has no patience left."""
        patience = self.stage.patience
        return self.step >= self.length.steps or (patience is not None and self.since_best >= patience)

    def note_score(self, score: float) -> bool:
        """Takes note of the score of a validation; returns whether it is the best so far."""
        better = score > self.best
        if better:
            self.best, self.best_step = score, self.step
        self.since_best = 0 if better else self.since_best + 1
        return better

    def _is_validation_due(self, every: int) -> bool:
        return self.step > self.validated and (self.step % every == 0 or self.is_over())

    def _stop_as_asked(self, save: Callable[[], None]) -> NoReturn:
        save()
        raise TrainingStopped(self.stage.name, self.step, self.request.signal if self.request else 0)

    def _agree(self, late: bool = False) -> tuple[bool, bool]:
        """Whether any process was asked to stop, and what the first one says of the other flag; the same on all."""
        asked = bool(self.request and self.request.signal)
        if self.fabric.world_size == 1:
            return asked, late
        own = torch.tensor([asked, late and self.fabric.is_global_zero], dtype=torch.float32, device=self.fabric.device)
        stop, save = self.fabric.all_reduce(own, reduce_op="sum").tolist()
        return stop > 0, save > 0

    def train_step(self, parts: Iterator[Batch | CachedObjectBatch]) -> tuple[Losses, int]:
        """Takes one step of the optimiser.

        Returns:
            the losses of its last part, means over processes, and how many expressions (in a stage without language:
            images) this process had.
        """
        accumulate, amount = self.stage.accumulate, 0
        for part in range(accumulate):
            batch = self.fabric.to_device(next(parts))
            torch.manual_seed(step_seed(self.key, self.step, part, self.fabric.global_rank))
            with self.fabric.no_backward_sync(self.model, enabled=part + 1 < accumulate):
                losses = self.compute_losses(batch)
                means = self._means(losses, batch)
                self.fabric.backward(losses["loss"] / accumulate)
            amount += len(batch.tokens if self.stage.expressions_per_image else batch.image)
        self._clip_gradients()
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return means, amount

    def learning_rates(self) -> dict[str, float]:
        """Returns the learning rate of each part in the latest step, the highest of its layers."""
        parts = {id(each): part for part, named in self.trainable.items() for each in named.values()}
        rates: dict[str, float] = {}
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            part = parts[id(group["params"][0])]
            rates[part] = max(rate, rates.get(part, 0.0))
        return rates

    def compute_losses(self, batch: Batch | CachedObjectBatch) -> Losses:
        """Computes the losses that the stage's objective names; "loss" is the one to minimise."""
        arguments = vars(batch) if isinstance(batch, CachedObjectBatch) else {"batch": batch}
        try:
            losses: Losses = self.model(self.stage.objective, arguments)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InvalidInput(
                f"stage {self.stage.name}: a batch norm of the network wants two expressions at once or more on each "
                f"device; set images, expressions_per_image or accumulate={self.stage.accumulate} otherwise"
            ) from error
        if not losses["loss"].requires_grad:
            raise InvalidInput(
                f"stage {self.stage.name}: objective {self.stage.objective} teaches nothing of "
                f"{', '.join(self.trainable)}; name other groups, or another objective"
            )
        return losses

    def _means(self, losses: Losses, batch: Batch | CachedObjectBatch) -> Losses:
        """Means over processes, which all stop where one is not finite."""
        own = torch.stack([value.detach().float() for value in losses.values()])
        means = dict(zip(losses, self.fabric.all_reduce(own.clone(), reduce_op="mean"), strict=True))
        if not bool(torch.isfinite(means["loss"])):
            self._stop(batch, dict(zip(losses, own.tolist(), strict=True)))
        return means

    def _stop(self, batch: Batch | CachedObjectBatch, losses: Mapping[str, float]) -> NoReturn:
        """All processes stop, and those whose own loss is not finite name their batch in a file."""
        name = f"not-finite-{self.stage.name}-step={self.step}"
        if not math.isfinite(losses["loss"]):
            about = {"step": self.step, "process": self.fabric.global_rank, "losses": losses}
            about["expressions"] = list(getattr(batch, "ids", ()))
            file = self.out / f"{name}-process={self.fabric.global_rank}.json"
            file.write_text(json.dumps(about, indent=1) + "\n")
        raise RefsegError(
            f"the loss of stage {self.stage.name} is not finite at step {self.step}; its batch is named in "
            f"{self.out / name}-process=*.json. Look at these samples, or start in another folder with a lower "
            "learning rate or with precision 32"
        )

    def _clip_gradients(self) -> None:
        """Clips the gradient of each part to its own norm."""
        clips = {part: clip for part in self.trainable if (clip := self.stage.groups[part].clip)}
        if clips:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
        for part, clip in clips.items():
            nn.utils.clip_grad_norm_(self.trainable[part].values(), clip)

    @torch.no_grad()
    def validate(
        self,
        batches: Iterable[Batch],
        types: Sequence[str] = (),
        see: Callable[[Batch, Tensor], None] = lambda batch, answers: None,
    ) -> dict[str, float] | None:
        """Returns every metric over all expressions of all processes, and "TYPE/mIoU" for each type.

        The running mean of the weights is validated where the stage keeps one.

        Args:
            batches: of this process; `Batch.types` has numbers of `types`.
            types: of expressions.
            see: takes each batch with its answers (M, H, W) bool.

        Returns:
            the metrics; None if it was broken off, since a process was asked to stop.
        """
        device = self.fabric.device
        everything, by_type = RunningMetrics().to(device), [RunningMetrics().to(device) for _ in types]
        model = self.model if self.average is None else Learner(cast(Network, self.average.module))
        model.eval()
        for batch in map(self.fabric.to_device, batches):
            with self.fabric.autocast():
                output: Output = model("predict", {"batch": batch})
            truths = batch.masks()
            logits = F.interpolate(output.logits, truths.shape[-2:], mode="bilinear")  # some networks' are coarser
            answers = logits[:, 0] > 0
            counts = count_pixels(answers, truths, batch.targets.any(1))
            see(batch, answers)
            everything.update(*counts)
            if batch.types is not None:
                for number, metrics in enumerate(by_type):
                    metrics.update(*counts.where(batch.types == number))
            if self._agree()[0]:
                self.model.train()
                return None
        self.model.train()
        values = {name: float(value) for name, value in everything.compute().items()}
        for name, metrics in zip(types, by_type, strict=True):
            if "mIoU" in (of_type := metrics.compute()):
                values[f"{name}/mIoU"] = float(of_type["mIoU"])
        return values

    def network_weights(self) -> dict[str, Tensor]:
        """Returns the network's weights, of the running mean if there is one; complete on the first process."""
        if self.average is not None:
            return dict(self.average.module.state_dict())
        return cast(dict[str, Tensor], get_model_state_dict(self.network, options=WHOLE))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the loop, tensors and plain data; all processes call it, it is complete on the first."""
        weights, optimizer = get_state_dict(self.learner, self.optimizer.optimizer, options=WHOLE)
        return {
            "step": self.step,
            "validated": self.validated,
            "scores": {"best": self.best, "best_step": self.best_step, "since_best": self.since_best},
            "weights": weights,
            "optimizer": optimizer,
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state, which may come from another number of processes, or of a stage of another length."""
        self.step = state["step"]
        self.validated = state.get("validated", self.step)  # older states were saved after validation
        for name, value in state.get("scores", {}).items():
            setattr(self, name, value)
        options = StateDictOptions(full_state_dict=True)
        optimizer = self.optimizer.optimizer
        set_state_dict(
            self.learner,
            optimizer,
            model_state_dict=state["weights"],
            optim_state_dict=state["optimizer"],
            options=options,
        )
        self.schedule.load_state_dict(state["schedule"])
        rates, factors = self.schedule.base_lrs, self.schedule.lr_lambdas
        for group, rate, factor in zip(optimizer.param_groups, rates, factors, strict=True):
            group["lr"] = rate * factor(self.step)  # the same, unless the stage has another length
            group["betas"] = tuple(group["betas"])  # `set_state_dict` makes lists; the next state would differ in bytes
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def step_seed(key: tuple[int, int], step: int, part: int, rank: int) -> int:
    """Returns what everything random in a part of a step starts from in a process."""
    return int(np.random.SeedSequence((*key, step, part, rank)).generate_state(1)[0])
