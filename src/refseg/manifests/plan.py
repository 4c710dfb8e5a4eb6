"""The plan of a run: manifest.json, which says what is asked and how, and pieces.json, where its pieces begin.

The first worker writes them, all others read them: pieces depend on the manifest and their size alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refseg.counting import another
from refseg.errors import InvalidInput, MissingFile, another_out, first_line, for_caller, shown
from refseg.manifests.manifest import Manifest, Pieces
from refseg.manifests.store import Store

PLAN, POSITIONS = "manifest.json", "pieces.json"
FORMAT = 1  # raised when older folders can no longer be continued


@dataclass(frozen=True)
class Plan:
    """Plan of a folder of answers: its pieces, and the settings that all of them share.

    Attributes:
        pieces: of the manifest.
        piece_size: rows of a piece; of tar files, which are a piece each, of no effect.
        settings: what all answers have in common.
        manifest: the manifest, as the first worker named it.
    """

    pieces: Pieces
    piece_size: int
    settings: Mapping[str, Any]
    manifest: str

    @property
    def ending(self) -> str:
        """Ending of the part files."""
        return ".parquet" if self.settings.get("parquet") else ".jsonl"

    def part(self, piece: int) -> str:
        """Returns the name of a part file."""
        return f"{self.stem(piece)}{self.ending}"

    def stem(self, piece: int) -> str:
        """Returns the name of the folder of a piece's masks and overlays."""
        return f"part-{piece:0{max(5, len(str(self.pieces.count - 1)))}d}"

    def done(self, store: Store) -> set[int]:
        """Returns the pieces whose part file is there; the folder is listed once, and no part opened."""
        found = set()
        for name in store.names():
            number = name[len("part-") : -len(self.ending)]
            if name.startswith("part-") and name.endswith(self.ending) and number.isdecimal():
                found.add(int(number))
        return {piece for piece in found if piece < self.pieces.count}

    def rows_of(self, piece: int) -> int | None:
        """Returns the number of rows of a piece; None if it is not known before it is read."""
        rows = self.pieces.rows
        return None if rows is None else min(self.piece_size, rows - piece * self.piece_size)


def read_plan(store: Store) -> Plan | None:
    """Reads the plan of a folder; None if there is none.

    Raises:
        InvalidInput: if it is damaged.
    """
    content, positions = store.read(PLAN), store.read(POSITIONS)
    if content is None:
        return None
    try:
        fields = json.loads(content)
        if fields["format"] != FORMAT:
            raise ValueError(f"format {shown(fields['format'], 20)}")
        told = {} if positions is None else json.loads(positions)
        places = [int(place) for place in told.get("positions", [])]
        if fields["positions"] != len(places) or places and told["digest"] != fields["digest"]:
            raise ValueError(f"{POSITIONS} is missing or of another run")
        rows = None if fields["rows"] is None else int(fields["rows"])
        pieces = Pieces(str(fields["digest"]), int(fields["pieces"]), rows, places)
        return Plan(pieces, int(fields["piece_size"]), dict(fields["settings"]), str(fields["manifest"]))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InvalidInput(
            f"{store.place_of(PLAN)} is damaged ({first_line(error)}); remove {store.place} to start again, or give "
            f"{another_out()}"
        ) from error


def need_plan(store: Store) -> Plan:
    """Reads the plan of a folder; raises MissingFile if there is none."""
    plan = read_plan(store)
    if plan is None:
        raise MissingFile(
            f"{store.place} holds no answers to a manifest ({PLAN} is missing); give the folder of such a run with "
            f"{for_caller('--out', 'out=')}"
        )
    return plan


def make_plan(manifest: Manifest, store: Store, piece_size: int, settings: Mapping[str, Any]) -> Plan:
    """Returns the plan of a folder, which is written if there is none yet.

    Raises:
        InvalidInput: if the folder holds answers to another manifest, or with other settings.
    """
    settings = json.loads(json.dumps(settings))
    if before := read_plan(store):
        check_settings(before, manifest, store, piece_size, settings)
        return before
    changed = manifest.changed()
    pieces = manifest.cut(piece_size)
    fields = {
        "format": FORMAT,
        "manifest": manifest.place,
        "digest": pieces.digest,
        "changed": changed,
        "rows": pieces.rows,
        "pieces": pieces.count,
        "piece_size": piece_size,
        "positions": len(pieces.positions),
        "settings": settings,
    }
    if pieces.positions:
        with store.writing(POSITIONS, first=True) as file:
            told = {"digest": pieces.digest, "positions": pieces.positions}
            file.write_text(json.dumps(told) + "\n", encoding="utf-8")
    with store.writing(PLAN, first=True) as file:
        file.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    plan = need_plan(store)  # another worker may have been the first
    check_settings(plan, manifest, store, piece_size, settings)
    return plan


def check_settings(plan: Plan, manifest: Manifest, store: Store, piece_size: int, settings: Mapping[str, Any]) -> None:
    """Raises InvalidInput unless a plan is of this manifest with these settings; other settings may be anything."""
    now = {"piece_size": piece_size, **settings}
    before = {"piece_size": plan.piece_size, **plan.settings}
    other = next((name for name in now if before.get(name) != now[name]), None)
    again = for_caller("command", "call")
    if other is not None:
        raise InvalidInput(
            f"{store.place} holds answers with {another(other)} ({shown(before.get(other), 40)}, now "
            f"{shown(now.get(other), 40)}); repeat that {again} to go on with it, or give {another_out()}"
        )
    stated = json.loads(store.read(PLAN) or b"{}").get("changed")
    if stated == json.loads(json.dumps(manifest.changed())):
        return
    if manifest.cut(piece_size).digest != plan.pieces.digest:
        raise InvalidInput(
            f"{store.place} holds answers to {plan.manifest}, from which {manifest.place} differs, or which has "
            f"changed; give {another_out()} for it, or put the earlier one back"
        )
