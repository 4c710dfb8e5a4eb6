"""Study: a table of a paper as rows that are trained and scored alike, beside the figures that the paper prints.

Figures of papers are as printed: in percent, and None where the paper prints "-".
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from refseg.config import Config
from refseg.counting import counted

DATA_PLACEHOLDER = "DATA"
"""In the name of a recipe, the place of a data set's name, see `Column.data`."""


class Column(Config):
    """A column of a table.

    Attributes:
        title: its name in the paper; the metric's, or that of what is counted, if it is not given.
        metric: its name in our reports; "" for the row's own.
        split: which the paper scores on.
        data: takes the place of `DATA` in the name of a row's recipe.
        dataset: scored on, if another than the recipe's.
        protocol: if another than the study's.
        cost: instead of a metric, what is counted, "params" in millions or "flops" in 10^9, as thop counts them; or
            measured on this machine, "fps" (images a second) or "hours" (of training).
        part: component that is counted (`Network.components`); "" for all of the network without the word encoder.
    """

    title: str = ""
    metric: str = ""
    split: str = "val"
    data: str = ""
    dataset: str = ""
    protocol: str = ""
    cost: str = ""
    part: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_called_as_its_metric(cls, value: Any) -> Any:
        plain = {"metric": value} if isinstance(value, str) else value
        if not isinstance(plain, dict):
            return plain
        named = plain.get("metric") or " ".join(filter(None, (plain.get("part"), plain.get("cost"))))
        return {"title": named, **plain}

    @property
    def is_timed(self) -> bool:
        """Whether the machine is measured."""
        return self.cost in ("fps", "hours")

    @property
    def place(self) -> str:
        """Data and split that are scored on, "refcoco val"."""
        return _name_place(self.data, self.dataset, self.split)


def _name_place(*parts: Any) -> str:
    return " ".join(str(part) for part in parts if part)


def _name_with_place(column: dict[str, Any]) -> str:
    return _name_place(*(column.get(name) for name in ("data", "dataset", "split", "metric")))


def _is_unnamed(column: Any) -> bool:
    return isinstance(column, dict) and "metric" in column and "title" not in column


def metric_columns(*names: str) -> tuple[Column, ...]:
    """Returns columns that are called as their metrics.

    >>> [column.metric for column in metric_columns("oIoU", "mIoU")]
    ['oIoU', 'mIoU']
    """
    return tuple(Column(title=name, metric=name) for name in names)


class Row(Config):
    """A row of a table.

    Attributes:
        label: its name in the paper.
        settings: "a.b=value", merged onto the study's recipe.
        small_settings: further ones in small.
        recipe: what it starts from, if another than the study's.
        small: the same in small.
        metric: of the columns that name none.
        figures: of the paper, a column each; none in a table of one's own.
        size: million parameters and 10^9 multiply-adds of its network at full size, without the word encoder, as we
            count them.
        parts: components of its network that costs are summed over; all of it if empty.
        words: what the paper's costs hold of the word encoder: nothing if "", its "layers" as thop counts them, or
            "all" of it, and then of the network all as well, attention products included.
        tested: numbers of two rows of another study, whether the second is better than the first, see `Study.tests`.
    """

    label: str
    settings: tuple[str, ...] = ()
    small_settings: tuple[str, ...] = ()
    recipe: str = ""
    small: str = ""
    metric: str = ""
    figures: tuple[float | None, ...] = ()
    size: tuple[float, float] | None = None
    parts: tuple[str, ...] = ()
    words: Literal["", "layers", "all"] = ""
    tested: tuple[int, int] | None = None


class Claim(Config):
    """A claim of the paper: one row is better than others.

    Attributes:
        above: number of the row, from 1.
        below: numbers of the rows that it is better than.
        about: the difference between them.
        metric: by which; "" for the table's leading one, see `Study.leading_metric`.
        data: on which data set alone, as the columns name it; "" for all. In small, where there is one data set, claims
            about the first that the columns name are tested alone.
        split: on which split alone; "" for all. In small, where there is one, such claims are not tested.
    """

    above: int
    below: tuple[int, ...] = Field(min_length=1)
    about: str = ""
    metric: str = ""
    data: str = ""
    split: str = ""

    @property
    def place(self) -> str:
        """Data and split that it is about alone; "" for all."""
        return _name_place(self.data, self.split)

    @field_validator("below", mode="before")
    @classmethod
    def _may_be_one(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("give the number of a row, or a list of numbers")
        return (value,) if isinstance(value, int) else value


class Study(Config):
    """A table of a paper.

    Attributes:
        name: paper and table, "cmirnet_table3".
        network: whose paper it is, by its name in `networks.papers`; others have no figures of a paper.
        table: its number and subject.
        recipe: what each row starts from, see `Column.data`.
        small: the recipe that stands in for it on drawn scenes or clips; "" if there is none.
        common: settings of all rows at full size.
        protocol: how rows are scored; "+crf" at its end for masks that DenseCRF refines.
        columns: of the paper's table.
        rows: which are trained.
        figures_only: rows of others, which are printed and never trained.
        claims: which rows the paper calls better.
        notes: what one should know.
        over: name of the number that the rows differ in, for a line plot; "" for bars.
        tests: name of a study; the rows are tests of its rows against each other.
        scored_only: whether all rows have the same weights and differ in how they answer.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    network: str = ""
    table: str
    recipe: str = ""
    small: str = ""
    common: tuple[str, ...] = ()
    protocol: str = "standard"
    columns: tuple[Column, ...] = Field(metric_columns("oIoU", "mIoU"), min_length=1, max_length=100)
    rows: tuple[Row, ...] = Field(min_length=1, max_length=200)
    figures_only: tuple[Row, ...] = ()
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    over: str = ""
    tests: str = ""
    scored_only: bool = False

    @field_validator("columns", mode="before")
    @classmethod
    def _are_named(cls, columns: Any) -> Any:
        """Names columns of one metric that have no title by what they are scored on."""
        if not isinstance(columns, list | tuple):
            return columns
        metrics = [column["metric"] for column in columns if _is_unnamed(column)]
        return [
            {"title": _name_with_place({"split": "val"} | column), **column}
            if _is_unnamed(column) and metrics.count(column["metric"]) > 1
            else column
            for column in columns
        ]

    @field_validator("columns")
    @classmethod
    def _are_told_apart(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        titles = [column.title for column in columns]
        if twice := next((title for title in titles if titles.count(title) > 1), ""):
            raise ValueError(f"two columns are named {twice!r}; give one of them another title")
        return columns

    @field_validator("rows")
    @classmethod
    def _has_a_figure_for_each_column(cls, rows: tuple[Row, ...], info: ValidationInfo) -> tuple[Row, ...]:
        none = (None,) * len(info.data.get("columns", ()))
        return tuple(row if row.figures else row.replace(figures=none) for row in rows)

    @model_validator(mode="after")
    def _figures_fit_columns(self) -> "Study":
        for row in (*self.rows, *self.figures_only):
            if len(row.figures) != len(self.columns):
                figures = counted(len(row.figures), "figure")
                raise ValueError(f"{row.label}: {figures} in {counted(len(self.columns), 'column')}")
        labels = [row.label for row in self.rows]
        if twice := next((label for label in labels if labels.count(label) > 1), ""):
            raise ValueError(f"two rows are labelled {twice!r}")
        for claim in self.claims:
            if claim.above in claim.below:
                raise ValueError(f"a claim has row {claim.above} above itself")
            splits = tuple(dict.fromkeys(column.split for column in self.columns if not column.cost))
            if claim.split and claim.split not in splits:
                raise ValueError(f"a claim names split {claim.split!r}; the columns name {', '.join(splits)}")
        for named in (row for claim in self.claims for row in (claim.above, *claim.below)):
            if not 1 <= named <= len(self.rows):
                raise ValueError(f"a claim names row {named}; rows are 1 to {len(self.rows)}")
        templates = {row.recipe or self.recipe for row in self.rows} - {""}
        if any(self.data_sets()) and (fixed := sorted(one for one in templates if DATA_PLACEHOLDER not in one)):
            raise ValueError(f"columns name data, which take the place of {DATA_PLACEHOLDER}, but not in {fixed[0]!r}")
        for claim in self.claims:
            if claim.data and claim.data not in self.data_sets():
                data = ", ".join(filter(None, self.data_sets())) or "none"
                raise ValueError(f"a claim names data {claim.data!r}; the columns name {data}")
        return self

    @property
    def has_figures(self) -> bool:
        """Whether a paper prints figures of it."""
        return any(figure is not None for row in (*self.rows, *self.figures_only) for figure in row.figures)

    @property
    def is_trained(self) -> bool:
        """Whether figures are measured, and not costs counted or figures tested."""
        return not self.tests and any(not column.cost for column in self.columns)

    @property
    def is_timed(self) -> bool:
        """Whether the machine is measured for some column."""
        return any(column.is_timed for column in self.columns)

    @property
    def has_small(self) -> bool:
        """Whether some row has a recipe on drawn scenes or clips."""
        return bool(self.small or self.tests) or any(row.small for row in self.rows)

    def find_metric(self, row: Row, column: Column) -> str:
        """Returns the metric of a cell; "" for costs and tests."""
        return column.metric or row.metric

    def count_decimals(self, column: int) -> int:
        """Returns with how many digits after the point the paper prints a column, at least one."""
        figures = [row.figures[column] for row in (*self.rows, *self.figures_only)]
        digits = [len(f"{figure:.6f}".rstrip("0").partition(".")[2]) for figure in figures if figure is not None]
        return max(digits, default=1) or 1

    def leading_metric(self) -> str:
        """Returns the metric that claims are about where they do not say."""
        names = [self.find_metric(row, column) for row in self.rows for column in self.columns]
        return next((name for name in ("oIoU", "mIoU") if name in names), next(filter(None, names), "mIoU"))

    def list_claims(self, small: bool) -> list[Claim]:
        """Returns the claims that are tested, see `Claim.data`."""
        if not small:
            return list(self.claims)
        return [claim for claim in self.claims if not claim.split and claim.data in ("", *self.data_sets()[:1])]

    def data_sets(self) -> tuple[str, ...]:
        """Returns the names that take the place of `DATA`."""
        return tuple(dict.fromkeys(column.data for column in self.columns if not column.cost))

    def recipe_names(self, row: Row) -> Iterator[tuple[str, str]]:
        """Yields (data, name of the recipe at full size) of a row."""
        template = row.recipe or self.recipe
        for data in self.data_sets() if DATA_PLACEHOLDER in template else ("",):
            yield data, template.replace(DATA_PLACEHOLDER, data)

    def count_trainings(self, small: bool = False) -> int:
        """Returns how many trainings a seed has at most: by what rows set, which may come to the same recipe."""
        if not self.is_trained:
            return 0
        trainings = set()
        for row in self.rows:
            own = () if self.scored_only else row.settings
            names = [row.small or self.small] if small else [name for _, name in self.recipe_names(row)]
            trainings |= {(name, own, row.small_settings if small else ()) for name in names if name}
        return len(trainings)
