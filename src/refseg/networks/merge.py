"""Changes of a network's settings: one field of a part is changed and its neighbours stay as the preset has them."""

from collections.abc import Mapping
from typing import Any

from refseg.config import Config
from refseg.networks import configured, preset


def merge_config(name: str, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of a network with changes merged into them at every depth.

    A part that a mapping names without another `kind` keeps its other fields: those of `config`, or of the preset. With
    another `kind` it has the defaults of that kind, and so has a part that was off.

    Args:
        name: of a network or preset.
        config: settings that differ from it.
        changes: settings to change, by name; mappings for fields of parts.

    Raises:
        InvalidInput: for an unknown name, or if the result is not valid.
    """
    base = configured(name, config) if config else preset(name)
    changed = {**config, **{field: _merged(getattr(base, field, None), value) for field, value in changes.items()}}
    configured(name, changed)
    return changed


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
