"""One stage of a recipe as a Lightning module: losses, optimiser, schedule, clipping, validation."""

import math
import time
from collections.abc import Iterable
from typing import Any

import lightning
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from refseg.datasets.drawn_scenes import TYPE_SHARES
from refseg.metrics import count_pixels
from refseg.networks.contract import Network
from refseg.recipe import Stage
from refseg.running_metrics import RunningMetrics
from refseg.samples import Batch
from refseg.training.batches import FoundBatch
from refseg.training.progress import EVERY

BETAS = (0.9, 0.98)


class TrainingStage(lightning.LightningModule):
    """Trains the parts of a network that the stage names; the others are frozen."""

    def __init__(self, network: Network, stage: Stage):
        super().__init__()
        self.network, self.stage = network, stage
        self.parts = {name: list(parts) for name, parts in network.parts().items()}
        for name, parameters in self.parts.items():
            for parameter in parameters:
                parameter.requires_grad_(name in stage.groups)
        self.all_types = RunningMetrics()
        self.by_type = nn.ModuleList([RunningMetrics() for _ in TYPE_SHARES])
        self._amount, self._speed, self._since = 0, 0.0, time.perf_counter()

    def on_train_start(self) -> None:
        """Batch norms keep their statistics where the stage says so."""
        if self.stage.frozen_batch_norm:
            self.network.freeze_batch_norm()

    def training_step(self, batch: Batch | FoundBatch, step: int) -> Tensor:
        """The stage's loss of one batch."""
        arguments = vars(batch) if isinstance(batch, FoundBatch) else {"batch": batch}
        losses = getattr(self.network, self.stage.objective)(**arguments)
        for name, value in losses.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        self._log_speed(batch)
        return losses["loss"]

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
        """AdamW with a rate for each part; norms, biases and embeddings do not decay."""
        groups = []
        for name, settings in self.stage.groups.items():
            plain, decaying = split_by_decay(self.network, self.parts[name])
            for parameters, decay in ((decaying, settings.weight_decay), (plain, 0.0)):
                groups.append({"params": parameters, "lr": settings.lr, "weight_decay": decay})
        optimiser = AdamW(groups, betas=BETAS, fused=True)
        schedule = LambdaLR(optimiser, lambda step: learning_rate(step / self.stage.steps, self.stage))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Each part's gradient is cut to its own length."""
        for name, settings in self.stage.groups.items():
            nn.utils.clip_grad_norm_(self.parts[name], settings.clip)

    def validation_step(self, batch: Batch, step: int) -> None:
        """Counts pixels of every expression of a batch; `batch.types` says which form each has."""
        output = self.network.fuse(
            self.network.encode_image(batch.image),
            self.network.encode_words(batch.tokens, batch.word_mask),
            batch.word_mask,
            batch.image_of_expression,
        )
        truths = batch.masks()
        logits = F.interpolate(output.logits, truths.shape[-2:], mode="bilinear")  # some networks' are coarser
        counts = count_pixels(logits[:, 0] > 0, truths)
        self.all_types.update(*counts)
        assert batch.types is not None
        for number, metrics in enumerate(self.by_type):
            metrics.update(*counts.where(batch.types == number))  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """Logs every metric for all expressions, and the mean IoU of each type."""
        self.log_dict({f"val/{name}": value.float() for name, value in self.all_types.compute().items()})
        self.all_types.reset()
        for name, metrics in zip(TYPE_SHARES, self.by_type, strict=True):
            values = metrics.compute()  # type: ignore[operator]
            if "mIoU" in values:
                self.log(f"val/{name}/mIoU", values["mIoU"].float())
            metrics.reset()  # type: ignore[operator]


def learning_rate(progress: float, stage: Stage) -> float:
    """Share of the highest learning rate at this share of the steps."""
    rise = min(1.0, progress / stage.warm_up) if stage.warm_up else 1.0
    return rise * (stage.final_lr + (1 - stage.final_lr) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def split_by_decay(network: nn.Module, parameters: Iterable[nn.Parameter]) -> tuple[list, list]:
    """Parameters without and with weight decay: norms, biases, embeddings and position tables have none."""
    still = {
        id(parameter)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim < 2 or isinstance(module, nn.Embedding) or "position" in name
    }
    groups: tuple[list, list] = [], []
    for parameter in parameters:
        groups[id(parameter) not in still].append(parameter)
    return groups
