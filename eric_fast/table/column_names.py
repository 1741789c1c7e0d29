"""Matching the columns of a program and of a table by name."""

import re
from collections.abc import Iterable, Sequence

from eric_fast.errors import DataError, say_count, suggest_nearest

_NUMBERED = re.compile(r"(.*?)(\d+)")


def fold_text(text: str) -> str:
    """The text in lower case and with `_` for spaces, as FOLD-RM writes it."""
    return text.lower().replace(" ", "_")


def match_name(name: str, names: Sequence[str]) -> int:
    """The index of the only column of this name, or else of the only one of this name after folding.

    Raises:
        DataError: there is none, with the nearest names; or there are several.
    """
    places = [i for i, other in enumerate(names) if other == name]
    if not places:
        places = [i for i, other in enumerate(names) if fold_text(other) == fold_text(name)]
    if len(places) == 1:
        return places[0]
    if places:
        shown = " and ".join(f"'{names[i]}' (column {i + 1})" for i in places[:3])
        raise DataError(f"column '{name}' could be {shown}; rename one")
    raise DataError(f"the table has no column '{name}'{suggest_nearest(name, names)}")


def bind_columns(
    wanted: Iterable[int],
    program: Sequence[str],
    table: Sequence[str] | None,
    n_columns: int,
    n_optional: int = 0,
) -> list[int]:
    """The index in the table of each of the program's columns; -1 for those that are missing and not `wanted`.

    Columns are matched by name. They are matched by position if the table has no names, or if no name matches and the
    table's are numbers (0, 1, 2, ... or x0, x1, ...); then it must have as many columns as the program. The table may
    lack the last `n_optional` columns.

    Raises:
        DataError: a column is missing, or its name occurs twice; or the number of columns differs.
    """
    wanted = set(wanted)
    if table is not None and not is_nameless(program, table):
        found = {name: i for i, name in enumerate(table)}
        if len(found) == len(table) and wanted <= {i for i, name in enumerate(program) if name in found}:
            return [found.get(name, -1) for name in program]
        first = len(program) - n_optional
        folded = {fold_text(name) for name in table} if n_optional else set()
        return [
            match_name(name, table) if i in wanted and (i < first or fold_text(name) in folded) else -1
            for i, name in enumerate(program)
        ]
    if n_columns == len(program) - n_optional:
        return [*range(n_columns), *[-1] * n_optional]
    if n_columns != len(program):
        raise DataError(
            f"expected a table of {say_count(len(program), 'column')}, got {n_columns:,}"
            + ("" if table is None else f", none of which is called '{program[0]}'" if program else "")
        )
    return list(range(n_columns))


def is_nameless(program: Sequence[str], table: Sequence[str] | None) -> bool:
    """Whether the table has no names, or no name matches, and the table's names only number its columns."""
    if table is None:
        return True
    parts = [_NUMBERED.fullmatch(name) for name in table]
    if not parts or parts[0] is None:
        return False
    prefix, first = parts[0][1], int(parts[0][2])
    if first > 1 or not all(p and p[1] == prefix and int(p[2]) == i for i, p in enumerate(parts, first)):
        return False
    return not {fold_text(name) for name in program} & {fold_text(name) for name in table}
