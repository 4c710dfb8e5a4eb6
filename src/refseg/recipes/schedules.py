"""Learning-rate schedules of published training scripts: factors of the highest rate."""

import math
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from refseg.config import Config


class Schedule(Config):
    """A factor of the highest learning rate at each step."""

    @abstractmethod
    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns the factor at a step, counted from 0, of a training of `steps`."""


class Constant(Schedule):
    """The highest rate from the first to the last step."""

    kind: Literal["constant"] = "constant"

    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns 1."""
        return 1.0


class Cosine(Schedule):
    """Linear warm-up, then half a cosine.

    >>> [round(Cosine(warm_up=0.04, final=0.1)(step, 100, 10), 2) for step in (0, 2, 50, 100)]
    [0.0, 0.5, 0.55, 0.1]
    """

    kind: Literal["cosine"] = "cosine"
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the steps
    final: float = Field(0.01, ge=0, le=1)

    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns the product of warm-up and cosine."""
        done = min(step / steps, 1.0)
        rise = min(1.0, done / self.warm_up) if self.warm_up else 1.0
        fall = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))
        return rise * fall


class Polynomial(Schedule):
    """(1 - step / over) ** power, down to a final factor.

    >>> Polynomial(power=1)(step=25, steps=100, steps_per_epoch=10)
    0.75
    """

    kind: Literal["polynomial"] = "polynomial"
    power: float = Field(0.9, gt=0)
    final: float = Field(0.0, ge=0, lt=1)
    over: int | None = Field(None, ge=1)  # steps; None: all; CMPC's training stops before its schedule ends

    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns TensorFlow's `polynomial_decay`."""
        left = max(0.0, 1 - step / (self.over or steps))
        return float(self.final + (1 - self.final) * left**self.power)


class Milestones(Schedule):
    """Multiplication by a factor at some epochs or steps.

    >>> [Milestones(at=(2, 3), factor=0.1)(step, 50, 10) for step in (19, 20, 30)]
    [1.0, 0.1, 0.01]
    """

    kind: Literal["milestones"] = "milestones"
    at: tuple[int, ...] = Field(min_length=1)
    unit: Literal["epoch", "step"] = "epoch"
    factor: float = Field(0.1, gt=0, lt=1)

    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns the factor to the power of the milestones reached."""
        place = step / steps_per_epoch if self.unit == "epoch" else step
        return round(self.factor ** sum(place >= milestone for milestone in self.at), 12)


class LineThenPolynomial(Schedule):
    """CMIRNet's schedule: linear to `drop`, then polynomial of power 0.9 to 0.

    >>> LineThenPolynomial(first_epochs=5, drop=0.4)(step=250, steps=3000, steps_per_epoch=100)
    0.7
    """

    kind: Literal["line_then_polynomial"] = "line_then_polynomial"
    first_epochs: float = Field(gt=0)  # of the line; 5 with ResNet, 10 with Swin
    drop: float = Field(gt=0, lt=1)  # factor at its end; 0.4 with ResNet, 0.5 with Swin

    def __call__(self, step: int, steps: int, steps_per_epoch: float) -> float:
        """Returns the line up to `first_epochs`, then the polynomial."""
        epoch, epochs = step / steps_per_epoch, steps / steps_per_epoch
        if epoch <= self.first_epochs:
            return 1 - (1 - self.drop) * epoch / self.first_epochs
        left = max(0.0, 1 - (epoch - self.first_epochs) / (epochs - self.first_epochs))
        return float(self.drop * left**0.9)


AnySchedule = Annotated[Constant | Cosine | Polynomial | Milestones | LineThenPolynomial, Field(discriminator="kind")]
