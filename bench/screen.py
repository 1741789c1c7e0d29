"""What a case prints: tables whose first column is a name, and all others figures."""

from collections.abc import Collection, Sequence
from typing import Any

from rich.table import Table

from eric_fast.show.console import stdout


def make_table(title: str, first: str, others: Sequence[str]) -> Table:
    """A table without rows; all columns but the first are aligned right."""
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def print_dicts(title: str, rows: Sequence[dict[str, Any]], *, names: Collection[str], decimals: int = 3) -> None:
    """Rows as they are, a column for each key of any of them; those of `names` are aligned left."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title, title_justify="left")
    for key in keys:
        table.add_column(key.replace("_", " "), justify="left" if key in names else "right")
    for row in rows:
        cells = (row.get(key, "") for key in keys)
        table.add_row(*(f"{cell:,.{decimals}f}" if isinstance(cell, float) else str(cell) for cell in cells))
    stdout.print(table)


def format_seconds(seconds: float) -> str:
    """Three figures: 41.3 ms, 2.10 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            value = seconds / size
            return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"
    return f"{seconds * 1e6:.0f} µs"
