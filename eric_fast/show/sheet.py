"""Votes as a sheet: a row for each literal, a column for each class."""

from collections.abc import Iterator

from rich.table import Table

from eric_fast.program import ClassRule, Program
from eric_fast.program.layer_graph import name_start
from eric_fast.program.words import name_literal
from eric_fast.show.grid import fits_terminal, make_table
from eric_fast.show.visible_text import Text


def list_sheets(program: Program, limit: int = 0) -> Iterator[Table]:
    """One sheet of votes, or one for each start; none if a class rule has several literals, or no terminal is so wide.

    limit: rows at most, those with the most points first; 0: all.
    """
    if not program.decision.adds_weights or not fits_terminal(program.classes) or not len(program.class_rules):
        return
    if program.decision.gives_labels or any(len(rule.body) > 1 for rule in program.class_rules):
        return
    if not program.starts:
        yield _tabulate_votes(program, "votes", limit)
    for start in program.starts:
        yield _tabulate_votes(program.select_start(start), f"votes from {name_start(start)}", limit)


def _tabulate_votes(program: Program, title: str, limit: int) -> Table:
    table = make_table(title, ["where this is true"], program.classes)
    if program.base:
        table.add_row("always, before any rule", *map(_format_points, program.base), end_section=True)
    rows: dict[tuple[int, ...], list[float]] = {}
    for rule in program.class_rules:
        row = rows.setdefault(rule.body, [0.0] * len(program.classes))
        for output, weight in _list_votes(rule):
            row[output] += weight
    ordered = sorted(rows.items(), key=lambda item: -sum(map(abs, item[1])))  # stable
    for body, points in ordered[: limit or None]:
        name = " ".join(name_literal(program, literal) for literal in body) or "always"
        table.add_row(Text(name), *map(_format_points, points))
    if limit and len(ordered) > limit:
        table.caption = f"and {len(ordered) - limit:,} more rows; --limit 0 shows all"
    return table


def _list_votes(rule: ClassRule) -> list[tuple[int, float]]:
    return list(rule.votes)


def _format_points(points: float) -> str:
    return f"{points:+g}" if points else "."
