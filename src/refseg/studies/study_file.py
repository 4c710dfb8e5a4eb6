"""`study.json`: a study's settings, figures and costs, unrounded, for programs and for the study to go on from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refseg import __version__
from refseg.errors import UnwritableOutput, another_out
from refseg.studies.claims import ClaimTest
from refseg.studies.resolve import STANDARD_NAME, resolve_recipe
from refseg.studies.results import Costs, Results
from refseg.studies.study_text import format_title
from refseg.studies.tables import describe_conditions

STUDY_FILE = "study.json"


def to_dict(results: Results, claims: Sequence[ClaimTest]) -> dict[str, Any]:
    """Returns all of it, unrounded, ready for JSON; figures of the paper are in its own units."""
    study = results.study
    rows = []
    for number, row in enumerate(study.rows, start=1):
        measured = results.rows[number]
        recipes = {}
        if measured.values:
            for data, _ in (("", ""),) if results.small else study.recipe_names(row):
                recipe = resolve_recipe(study, row, data, results.small, results.settings)
                if recipe is not None:
                    recipes[data or recipe.name] = recipe.model_dump(mode="json")
        rows.append(
            {
                "number": number,
                "label": row.label,
                "settings": list(row.settings),
                "paper": dict(zip((column.title for column in study.columns), row.figures, strict=True)),
                "values": measured.values,
                "oIoU_by_type": measured.by_type,
                "recipes": recipes,
            }
        )
    others = [
        {
            "label": row.label,
            "metric": row.metric,
            "paper": dict(zip((c.title for c in study.columns), row.figures, strict=True)),
        }
        for row in study.figures_only
    ]
    return {
        "refseg": __version__,
        "units": {"paper": "as printed, mostly percent", "values, oIoU_by_type, ours, spread, interval": "from 0 to 1"},
        "study": study.name,
        "title": format_title(study),
        "small": results.small,
        "settings": list(results.settings),
        "seeds": results.seeds,
        "conditions": describe_conditions(results),
        "protocol": STANDARD_NAME if results.small else study.protocol,
        "rows": rows,
        "others": others,
        "claims": [{**asdict(one), "same_sign": one.same_sign} for one in claims],
        "costs": {str(n): asdict(row.costs) for n, row in results.rows.items() if row.costs is not None},
        "notes": list(study.notes),
    }


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
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}") from error
    return noted


def check_settings(folder: Path, noted: Mapping[str, Any], small: bool, settings: Sequence[str]) -> None:
    """Checks that the study in a folder was run with these settings.

    Raises:
        UnwritableOutput: if it was run with others.
    """
    if noted["small"] != small:
        now, then = (("in small" if one else "at full size") for one in (small, noted["small"]))
        raise UnwritableOutput(f"{folder} holds this study {then}, and now it is to run {now}; choose {another_out()}")
    before, given = noted["settings"], list(settings)
    if before != given:
        lost, new = (" ".join(each for each in a if each not in b) for a, b in ((before, given), (given, before)))
        told = " and ".join(filter(None, (lost and f"without {lost}", new and f"with {new}"))) or "in another order"
        raise UnwritableOutput(
            f"{folder} holds this study with other settings: now {told}, which would not be alike; give them as "
            f"before, or choose {another_out()}"
        )


def read_costs(folder: Path, noted: Mapping[str, Any]) -> dict[int, Costs]:
    """Returns the costs of rows among what the study in a folder has noted.

    Raises:
        UnwritableOutput: if they are damaged.
    """
    try:
        return {int(number): _read_cost(cost) for number, cost in noted.get("costs", {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}") from error


def _read_cost(noted: Mapping[str, Any]) -> Costs:
    plain = dict(noted)
    keys = plain.pop("keys", None) or filter(None, [plain.pop("key", "")])  # one key, of an earlier version
    return Costs(**plain, keys=tuple(keys))
