"""`Printer`: what a command says, and its tables: for people, or as CSV, LaTeX or Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Column, Table

from eric_fast.results.tabular import Columns, check_format, format_rows
from eric_fast.show.console import stderr, stdout

_GROUPED = re.compile(r"^-?\d{1,3}(,\d{3})+(?=\.|$)")


class Printer:
    """Prints on stdout; with a format, tables alone, and what else there is to say on stderr.

    Args:
        kind: one of `TABLE_FORMATS`, or None for people.

    Raises:
        SettingError: another format.
    """

    def __init__(self, kind: str | None = None) -> None:
        if kind is not None:
            check_format(kind)
        self._kind = kind
        self._n_printed = 0

    @property
    def is_for_people(self) -> bool:
        return self._kind is None

    def say(self, text: str) -> None:
        """Print a text as it is."""
        (stdout if self._kind is None else stderr).print(text, markup=False)

    def show(self, table: Table) -> None:
        """Print a table."""
        if self._kind is None:
            stdout.print(table)
            return
        rows = zip(*map(self._read_cells, table.columns), strict=True)
        self._write(None if table.title is None else _read(table.title), list_headers(table), rows)

    def show_columns(self, columns: Columns) -> None:
        """Print columns; only with a format."""
        self._write(None, list(columns), zip(*columns.values(), strict=True))

    def _read_cells(self, column: Column) -> list[str]:
        """A column's cells; as CSV, figures as programs read them: 1478 for `1,478`, and 0 for a point."""
        cells = list(map(_read, column.cells))
        if self._kind != "csv" or column.justify != "right":
            return cells
        return ["0" if cell == "." else _GROUPED.sub(lambda found: found[0].replace(",", ""), cell) for cell in cells]

    def _write(self, title: str | None, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
        assert self._kind is not None
        signs = {"csv": "# {}\n", "latex": "% {}\n", "markdown": "**{}**\n\n"}[self._kind]
        head = "\n" if self._n_printed else ""
        head += "" if title is None else signs.format(" ".join(title.split()))
        stdout.print(head + format_rows(names, rows, self._kind), markup=False, end="")
        self._n_printed += 1


def list_headers(table: Table) -> list[str]:
    """The names of a table's columns, each in one line and told apart from the others.

    `fidelity false`, `fidelity true`; `accuracy (95 %)`.
    """
    names: list[str] = []
    above = ""
    for column in table.columns:
        first, _, rest = _read(column.header).partition("\n")
        if not first:
            first = above
        elif first.startswith("("):
            first = f"{names[-1]} {first}"
        above = first
        names.append(" ".join(f"{first} {rest}".split()))
    return names


def _read(cell: Any) -> str:
    return getattr(cell, "plain", None) or str(cell)
