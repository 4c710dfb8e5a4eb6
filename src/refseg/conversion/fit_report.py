"""Report: which tensors of a release were taken, dropped, missing or unexpected."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refseg.files.atomic import write_atomically

_SHOWN = 3  # names in a message
MARK = '"preset": '
"""Text by which the file of a report is known."""


@dataclass(frozen=True)
class Report:
    """Use of each tensor of a release.

    Attributes:
        preset: the preset of the release.
        taken: our key -> official keys.
        aliases: official key -> the official key of the same tensor; dropped.
        unused: official keys without effect; dropped.
        missing, unexpected, misshapen: keys that do not fit; the last with both shapes in words.
        others: entries of the file, and arguments, that were not read.
        groups: `aliases` and `unused` as patterns with counts.
    """

    preset: str
    taken: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether each of our tensors has its official ones, and no others are left."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def tensors_taken(self) -> int:
        """Number of official tensors that were taken."""
        return len({name for names in self.taken.values() for name in names})

    def write(self, path: Path) -> None:
        """Writes all names as JSON."""
        content = {
            "preset": self.preset,
            "fits": self.fits,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "misshapen": self.misshapen,
            "entries not read": self.others,
            "unused": self.unused,
            "aliases": self.aliases,
            "taken": self.taken,
        }
        with write_atomically(path) as file:
            file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def misfits(report: Report) -> str:
    """Summarises the tensors that do not fit: counts and first names.

    >>> misfits(Report("dmmi_swin_base", {}, missing=("a", "b", "c", "d"), unexpected=("e",)))
    '4 missing (a, b, c, ...), 1 unexpected (e)'
    """
    kinds = {"missing": report.missing, "unexpected": report.unexpected, "of another shape": report.misshapen}
    return ", ".join(
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds.items()
        if names
    )


def patterns(names: Iterable[str], everything: Collection[str]) -> dict[str, int]:
    """Groups names by pattern, with counts: whole subtrees as "a.b.*", numbers of layers as "*".

    >>> layers = [f"layers.{i}.{leaf}" for i in range(3) for leaf in ("weight", "index")]
    >>> patterns(["copy.weight", "copy.bias", *layers[1::2]], ["copy.weight", "copy.bias", *layers])
    {'copy.*': 2, 'layers.*.index': 3}
    """
    chosen = dict.fromkeys(names)
    within: dict[str, bool] = {}  # subtree -> whether every name below it is chosen
    for name in everything:
        for end in _ends(name):
            within[name[:end]] = within.get(name[:end], True) and name in chosen
    counts: dict[str, int] = {}
    for name in chosen:
        pattern = next((f"{name[:end]}.*" for end in _ends(name) if within.get(name[:end])), None)
        pattern = re.sub(r"(?<=\.)\d+(?=\.|$)", "*", pattern) if pattern else re.sub(r"\d+", "*", name)
        counts[pattern] = counts.get(pattern, 0) + 1
    return counts


def _ends(name: str) -> list[int]:
    """Returns the ends of the proper prefixes of a dotted name, shortest first."""
    return [dot.start() for dot in re.finditer(r"\.", name)]


def sides(shape: Iterable[int]) -> str:
    """Formats a shape.

    >>> sides((64, 3, 7, 7))
    '64x3x7x7'
    """
    return "x".join(map(str, shape)) or "a number"
