"""Data sets: files on disk, or scenes drawn on the fly, to samples and clips. `DATASETS` is the table of names."""

import json
from collections.abc import Iterable, Sequence
from inspect import Parameter, signature
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from refseg.datasets.dataset import Dataset
from refseg.errors import InvalidInput, choose_one, did_you_mean, option, shown
from refseg.extensions import look_up

DATASETS: dict[str, Any] = {
    "drawn_scenes": "refseg.datasets.drawn_scenes.dataset:DrawnScenes",
    "refcoco": "refseg.datasets.refcoco:RefCOCO",
    "refcoco+": "refseg.datasets.refcoco:RefCOCOPlus",
    "refcocog": "refseg.datasets.refcoco:RefCOCOg",
    "refclef": "refseg.datasets.referit:RefCLEF",
    "referit": "refseg.datasets.referit:ReferIt",
    "grefcoco": "refseg.datasets.grefcoco:GRefCOCO",
    "refzom": "refseg.datasets.refzom:RefZOM",
    "refcoco_m": "refseg.datasets.refcoco_m:RefCOCOM",
    "arefcoco": "refseg.datasets.arefcoco:ARefCOCO",
    "rrefcoco": "refseg.datasets.rrefcoco:RRefCOCO",
    "rrefcoco+": "refseg.datasets.rrefcoco:RRefCOCOPlus",
    "rrefcocog": "refseg.datasets.rrefcoco:RRefCOCOg",
    "fprefcoco": "refseg.datasets.fprefcoco:FPRefCOCO",
    "fprefcoco+": "refseg.datasets.fprefcoco:FPRefCOCOPlus",
    "fprefcocog": "refseg.datasets.fprefcoco:FPRefCOCOg",
    "reasonseg": "refseg.datasets.reasonseg:ReasonSeg",
    "muse": "refseg.datasets.muse:MUSE",
    "ref_l4": "refseg.datasets.ref_l4:RefL4",
    "phrasecut": "refseg.datasets.phrasecut:PhraseCut",
    "visual_genome": "refseg.datasets.visual_genome:VisualGenome",
    "rec_pretraining": "refseg.datasets.rec_pretraining:RecPretraining",
    "rec_boxes": "refseg.datasets.rec_pretraining:RecBoxes",
    "rec_combined": "refseg.datasets.rec_pretraining:RecCombined",
    "refer": "refseg.datasets.refer:Refer",
    "jsonl": "refseg.datasets.jsonl:JsonLines",
    "shards": "refseg.datasets.shards:Shards",
    "drawn_clips": "refseg.datasets.drawn_clips.dataset:DrawnClips",
    "a2d_sentences": "refseg.datasets.a2d_sentences:A2DSentences",
    "jhmdb_sentences": "refseg.datasets.jhmdb_sentences:JHMDBSentences",
    "refer_youtube_vos": "refseg.datasets.refer_youtube_vos:ReferYouTubeVOS",
    "ref_davis": "refseg.datasets.ref_davis:RefDAVIS17",
    "mevis": "refseg.datasets.mevis:MeViS",
    "long_rvos": "refseg.datasets.long_rvos:LongRVOS",
}


def build(name: str, **settings: Any) -> Any:
    """Opens a data set, a sequence of samples or clips; `settings` are its own (split, root, count, ...).

    Raises:
        InvalidInput: for an unknown name, or a setting that this data set refuses.
        MissingFile: if its files are not there.
    """
    check_settings(name, settings)
    if "split" not in settings:
        raise InvalidInput(f"say which split of {name}, for example {option('split', 'val')}")
    dataset = class_of(name)
    return dataset(**{setting: _checked(name, setting, value, dataset) for setting, value in settings.items()})


def check_settings(name: str, settings: Iterable[str]) -> None:
    """Checks the names of settings of a data set.

    Raises:
        InvalidInput: for an unknown data set, or a setting that it does not have.
    """
    allowed = settings_of(class_of(name))
    if unknown := set(settings) - set(allowed):
        meant = did_you_mean(min(unknown), allowed)
        raise InvalidInput(f"{name} has no setting {', '.join(sorted(unknown))}; {meant}it takes {', '.join(allowed)}")


def _checked(name: str, setting: str, value: Any, dataset: type[Any]) -> Any:
    """Validates a setting against the type in the class's signature; literals are left to the class."""
    from pydantic import TypeAdapter, ValidationError

    from refseg.config import one_line

    inits = [vars(kind)["__init__"] for kind in dataset.__mro__ if "__init__" in vars(kind)]
    init = next(init for init in inits if setting in get_type_hints(init))
    annotation, default = get_type_hints(init)[setting], signature(init).parameters[setting].default
    if get_origin(annotation) is Literal:
        return value
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        wrong = one_line(error).removeprefix("value: ")
        if allowed := _describe_type(annotation):
            example = ""
            if isinstance(default, int | float | str | tuple) and not isinstance(default, bool) and default != ():
                example = f", for example {setting}={json.dumps(default, separators=(',', ':'))}"
            wrong = f"give {allowed}{example} (got {shown(value, 40)})"
        raise InvalidInput(f"setting {setting} of {name}: {wrong}") from error


_TYPES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def _describe_type(annotation: Any) -> str:
    """Describes the values of a type as users write them; "" for types that they do not write.

    >>> _describe_type(tuple[int, int]), _describe_type(str | Path | None), _describe_type(list[bytes])
    ('a list of 2, each a whole number', 'a path', '')
    """
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if Path in parts:
        parts = [part for part in parts if part is not str]
    described = [_describe_type(part) for part in parts]
    if not all(described):
        return ""
    if origin in (Union, UnionType):
        return " or ".join(described)
    if origin is tuple:
        return f"a list of {len(parts)}, each {' or '.join(dict.fromkeys(described))}"
    return f"a list, each {described[0]}" if origin in (list, Sequence) else _TYPES.get(annotation, "")


def class_of(name: str) -> Any:
    """Returns the class of the data set of that name.

    Raises:
        InvalidInput: for an unknown name, or something that is not a subclass of `datasets.dataset.Dataset`.
    """
    found = look_up(DATASETS, "refseg.datasets", name)
    if found is None:
        raise InvalidInput(f"unknown data set {name!r}; {choose_one(name, DATASETS)}")
    if not (isinstance(found, type) and issubclass(found, Dataset)):
        raise InvalidInput(
            f"data set {name!r} is no subclass of refseg.datasets.dataset.Dataset; derive its class from that one, as "
            "docs/your_own.md#a-data-set says"
        )
    return found


def names_of_clips() -> list[str]:
    """Returns the names of the data sets of videos."""
    return [name for name in DATASETS if class_of(name).of_clips]


def build_images(name: str, **settings: Any) -> Any:
    """Opens a data set of images, as `build`.

    Raises:
        InvalidInput: besides, if it is a data set of videos.
    """
    if class_of(name).of_clips:
        others = ", ".join(other for other in DATASETS if not class_of(other).of_clips)
        raise InvalidInput(f"{name} holds videos, images are wanted; choose one of: {others}")
    return build(name, **settings)


def settings_of(dataset: type[Any]) -> list[str]:
    """Returns the settings of a data set's class, with those that it passes on to its parents."""
    names: dict[str, None] = {}
    for kind in dataset.__mro__:
        if "__init__" in vars(kind):
            parameters = list(signature(vars(kind)["__init__"]).parameters.values())[1:]
            names |= {parameter.name: None for parameter in parameters if parameter.kind is not Parameter.VAR_KEYWORD}
            if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in parameters):
                break
    return list(names)
