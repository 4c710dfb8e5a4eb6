"""Recipe: network, data and training as one frozen model that is saved beside the weights.

A recipe is returned by a Python function in `recipes/`, or read from the YAML of a run; `--set a.b=value` changes a
field.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from refseg.config import Config, one_line
from refseg.counting import counted
from refseg.errors import InvalidInput, did_you_mean, for_caller, shortened, shown
from refseg.files.yaml_values import parse_yaml, read_yaml
from refseg.networks.merge import merge_config, nest
from refseg.preprocessing.transform import Preprocessing, photographs
from refseg.recipes.schedules import AnySchedule, Cosine

Amount = Annotated[int, Field(le=10**9)]
"""Steps, images, scenes."""


Tier = Literal["easy", "base", "hard"]
"""Difficulty of drawn scenes."""

NOT_STATED = "not stated"
"""Protocol of papers that do not say how they count, and whose code is not public."""


class PaperReference(Config):
    """The published result that a recipe reproduces.

    Attributes:
        row: table and row of the paper.
        reports: figures of the paper in its units, by name ("val oIoU").
        protocol: the paper's, by its name in `refseg.protocols`, or `NOT_STATED`; of a network with a part of another
            paper that of the network's release, with whose figures the paper compares.
        paper_says, release_does: details of training that the fields do not tell, and differences.
    """

    row: str
    reports: dict[str, float] = {}
    protocol: str
    paper_says: str = ""
    release_does: str = ""


class Group(Config):
    """Optimisation of one part of a network; regular expressions match anywhere in names of parameters."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip: float | None = Field(None, gt=0)  # largest norm of the part's gradient
    only: tuple[str, ...] = ()  # names of trainable parameters, others are frozen; (): all
    undecayed: tuple[str, ...] | None = None  # names without decay; None: norms, biases, embeddings, position tables
    first_epoch_lr: float | None = Field(None, gt=0)  # CRIS's release: its first epoch has one rate for all
    layer_decay: float = Field(1.0, gt=0, le=1)  # factor of the rate from each layer to the one before it


class SceneData(Config):
    """Drawn scenes for training and validation."""

    dataset: Literal["drawn_scenes"] = "drawn_scenes"
    scenes: Amount = Field(ge=1)
    tier: Tier | tuple[Tier, ...] = "base"  # several share the scenes equally
    side: Literal[128, 256] = 128
    seed: int = Field(0, ge=0, lt=2**32)
    validation_scenes: Amount = Field(200, ge=1)  # during training
    calibration_scenes: Amount = Field(1000, ge=1)  # of split val, for thresholds after training

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Tiers, of which the scenes are drawn in turn."""
        return (self.tier,) if isinstance(self.tier, str) else self.tier

    @field_validator("tier", mode="before")
    @classmethod
    def _names_tiers(cls, value: Any) -> Any:
        names, given = get_args(Tier), value if isinstance(value, list | tuple) else [value]
        if not given or any(one not in names for one in given):
            raise ValueError(f"choose one or several of: {', '.join(names)}")
        return value

    @model_validator(mode="after")
    def _equal_shares(self) -> Self:
        if len(set(self.tiers)) < len(self.tiers):
            raise ValueError(f"a tier stands twice in {', '.join(self.tiers)}, whose scenes would be the same")
        for name in ("scenes", "validation_scenes", "calibration_scenes"):
            if (count := getattr(self, name)) % len(self.tiers):
                raise ValueError(f"{name} is {count}, which {counted(len(self.tiers), 'tier')} cannot share equally")
        return self


class FileData(Config):
    """A data set of files, or of clips (docs/datasets.md); validation never reads a test split.

    For videos, "images" are clips, whose frames are those of `preprocessing.clip`.
    """

    dataset: str
    settings: dict[str, Any] = {}  # of the data set: root, images, split_by, text, covered_twice, ...
    train: str = "train"  # splits
    validation: str = "val"
    validation_images: Amount | None = Field(None, ge=1)  # the first of them; None: all
    calibration_images: Amount | None = Field(None, ge=1)  # for the thresholds at the end; None: the validation images
    held_out: float = Field(0.0, ge=0, lt=1)  # share of training images to validate on if there is no such split
    item: Literal["referent", "expression", "image"] = "referent"  # unit of an epoch and of `images`
    spread_no_target: bool = False  # spread expressions without referent evenly (Ref-ZOM)
    preprocessing: Preprocessing = photographs(480)
    vocabulary: str | None = None  # file of `refseg data vocabulary`; None: all words of the training split
    crop_from: int | None = Field(None, ge=1, le=4096)  # side of training images, of which a random square is cut
    mask: Literal["nearest", "soft", "touched"] = "nearest"  # true mask at network size: bilinear, > 0 if "touched"
    truth: Literal["mask", "box"] = "mask"  # box: the whole box around the referents
    workers: int = Field(4, ge=0, le=1024)  # processes that read images, for each device

    @field_validator("validation")
    @classmethod
    def _not_a_test_split(cls, value: str) -> str:
        if value == "all" or "test" in value.lower():  # "all" holds the test splits as well
            raise ValueError("a checkpoint must not be chosen by a test split; take val, or a part of train")
        return value

    @field_validator("settings")
    @classmethod
    def _names_no_split(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "split" in value:
            raise ValueError("a training has two splits; set data.train and data.validation")
        return value


def _find_kind(value: Any) -> str:
    name = value.get("dataset", "drawn_scenes") if isinstance(value, dict) else getattr(value, "dataset", "")
    return "drawn_scenes" if name == "drawn_scenes" else "files"


Data = Annotated[
    Annotated[SceneData, Tag("drawn_scenes")] | Annotated[FileData, Tag("files")], Discriminator(_find_kind)
]


class Stage(Config):
    """One stage of training; amounts are per step over all devices."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    data: Data | None = None  # other than the recipe's
    objective: str = "loss"  # method of the network that gives the losses, object_pretraining, or word_pretraining
    groups: dict[str, Group]  # by the name of the network's part; other parts are frozen
    steps: Amount | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0, le=10**6)  # instead of steps
    images: Amount = Field(ge=1)
    expressions_per_image: Amount = Field(ge=0)  # 0: images without language
    accumulate: Amount = Field(1, ge=1)  # gradient accumulation: parts of a step
    optimiser: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    schedule: AnySchedule = Cosine()
    ema: float | None = Field(None, gt=0, lt=1)  # decay of an EMA of the weights, which is validated and saved
    flip: float = Field(0.5, ge=0, le=1)  # probability of mirroring, with left and right swapped in expressions
    unknown_words: float = Field(0.0, ge=0, lt=1)  # probability of replacing a word by "unknown"
    erasure: Literal["per_iteration", "fixed"] = "per_iteration"  # erased phrase: drawn at each iteration, or once
    frozen_batch_norm: bool = False  # keep their statistics in trainable parts, too
    cached_scenes: Amount = Field(0, ge=0)  # above 0: cache the image side's outputs of so many scenes
    validate_every: Amount = Field(0, ge=0)  # steps; 0: after every epoch, or at the end if the length is in steps
    patience: Amount | None = Field(None, ge=1)  # validations without a better oIoU, after which the stage ends

    @model_validator(mode="after")
    def _has_one_length(self) -> "Stage":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set either steps or epochs, and the other one to null")
        if self.images % self.accumulate:
            images = counted(self.images, "image")
            raise ValueError(f"{images} cannot be computed in {self.accumulate} parts")
        return self


class Recipe(Config):
    """A network, its data and the stages of its training."""

    name: str
    about: PaperReference | None = None
    network: str
    config: dict[str, Any] = {}  # the network's own settings, where they differ from its defaults
    data: Data
    initial: dict[str, str] = {}  # by part, see `training.initial_weights`; null in `--set` removes one
    stages: tuple[Stage, ...] = Field(min_length=1)
    releases: Literal["checkpoint", "image_encoder", "word_encoder"] = "checkpoint"  # result of the training
    precision: Literal["32", "bf16", "16"] = "bf16"
    activation_checkpointing: bool = False  # less memory, more time
    channels_last: bool = False
    seed: int = Field(0, ge=0, lt=2**32)

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
        """Returns the recipe as YAML for `Recipe.from_yaml`, without `about` where it reports nothing."""
        plain = self.model_dump(mode="json", exclude=None if self.about else {"about"})
        return yaml.safe_dump(plain, sort_keys=False)

    @classmethod
    def from_yaml(cls, path: Path) -> "Recipe":
        """Reads a recipe from a file.

        Raises:
            MissingFile, InvalidInput: if there is no such file, or no valid recipe in it.
        """
        content = read_yaml(path, "recipe", "`refseg recipes selector` shows what a recipe holds")
        return validate_recipe(content, str(path))

    def with_settings(self, settings: list[str]) -> "Recipe":
        """Returns the recipe with fields set by "a.b=value"; stages by name or number ("stages.find.steps=10").

        A change of a part of the network ("config.aligner.queries=4", "config.aligner={queries: 4}") leaves the other
        fields of the part as the recipe or its network's preset has them, see `networks.merge`.

        Raises:
            InvalidInput: for settings that are not allowed.
        """
        plain = self.model_dump(mode="json")
        changes: dict[str, Any] = {}  # of the network's parts, after all else: which network it is may be set as well
        for setting in settings:
            path, equals, text = setting.partition("=")
            if not equals:
                raise InvalidInput(f"{_name_setting(shown(setting))} has no '='; write it as stages.learn.steps=100")
            try:
                value = parse_yaml(text)
            except InvalidInput as error:
                raise InvalidInput(f"{_name_setting(shown(setting))}: {shown(text)} is not a value") from error
            names = path.split(".", 1) if path.startswith("initial.") else path.split(".")  # parts have dots
            if names == ["config"] and isinstance(value, dict):
                plain["config"], changes = {}, value
            elif names[0] == "config" and len(names) > 1 and all(names):
                changes = nest(names[1:], value, changes)
            else:
                _set(plain, names, value, shown(setting))
        if changes:
            plain["config"] = _merge_changes(validate_recipe(plain, for_caller("--set", "the settings")), changes)
        return validate_recipe(plain, for_caller("--set", "the settings")) if settings else self


def validate_recipe(plain: Any, source: str) -> Recipe:
    """Validates a recipe of plain values.

    Raises:
        InvalidInput: with all faults in one line.
    """
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        raise InvalidInput(f"{source}: {one_line(error, Recipe, plain)}") from error


def _merge_changes(recipe: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the recipe's config with changes; torch is imported only where they are about parts of the network."""
    if not any(isinstance(value, dict) for value in changes.values()):
        return {**recipe.config, **changes}
    if "weights" in recipe.initial:  # the parts are those of the checkpoint, see `training.initial_checkpoint`
        for name, value in changes.items():
            own = recipe.config.get(name)
            changes[name] = {**own, **value} if isinstance(own, dict) and isinstance(value, dict) else value
        return {**recipe.config, **changes}
    return merge_config(recipe.network, recipe.config, changes)


def _name_setting(setting: str) -> str:
    return for_caller(f"--set {setting}", f"setting {setting}")


FREE_FORM_FIELDS = "config", "settings", "initial"  # fields that take new names


def _set(node: Any, path: list[str], value: Any, setting: str) -> None:
    for depth, key in enumerate(path):
        if isinstance(node, list):
            names = {item["name"]: number for number, item in enumerate(node)} | {str(n): n for n in range(len(node))}
        else:
            names = {name: name for name in node} if isinstance(node, dict) else {}
        free = depth > 0 and path[depth - 1] in FREE_FORM_FIELDS
        if key not in names and (node is None or (free and depth < len(path) - 1)):
            unset = ".".join(path[: depth if node is None else depth + 1])
            raise InvalidInput(f"{_name_setting(setting)}: {unset} is not set in this recipe; give its value")
        if key not in names and not free:
            where = ".".join(path[:depth]) or "the recipe"
            known = ", ".join(names) or "nothing"
            raise InvalidInput(
                f"{_name_setting(setting)}: {where} has no {key!r}; {did_you_mean(key, names)}it has: {known}"
            )
        if depth == len(path) - 1:
            if path[-2:] == ["data", "dataset"]:
                _check_same_kind(node, value, ".".join(path[:-1]), setting)
            if value is None and path[depth - 1] == "initial":
                node.pop(key, None)
            else:
                node[names.get(key, key)] = value
        else:
            node = node[names[key]]


def _check_same_kind(data: dict[str, Any], dataset: Any, name: str, setting: str) -> None:
    """Raises InvalidInput if another data set has other settings than the one that it takes the place of."""
    if _find_kind(data) == _find_kind({"dataset": dataset}):
        return
    example = "drawn_scenes, scenes: 20480" if dataset == "drawn_scenes" else shortened(str(dataset), 60)
    whole = f"{name}={{dataset: {example}}}"
    raise InvalidInput(
        f"{_name_setting(setting)}: {data['dataset']} has other settings than {shown(dataset)}; set all of them, "
        f"{for_caller(f'--set {shlex.quote(whole)}', whole)}, or take a recipe of that data set, see refseg recipes"
    )
