"""What `eric-fast explain` does with a row of a table."""

from pathlib import Path

from eric_fast.cli.inputs import check_paths
from eric_fast.cli.tables import load_any
from eric_fast.errors import DataError
from eric_fast.output import write_json
from eric_fast.show.console import stdout


def print_row(
    source: str,
    path: Path,
    row: int,
    *,
    header: bool,
    depth: int | None,
    earlier: bool,
    json: Path | None,
    force: bool,
) -> None:
    """Print why a model answers as it does about one row of a table; write it as JSON too.

    Raises:
        DataError: the table has no such row.
    """
    check_paths([json], [source, path], force=force)
    from eric_fast.show.row_proof import render_row_explanation
    from eric_fast.table import read_table
    from eric_fast.table.explain.content import describe_row_explanation
    from eric_fast.table.explain.explain_row import explain_row

    model = load_any(source)
    data = read_table(path, header=header)
    if not data.n_rows:
        raise DataError(f"{path} has no rows")
    if not 0 <= row < data.n_rows:
        raise DataError(f"{path} has no row {row}, only 0 to {data.n_rows - 1}")
    explanation = explain_row(model, data.take_rows(row, row + 1), data=data, name=f"row {row}")
    if json is not None:
        write_json(describe_row_explanation(explanation), json, force=force)
    shown = render_row_explanation(explanation, depth=depth, earlier=earlier)
    stdout.print(shown, soft_wrap=False)  # else a tree's long lines are cut off
