"""Recipe: everything that turns nothing into weights, as one frozen model that is saved beside them.

A recipe is written by a Python function in `recipes/`, or read from the YAML that a run left; `--set a.b=value` changes
one thing of it.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from refseg.config import Config
from refseg.errors import InvalidInput, MissingFile
from refseg.validation import one_line


class Group(Config):
    """How one part of a network learns."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    clip: float = Field(gt=0)  # largest norm of the part's gradient


class Stage(Config):
    """One stretch of training; the learning rate rises over `warm_up` and falls by a cosine to `final_lr`.

    Amounts are of one step over all devices together.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    objective: str = "loss"  # the network's method that gives the losses
    groups: dict[str, Group]  # by the name of the network's part; other parts are frozen
    steps: int = Field(ge=1)
    images: int = Field(ge=1)
    expressions_per_image: int = Field(ge=0)  # 0: images without language
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the steps
    final_lr: float = Field(0.01, ge=0, le=1)  # share of the highest learning rate
    flip: float = Field(0.5, ge=0, le=1)  # share of images that are mirrored, left and right swapped in the words
    unknown_words: float = Field(0.0, ge=0, lt=1)  # share of words replaced by "unknown"
    erasure: Literal["per_iteration", "fixed"] = "per_iteration"  # the phrase that is erased: drawn anew, or once
    frozen_batch_norm: bool = False
    cached_scenes: int = Field(0, ge=0)  # above 0: the image side runs once over so many scenes and is kept
    validate_every: int = Field(0, ge=0)  # steps; 0: at the end only


class Data(Config):
    """What a network learns from and is validated on."""

    dataset: Literal["drawn_scenes"] = "drawn_scenes"
    scenes: int = Field(ge=1)
    tier: Literal["easy", "base", "hard"] = "base"
    side: Literal[128, 256] = 128
    seed: int = 0
    validation_scenes: int = Field(200, ge=1)  # during training
    calibration_scenes: int = Field(1000, ge=1)  # of split val, for thresholds after training


class Recipe(Config):
    """A network, its data and the stages of its training."""

    name: str
    network: str
    config: dict[str, Any] = {}  # the network's own settings, where they differ from its defaults
    data: Data
    initial: dict[str, str] = {}  # by part of the network: what it starts from, see `training.initial`
    stages: tuple[Stage, ...] = Field(min_length=1)
    releases: Literal["checkpoint", "image_encoder"] = "checkpoint"  # what is left at the end
    precision: Literal["32", "bf16"] = "bf16"
    seed: int = 0

    @field_validator("precision", mode="before")
    @classmethod
    def _precision_as_text(cls, value: Any) -> Any:
        return str(value)

    @model_validator(mode="after")
    def _stage_names_differ(self) -> "Recipe":
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages have the same name: {', '.join(names)}")
        return self

    def to_yaml(self) -> str:
        """The recipe as text that `Recipe.from_yaml` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: Path) -> "Recipe":
        """The recipe in a file.

        Raises:
            MissingFile, InvalidInput: if there is no such file, or no valid recipe in it.
        """
        if not path.is_file():
            raise MissingFile(f"there is no recipe {path}")
        try:
            return checked(yaml.safe_load(path.read_text()), str(path))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is not YAML: {' '.join(str(error).split())}") from error

    def with_settings(self, settings: list[str]) -> "Recipe":
        """The recipe with some fields set, each as "a.b=value"; stages by name or number ("stages.find.steps=10").

        Raises:
            InvalidInput: naming every setting that is not allowed.
        """
        plain = self.model_dump(mode="json")
        for setting in settings:
            path, equals, text = setting.partition("=")
            if not equals:
                raise InvalidInput(f"--set {setting!r} has no '='; write it as a.b=value")
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise InvalidInput(f"--set {setting!r}: {text!r} is not a value") from error
            _set(plain, path.split("."), value, setting)
        return checked(plain, "--set") if settings else self


def checked(plain: Any, source: str) -> Recipe:
    """A recipe of plain values.

    Raises:
        InvalidInput: with every fault in one line.
    """
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        raise InvalidInput(f"{source}: {one_line(error)}") from error


def _set(node: Any, path: list[str], value: Any, setting: str) -> None:
    for depth, key in enumerate(path):
        if isinstance(node, list):
            names = {item["name"]: number for number, item in enumerate(node)} | {str(n): n for n in range(len(node))}
        else:
            names = {name: name for name in node} if isinstance(node, dict) else {}
        inside_config = path[0] == "config" and depth == 1
        if key not in names and not inside_config:
            where = ".".join(path[:depth]) or "the recipe"
            known = ", ".join(names) or "nothing"
            raise InvalidInput(f"--set {setting!r}: {where} has no {key!r}; it has: {known}")
        if depth == len(path) - 1:
            node[names.get(key, key)] = value
        elif key not in names:
            raise InvalidInput(f"--set {setting!r}: config.{key} is not set in this recipe; give the whole value")
        else:
            node = node[names[key]]
