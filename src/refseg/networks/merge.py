"""Changes of a network's settings: one field of a part is changed and its neighbours stay as the preset has them."""

from collections.abc import Mapping
from typing import Any

from refseg.config import Config
from refseg.networks import PRESETS, configured, preset


def merge_config(name: str, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of a network with changes merged into them at every depth.

    A part that a mapping names without another `kind` keeps its other fields: those of `config`, or of the preset. With
    another `kind` it has the defaults of that kind. A part that was off has the fields of the preset that has it
    ("cris_small_aligner" for the aligner of "cris_small"), or its defaults if there is none.

    Args:
        name: of a network or preset.
        config: settings that differ from it.
        changes: settings to change, by name; mappings for fields of parts.

    Raises:
        InvalidInput: for an unknown name, or if the result is not valid.
    """
    base = configured(name, config) if config else preset(name)
    changed = {**config, **{field: _merged(_part(base, name, field), value) for field, value in changes.items()}}
    configured(name, changed)
    return changed


def _part(config: Config, name: str, field: str) -> Any:
    """Returns a part of a config; of a part that is off, that of the preset "NAME_FIELD", None if there is none."""
    part, with_it = getattr(config, field, None), f"{name}_{field}"
    return getattr(preset(with_it), field) if part is None and with_it in PRESETS else part


def _merged(current: Any, change: Any) -> Any:
    if not (isinstance(current, Config) and isinstance(change, Mapping)):
        return change
    kind = getattr(current, "kind", None)
    if change.get("kind", kind) != kind:
        return dict(change)
    fields = {field: _merged(getattr(current, field, None), value) for field, value in change.items()}
    return {**current.model_dump(mode="json"), **fields}


def nest(path: list[str], value: Any, into: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping with the value at a path of names; other values stay.

    >>> nest(["aligner", "queries"], 4, {"aligner": {"width": 8}})
    {'aligner': {'width': 8, 'queries': 4}}
    """
    first, *rest = path
    inner = into.get(first)
    own = value if not rest else nest(rest, value, inner if isinstance(inner, Mapping) else {})
    return {**into, first: own}
