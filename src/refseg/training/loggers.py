"""Where the curves of a run are written: by name, without an import of torch before one is opened."""

import json
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refseg.array_types import RgbImage
from refseg.errors import InvalidInput, choose_one
from refseg.training.metrics_table import MetricsTable

PROJECT = "refseg"
DEFAULT = ("csv", "tensorboard")
MAIN_METRIC = "val/oIoU"


@dataclass(frozen=True)
class StageOfRun:
    """The stage of a run whose curves are written.

    Attributes:
        run: the run's folder.
        name: of the stage.
        done: steps of it that are done; what was logged of later ones is written again.
        before: steps of all stages before it.
        recipe: of the run, as plain values.
    """

    run: Path
    name: str
    done: int
    before: int
    recipe: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.run / "logs" / self.name


class Logger(ABC):
    """A place where the curves of a stage are written."""

    @abstractmethod
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values that belong to a step."""

    def show(self, step: int, name: str, image: RgbImage) -> None:  # noqa: B027  # a table takes no images
        """Writes an image that belongs to a step, where the place takes images."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """Ends the writing."""


def check_loggers(names: Sequence[str]) -> None:
    """Checks that loggers are known and installed.

    Raises:
        InvalidInput: with the way to install the first one that is not.
    """
    if unknown := [name for name in names if name not in LOGGERS]:
        raise InvalidInput(f"unknown logger {unknown[0]!r}; {choose_one(unknown[0], LOGGERS)}")
    if "none" in names and len(set(names)) > 1:
        raise InvalidInput("logger none goes with no other one; leave one of them out")
    for name in names:
        module = LOGGERS[name].module
        if module and find_spec(module) is None:
            raise InvalidInput(f"logger {name} needs the package {module}; install it with: pip install {module}")


def open_loggers(names: Sequence[str], stage: StageOfRun) -> list[Logger]:
    """Opens loggers for a stage."""
    return [LOGGERS[name].open(stage) for name in dict.fromkeys(names) if name != "none"]


class CsvLogger(Logger):
    """RUN/logs/STAGE/metrics.csv."""

    def __init__(self, stage: StageOfRun):
        self._table = MetricsTable(stage.folder / "metrics.csv", stage.done)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As `Logger` says."""
        self._table.write(step, values)

    def close(self, failed: bool) -> None:
        """As `Logger` says."""
        self._table.close()


class TensorBoardLogger(Logger):
    """RUN/logs/STAGE/events..., with the recipe as hyperparameters."""

    def __init__(self, stage: StageOfRun):
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self._writer = SummaryWriter(str(stage.folder), purge_step=stage.done + 1 if stage.done else None)
        for part in hparams(settings(stage.recipe), {MAIN_METRIC: 0.0}):
            self._writer._get_file_writer().add_summary(part)  # `add_hparams` would make a folder of its own
        self._writer.add_text("recipe", f"```\n{json.dumps(stage.recipe, indent=1)}\n```", stage.done)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As `Logger` says."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show(self, step: int, name: str, image: RgbImage) -> None:
        """As `Logger` says."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self, failed: bool) -> None:
        """As `Logger` says."""
        self._writer.close()


class WandbLogger(Logger):
    """A run of Weights & Biases, which goes on when the training does; it refuses steps that it has already."""

    def __init__(self, stage: StageOfRun):
        wandb: Any = import_module("wandb")

        self._before, self._stage = stage.before, stage.name
        self._wandb = wandb
        self._run = wandb.init(
            project=PROJECT,
            name=stage.run.name,
            id=kept_id(stage.run / "logs" / "wandb-run", lambda: uuid.uuid4().hex),
            dir=str(stage.run / "logs"),
            resume="allow",
            config=settings(stage.recipe),
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As `Logger` says."""
        self._run.log({f"{self._stage}/{name}": value for name, value in values.items()}, step=self._before + step)

    def show(self, step: int, name: str, image: RgbImage) -> None:
        """As `Logger` says."""
        self._run.log({name: self._wandb.Image(image)}, step=self._before + step)

    def close(self, failed: bool) -> None:
        """As `Logger` says."""
        self._run.finish(exit_code=int(failed))


class MlflowLogger(Logger):
    """A run of MLflow, on the server that MLFLOW_TRACKING_URI names, which goes on when the training does."""

    def __init__(self, stage: StageOfRun):
        client: Any = import_module("mlflow.tracking").MlflowClient()
        self._client, self._stage, self._before = client, stage.name, stage.before

        def new() -> str:
            experiment = self._client.get_experiment_by_name(PROJECT)
            number = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
            run: str = self._client.create_run(number, run_name=stage.run.name).info.run_id
            for name, value in settings(stage.recipe).items():
                self._client.log_param(run, name, str(value)[:500])
            return run

        self._run = kept_id(stage.run / "logs" / "mlflow-run", new)
        self._client.update_run(self._run, status="RUNNING")
        logged = self._client.get_metric_history(self._run, f"{self._stage}/train/loss")
        self._last = max((value.step for value in logged), default=0)  # steps cannot be taken back, nor do they change

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """As `Logger` says."""
        if self._before + step > self._last or not any(name.startswith("train/") for name in values):
            for name, value in values.items():
                safe = name.replace("@", "_at_")  # which MLflow refuses in names
                self._client.log_metric(self._run, f"{self._stage}/{safe}", value, step=self._before + step)

    def show(self, step: int, name: str, image: RgbImage) -> None:
        """As `Logger` says."""
        folder = re.sub(r"[^\w/-]+", "_", name)
        self._client.log_image(self._run, image, f"{folder}/{self._before + step:08}.png")

    def close(self, failed: bool) -> None:
        """As `Logger` says."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


@dataclass(frozen=True)
class Kind:
    """How a logger is opened, and the package that it needs; None where `refseg[train]` has it."""

    open: Callable[[StageOfRun], Logger]
    module: str | None = None


LOGGERS = {
    "csv": Kind(CsvLogger),
    "tensorboard": Kind(TensorBoardLogger),
    "wandb": Kind(WandbLogger, "wandb"),
    "mlflow": Kind(MlflowLogger, "mlflow"),
    "none": Kind(CsvLogger),
}


def kept_id(file: Path, new: Callable[[], str]) -> str:
    """Returns the id in a file; makes one and writes it where there is none."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(new(), encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def settings(recipe: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Returns the recipe's settings as one table, by names such as "stages.learn.groups.fusion.lr".

    >>> settings({"name": "x", "stages": [{"name": "learn", "images": 4, "groups": {"fusion": {"lr": 0.1}}}]})
    {'name': 'x', 'stages.learn.images': 4, 'stages.learn.groups.fusion.lr': 0.1}
    """
    found: dict[str, bool | int | float | str] = {}

    def take(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                take(inner, f"{name}.{key}" if name else str(key))
        elif name == "stages":
            for stage in value:
                take({key: inner for key, inner in stage.items() if key != "name"}, f"stages.{stage['name']}")
        elif value is not None:
            found[name] = value if isinstance(value, bool | int | float | str) else json.dumps(value)

    take(recipe, "")
    return found
