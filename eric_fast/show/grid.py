"""What the terminal's tables have in common."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from eric_fast.show.visible_text import Text

NO_FIGURE = "-"
WIDEST = 100  # characters of class names that a confusion matrix in a terminal has room for


def make_table(title: str | None, names: Sequence[str], figures: Sequence[str]) -> Table:
    """Return a table without rows: columns of names, then columns of figures, which are aligned to the right."""
    shown = None if title is None else Text(title, style="table.title")
    table = Table(title=shown, title_justify="left")
    for name in names:
        table.add_column(Text(name))
    for name in figures:
        table.add_column(Text(name), justify="right")
    return table


def tabulate_counts(title: str, corner: str, columns: Sequence[str], rows: Iterable[tuple[str, list[int]]]) -> Table:
    """Return a matrix of counts, a row for each name, with a point for 0; `corner` heads the column of names."""
    table = make_table(title, [corner], columns)
    for name, counts in rows:
        table.add_row(Text(name), *(str(count) if count else "." for count in counts))
    return table


def fits_terminal(names: Iterable[str]) -> bool:
    """Return whether a matrix of these classes can be read in a terminal."""
    return sum(max(len(name), 3) + 3 for name in names) <= WIDEST
