"""`Tabular`: results that become data frames, CSV, LaTeX and Markdown."""

import csv
import io
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eric_fast.errors import SettingError, require_package, suggest_nearest
from eric_fast.visible import make_cell, make_visible

if TYPE_CHECKING:
    import pandas

Columns = Mapping[str, Sequence[Any]]  # name -> a value for each row
TABLE_FORMATS = ("csv", "latex", "markdown")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


class Tabular:
    """A result that has tables; where there are several, the first is meant unless another is named."""

    @abstractmethod
    def list_tables(self) -> Mapping[str, Columns]:
        """Name -> its columns."""

    def to_dataframe(self, table: str | None = None) -> "pandas.DataFrame":
        """A table as a data frame of pandas.

        Raises:
            SettingError: pandas is not installed, or there is no such table.
        """
        return make_frame(self._find_table(table))

    def to_csv(self, path: str | Path | None = None, table: str | None = None) -> str:
        """A table as CSV, which is also written to `path` if one is given.

        Raises:
            SettingError: there is no such table. OSError: `path` can't be written.
        """
        text = self._format(table, "csv")
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_latex(self, table: str | None = None) -> str:
        """A table as LaTeX's `tabular`, which needs no package; numbers have four decimals.

        Raises:
            SettingError: there is no such table.
        """
        return self._format(table, "latex")

    def to_markdown(self, table: str | None = None) -> str:
        """A table as Markdown; numbers have four decimals.

        Raises:
            SettingError: there is no such table.
        """
        return self._format(table, "markdown")

    def _format(self, table: str | None, kind: str) -> str:
        columns = self._find_table(table)
        return format_rows(list(columns), zip(*columns.values(), strict=True), kind)

    def _find_table(self, name: str | None) -> Columns:
        tables = self.list_tables()
        if name is None:
            return next(iter(tables.values()))
        if name not in tables:
            raise SettingError(f"there is no table '{name}'{suggest_nearest(name, tables)}")
        return tables[name]


def turn_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Rows as columns; every row has the names of the first."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def make_frame(columns: Columns) -> "pandas.DataFrame":
    """A data frame of pandas, whose `to_csv` escapes what a spreadsheet would take for a formula.

    Raises:
        SettingError: pandas is not installed.
    """
    require_package("pandas", "a data frame")
    from eric_fast.results.frame import Frame

    return Frame(dict(columns))


def format_rows(names: Sequence[str], rows: Iterable[Iterable[Any]], kind: str) -> str:
    """A table as text.

    Args:
        names: of the columns.
        rows: their values; None is an empty cell.
        kind: one of `TABLE_FORMATS`.

    Raises:
        SettingError: another format.
    """
    check_format(kind)
    if kind == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(make_cell, names))
        writer.writerows(map(make_cell, row) for row in rows)
        return file.getvalue()
    if not names:
        return ""
    heads, *cells = ([_write_cell(value) for value in row] for row in (names, *rows))
    are_figures = [all(_is_figure(row[i]) for row in cells) for i in range(len(names))]
    if kind == "markdown":
        lines = [[_escape_markdown(cell) for cell in row] for row in [heads, *cells]]
        rule = ["---:" if is_figure else "---" for is_figure in are_figures]
        return "".join(f"| {' | '.join(row)} |\n" for row in [lines[0], rule, *lines[1:]])
    lines = [[_escape_latex(cell) for cell in row] for row in [heads, *cells]]
    head, *body = (" & ".join(row) + " \\\\\n" for row in lines)
    sides = "".join("r" if is_figure else "l" for is_figure in are_figures)
    return "".join([f"\\begin{{tabular}}{{{sides}}}\n\\hline\n", head, "\\hline\n", *body, "\\hline\n\\end{tabular}\n"])


def check_format(kind: str) -> None:
    """Refuse a format that isn't one of `TABLE_FORMATS`.

    Raises:
        SettingError: which there are.
    """
    if kind not in TABLE_FORMATS:
        raise SettingError(f"'{kind}' is not a format of tables{suggest_nearest(kind, TABLE_FORMATS)}")


def _write_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else make_visible(" ".join(str(value).split()))


def _is_figure(cell: str) -> bool:
    """`0.7494`, `1,478`, `37.0 %`, `-`, nothing."""
    return not cell.strip("0123456789.,+-e<>% /")


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\|*_`<[&~$" else character for character in text)


def _escape_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # After a row's end, a bracket would begin a length, and a star would vanish.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped.startswith(("[", "*")) else escaped
