"""metrics.csv of a stage: a row a step, over all resumes of the run."""

import csv
from collections.abc import Mapping
from pathlib import Path

from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.files.atomic import write_atomically

STEP = "step"
Row = dict[str, float]


class MetricsTable:
    """A table that is written row by row; values of one step share a row.

    Args:
        file: of the table; rows that it has are kept.
        done: the last step whose rows are kept: later ones will be written again.
    """

    def __init__(self, file: Path, done: int = 0):
        self._file = file
        rows = [row for row in read_rows(file) if row[STEP] <= done] if file.exists() else []
        self._columns = list(dict.fromkeys([STEP, *(name for row in rows for name in row)]))
        self._last: Row = {}
        self._start = 0
        self._rewrite(rows[:-1])
        if rows:  # the values of its validation may be missing
            self.write(int(rows[-1][STEP]), rows[-1])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values that belong to a step, not earlier than the one before."""
        if self._last.get(STEP) == step:
            self._out.seek(self._start)  # of the last row
            self._out.truncate()
            self._last |= values
        else:
            self._last = {STEP: step, **values}
        if new := [name for name in self._last if name not in self._columns]:
            rows = read_rows(self._file)
            self._out.close()
            self._columns += new
            self._rewrite(rows)
        self._start = self._out.tell()
        self._writer.writerow(_texts(self._last))
        self._out.flush()

    def close(self) -> None:
        """Closes the file."""
        self._out.close()

    def _rewrite(self, rows: list[Row]) -> None:
        """Writes the whole table, with the columns that it has now, and opens it for more."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with (
            write_atomically(self._file) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(_texts, rows))
        self._out = self._file.open("r+", encoding="utf-8", newline="")
        self._out.seek(0, 2)
        self._writer = csv.DictWriter(self._out, self._columns, lineterminator="\n")


def read_rows(file: Path) -> list[Row]:
    """Returns the rows of a table; what has no value is left out, as is a last row that a kill has cut short.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or no such table in it.
    """
    rows = []
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(line for line in lines if line.endswith("\n")):
                given = {name: float(text) for name, text in row.items() if name and text}
                rows.append({**given, STEP: int(given[STEP])})
    except FileNotFoundError as error:
        raise MissingFile(f"{file} is missing") from error
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        raise InvalidInput(
            f"{file} is no table of metrics ({first_line(error)}); move it away: a new one is written"
        ) from error
    return rows


def _texts(row: Mapping[str, float]) -> dict[str, str]:
    return {name: str(int(value)) if name == STEP else repr(float(value)) for name, value in row.items()}
