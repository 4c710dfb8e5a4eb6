"""What the study in a folder has noted of itself, in its `study.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refseg.errors import UnwritableOutput, another_out
from refseg.studies.results import Costs
from refseg.studies.write import STUDY_FILE


def read_noted(folder: Path) -> dict[str, Any]:
    """Returns what the study in a folder has noted; {} if there is none.

    Raises:
        UnwritableOutput: if it is damaged.
    """
    try:
        noted: dict[str, Any] = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
        _ = noted["small"], noted["settings"]
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}, or delete it") from error
    return noted


def check_settings(folder: Path, noted: Mapping[str, Any], small: bool, settings: Sequence[str]) -> None:
    """Checks that the study in a folder was run with these settings.

    Raises:
        UnwritableOutput: if it was run with others.
    """
    if (before := (noted["small"], noted["settings"])) != (small, list(settings)):
        told = [
            f"{'in small' if one else 'at full size'}, {' '.join(some) or 'no settings'}"
            for one, some in (before, (small, settings))
        ]
        raise UnwritableOutput(
            f"{folder} holds this study with other settings ({told[0]}; now {told[1]}), which would not be alike; "
            f"choose {another_out()}"
        )


def read_costs(folder: Path, noted: Mapping[str, Any]) -> dict[int, Costs]:
    """Returns the costs of rows among what the study in a folder has noted.

    Raises:
        UnwritableOutput: if they are damaged.
    """
    try:
        return {int(number): Costs(**cost) for number, cost in noted.get("costs", {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}, or delete it") from error
