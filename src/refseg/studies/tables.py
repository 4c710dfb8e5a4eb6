"""Tables of a study: the paper's beside ours, its claims, and costs; cells are text.

Figures of the paper are always in lines or tables that say so, and a cell that was not run is empty.
"""

from collections.abc import Iterator, Sequence
from statistics import mean

from refseg.counting import counted
from refseg.datasets import class_of
from refseg.studies.claims import ClaimTest, signed_rank, signed_rank_of_ours
from refseg.studies.resolve import SMALL_COUNT, STANDARD_NAME, describe_data, resolve_recipe
from refseg.studies.results import Costs, Results, RowFigures, format_cell
from refseg.studies.study import Column, Row, Study
from refseg.studies.study_text import TextTable, format_title, paper_cells, paper_table

OURS, PAPER, DIFFERENCE = "ours", "paper", "ours - paper"
SMALL_CAUTION = "On drawn scenes at a small budget, which says nothing of photographs."
PAPER_CAUTION = (
    "Tests the paper's claims on drawn scenes at a small budget. The paper's figures are of photographs (or videos): "
    "the sign of a difference may be compared, its size may not."
)


def describe_conditions(results: Results) -> str:
    """Returns data, splits, recipe, protocol, seeds and settings of our figures; of tests those of the tested rows."""
    results = results.tested or results
    study = results.study
    counts = {len(values) for row in results.rows.values() for values in row.values.values()} or {results.seeds}
    seeds = counted(max(counts), "seed") if len(counts) == 1 else f"{min(counts)} to {counted(max(counts), 'seed')}"
    spread = ", mean and standard deviation" if max(counts) > 1 else ""
    common = [*(() if results.small else study.common), *results.settings]
    settings = f"; all rows {' '.join(common)}" if common else ""
    if results.small:
        data = f"drawn {_name_small_items(study)}, split test ({SMALL_COUNT} of them)"
    else:
        names = {row.recipe or study.recipe for row in study.rows}
        recipe = names.pop() if len(names) == 1 else "of each row"
        data = ", ".join(filter(None, (describe_data(study, results.settings), f"recipe {recipe}")))
    protocol = STANDARD_NAME if results.small else study.protocol
    return f"{data}, protocol {protocol}, {seeds}{spread}; percent{settings}"


def _name_small_items(study: Study) -> str:
    """Returns what a study is run on in small."""
    recipes = filter(None, (resolve_recipe(study, row, small=True) for row in study.rows))
    return "clips" if any(class_of(recipe.data.dataset).of_clips for recipe in recipes) else "scenes"


def main_tables(results: Results) -> Iterator[TextTable]:
    """Yields our table with the paper's figures beside ours, or below where they are of other data."""
    study = results.study
    if results.small:
        head = ["row", *(column.title for column in results.columns)]
        lines = [
            [row.label, *(format_cell(results.rows[number].values.get(column.title, [])) for column in results.columns)]
            for number, row in enumerate(study.rows, start=1)
        ]
        yield TextTable(f"{format_title(study)}: ours, on drawn data", head, lines)
        types = dict.fromkeys(kind for measured in results.rows.values() for kind in measured.by_type)
        if types:
            by_type = [
                [row.label, *(format_cell(results.rows[number].by_type.get(kind, [])) for kind in types)]
                for number, row in enumerate(study.rows, start=1)
            ]
            yield TextTable("oIoU by type of expression", ["row", *types], by_type)
        if study.has_figures:
            yield paper_table(study)
        return
    yield _beside_table(results)
    if study.figures_only:
        yield paper_table(study, rows=False)


def _beside_table(results: Results) -> TextTable:
    study = results.study
    lines: list[list[str]] = []
    paper = set()
    for number, row in enumerate(study.rows, start=1):
        ours = [format_our_cell(row, results.rows[number], column) for column in study.columns]
        lines.append([row.label, OURS, *(text for text, _ in ours)])
        if study.has_figures:
            paper.add(len(lines))
            lines.append(["", PAPER, *paper_cells(study, row)])
        cells = []
        for column, (_, value), theirs in zip(study.columns, ours, row.figures, strict=True):
            if value is None or theirs is None or column.is_timed:  # the paper's machine is another
                cells.append("")
            else:
                cells.append(f"{value - theirs:+.2f}".replace("-0.00", "+0.00"))
        if any(cells):
            lines.append(["", DIFFERENCE, *cells])
    return TextTable(
        format_title(study), ["row", "", *(column.title for column in study.columns)], lines, frozenset(paper)
    )


def format_our_cell(row: Row, measured: RowFigures, column: Column) -> tuple[str, float | None]:
    """Returns our figure of a column, as text and in the paper's unit; ("", None) if it was not run."""
    if column.cost:
        value = None if measured.costs is None else compute_cost(row, measured.costs, column)
        return "" if value is None else f"{value:.2f}", value
    values = measured.values.get(column.title, [])
    return format_cell(values), 100 * mean(values) if values else None


def compute_cost(row: Row, costs: Costs, column: Column) -> float | None:
    """Returns what a row costs, in the unit of a column and counted as the paper counts the row; None if unknown."""
    if column.cost == "fps":
        return costs.fps
    if column.cost == "hours":
        return costs.estimated_hours if costs.seconds is None else costs.seconds / 3600
    name, unit = {"params": ("parameters", 1e6), "flops": ("multiply_adds", 1e9)}[column.cost]
    if row.words:
        found = add_word_costs(costs, row.words)
        return None if found is None else found[name] / unit
    parts = row.parts or (column.part or "total",)
    if not all(part in costs.parts for part in parts):
        return None
    return sum(costs.parts[part][name] for part in parts) / unit


def add_word_costs(costs: Costs, words: str) -> dict[str, int] | None:
    """Returns parameters and multiply-adds with the word encoder's, see `Row.words`; None if those were not counted."""
    if words not in costs.words:
        return None
    own = {"parameters": costs.parameters, "multiply_adds": costs.multiply_adds}
    return {
        name: count + costs.words[words][name] for name, count in (own, costs.parts["total"])[words == "layers"].items()
    }


def conventions_table(results: Results) -> TextTable:
    """Returns the costs with the word encoder by both conventions, of which the paper has one in each row."""
    lines = []
    names = {"all": "everything", "layers": "as thop"}
    for number, row in enumerate(results.study.rows, start=1):
        costs = results.rows[number].costs
        cells = []
        for words in names:
            found = costs and add_word_costs(costs, words)
            cells += [f"{found['parameters'] / 1e6:.2f}", f"{found['multiply_adds'] / 1e9:.2f}"] if found else ["", ""]
        lines.append([row.label, names[row.words], *cells])
    head = ["row", "the paper", *(f"{name}, {unit}" for name in names.values() for unit in ("params M", "mult-adds G"))]
    return TextTable("Costs with the word encoder, by both conventions", head, lines)


def tests_table(study: Study, tested: Results, claims: Sequence[ClaimTest]) -> TextTable:
    """Returns the tests of a table's rows against each other: printed, computed from printed figures, and from ours.

    Beside them is the difference of our answers, whose spread over seeds tells whether a gain would come again.

    Args:
        study: of tests.
        tested: its rows.
        claims: of `judge_claims`, one for each row.
    """
    base = tested.study
    lines = []
    for row, one in zip(study.rows, claims, strict=True):
        assert row.tested is not None
        below, above = row.tested
        ours = signed_rank_of_ours(tested, above, below)
        lines.append(
            [
                row.label,
                paper_cells(study, row)[0],
                f"{signed_rank(base, above, below):.6f}",
                "" if ours is None else f"{ours.p_value:.6f} (of {ours.pairs} pairs)",
                *_own_difference(one),
            ]
        )
    head = ["p-value, signed rank, two-sided, exact", "paper", "from the paper's figures", "from our figures"]
    head += [f"our difference, {base.leading_metric()}", "95 % interval", "seeds above 0", "p by image, mIoU"]
    return TextTable(format_title(study), head, lines)


def _own_difference(one: ClaimTest) -> list[str]:
    """Returns our difference with the spread over seeds, its interval, of how many it is above 0, and p by image."""
    spread = "" if one.spread is None else f" ± {100 * one.spread:.2f}"
    return [
        "" if one.ours is None else f"{100 * one.ours:+.2f}{spread}",
        "" if one.interval is None else f"{100 * one.interval[0]:+.2f} to {100 * one.interval[1]:+.2f}",
        _count(one.seeds),
        "" if one.p_value is None else f"{one.p_value:.2g}",
    ]


def claims_table(claims: Sequence[ClaimTest], study: Study) -> TextTable:
    """Returns the claims, a comparison of two rows a line."""
    lines = []
    for one in claims:
        ours, interval, seeds, p_value = _own_difference(one)
        lines.append(
            {
                "claim": f"{_shorten(study.rows[one.above - 1])} > {_shorten(study.rows[one.below - 1])}",
                "here": f"{one.verdict}, 1 seed" if one.seeds[1] == 1 else one.verdict,
                "about": ", on ".join(filter(None, (one.about, one.place))),
                "metric": one.metric,
                "ours": ours,
                "95 % interval": interval,
                "seeds above 0": seeds,
                "splits above 0": _count(one.splits),
                "p, mIoU": p_value,
                "paper": "" if one.paper is None else f"{one.paper:+.2f}",
                "its columns above 0": _count(one.columns),
                "same sign": "" if one.same_sign is None else "yes" if one.same_sign else "no",
            }
        )
    hidden = set() if study.has_figures else {"paper", "its columns above 0", "same sign"}
    if all(one.splits[1] < 2 for one in claims):
        hidden.add("splits above 0")
    if all(one.columns[1] < 2 for one in claims):
        hidden.add("its columns above 0")
    head = [name for name in lines[0] if name not in hidden]
    whose = "the paper claims" if study.has_figures else "is claimed"
    return TextTable(f"What {whose} with it", head, [[line[name] for name in head] for line in lines])


def _count(above_0: tuple[int, int]) -> str:
    return f"{above_0[0]} of {above_0[1]}" if above_0[1] else ""


def _shorten(row: Row) -> str:
    return row.label if len(row.label) <= 28 else f"{row.label[:26]}..."


def count_verdicts(claims: Sequence[ClaimTest]) -> str:
    """Returns how many comparisons hold here, do not, and are undecided."""
    names = ("holds", "does not hold", "undecided", "not run")
    counts = {name: sum(one.verdict == name for one in claims) for name in names}
    return "; ".join(f"{name}: {count}" for name, count in counts.items() if count)


def costs_table(results: Results) -> TextTable:
    """Returns parameters, multiply-adds, pairs seen and wall time of each row."""
    lines = []
    for number, row in enumerate(results.study.rows, start=1):
        costs = results.rows[number].costs
        if costs is None:
            lines.append([row.label, "", "", "", ""])
            continue
        lines.append(
            [
                row.label,
                f"{costs.parameters / 1e6:.2f}",
                f"{costs.multiply_adds / 1e9:.1f}"
                if costs.multiply_adds >= 1e9
                else f"{costs.multiply_adds / 1e9:.3f}",
                "" if costs.pairs is None else f"{costs.pairs:,}",
                "" if costs.seconds is None else f"{costs.seconds / 60:.1f}",
            ]
        )
    return TextTable("Costs", ["row", "params M", "mult-adds G", "pairs seen", "minutes a training"], lines)
