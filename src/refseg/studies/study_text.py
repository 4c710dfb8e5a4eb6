"""A study as the paper has it, as tables of text: nothing here needs torch or figures of ours."""

from dataclasses import dataclass

from refseg.networks.papers import PAPERS
from refseg.studies.study import Row, Study

TEXT_COLUMNS = "", "row", "settings", "claim", "about", "metric", "here"
"""Names of columns of text, whose cells begin at the left."""


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: its heading.
        head: names of the columns.
        lines: cells.
        paper: numbers of the lines with the paper's figures, which are printed in grey.
    """

    title: str
    head: list[str]
    lines: list[list[str]]
    paper: frozenset[int] = frozenset()


def paper_cells(study: Study, row: Row) -> list[str]:
    """Returns the figures of a row with the digits that the paper prints; "-" where it prints none."""
    return [
        "-" if figure is None else f"{figure:.{study.count_decimals(column)}f}"
        for column, figure in enumerate(row.figures)
    ]


def format_title(study: Study) -> str:
    """Returns paper and table, or our network and table."""
    if not study.network:
        return study.table
    if study.network not in PAPERS:
        return f"{study.network.replace('_', ' ').capitalize()}, {study.table}"
    own, name = PAPERS[study.network].title.partition(":")[0], study.network.upper()
    return f"{own if own.upper() == name else name}, {study.table}"


def paper_table(study: Study, rows: bool = True) -> TextTable:
    """Returns the table as the paper prints it.

    Args:
        study: the table.
        rows: Whether with the rows that are trained, or those of others alone.
    """
    shown = [*study.rows, *study.figures_only] if rows else list(study.figures_only)
    lines = [[_label_with_metric(row), *paper_cells(study, row)] for row in shown]
    head = ["row", *(column.title for column in study.columns)]
    return TextTable("The paper's figures", head, lines, frozenset(range(len(lines))))


def _label_with_metric(row: Row) -> str:
    """Returns the label of a row, after its metric where columns name none."""
    return row.label if row.label.startswith(row.metric) else f"{row.metric} {row.label}"


def format_claims(study: Study, small: bool) -> str:
    """Returns the claims that are tested in a line, "1 > 2, 3 by oIoU"; "" if there are none."""
    claims = [
        f"{claim.above} > {', '.join(map(str, claim.below))} by {claim.metric or study.leading_metric()}"
        f"{f' on {claim.place}' if claim.place and not small else ''}"
        for claim in study.list_claims(small)
    ]
    return "; ".join(claims)


def settings_table(study: Study, small: bool = False) -> TextTable:
    """Returns what each row is: its number, its label, what is trained, and what it costs at full size.

    Args:
        study: the table.
        small: whether on drawn scenes or clips, whose costs are other ones.
    """
    lines = []
    for number, row in enumerate(study.rows, start=1):
        recipe, settings = row.small if small else row.recipe, row.settings + (row.small_settings if small else ())
        what = [recipe] if recipe else []
        what += settings or ([] if recipe else ["as it is"])
        if small and not (row.small or study.small):
            what = ["not run in small"]
        if row.tested:
            what = [f"rows {row.tested[0]} and {row.tested[1]}"]
        lines.append(
            [
                str(number),
                row.label,
                " ".join(what),
                *([f"{row.size[0]:.2f}", f"{row.size[1]:.1f}"] if row.size and not small else []),
            ]
        )
    sized = not small and any(row.size for row in study.rows)
    lines = [line + [""] * (5 - len(line)) * sized for line in lines]
    return TextTable("Rows", ["", "row", "settings", *(["params M", "mult-adds G"] if sized else [])], lines)
