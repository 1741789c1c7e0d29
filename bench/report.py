"""The tables of `python -m bench evaluate`, for a person."""

from typing import Any

from bench.programs import Case
from bench.screen import format_seconds, make_table
from eric_fast.show.console import stdout

Row = dict[str, Any]


def print_speed(case: Case, rows: list[Row]) -> None:
    """The last column: our rows against the best rival, rivals' against ours at ImageNet's size.

    Loads: what all cores could load from their nearest caches, one for each literal, right before and after.
    """
    table = make_table(
        f"({case.name}) {case.title}; {case.n_literals:,} literals",
        "who",
        ("samples", "median", "fastest", "slowest", "literals/s", "of limit", "of loads", "ours faster by"),
    )
    table.columns[0].no_wrap = True
    notes: dict[str, int] = {}
    for row in rows:
        note = row.get("note", "")
        number = notes.setdefault(note, len(notes) + 1) if note else None
        table.add_row(
            row["who"] + (f" ({number})" if number else ""),
            f"{row['n_samples']:,}",
            format_seconds(row["median_s"]),
            format_seconds(row["fastest_s"]),
            format_seconds(row["slowest_s"]),
            f"{row['literal_evaluations_per_s']:.2e}",
            f"{row['share_of_limit']:.0%}" if row["share_of_limit"] else "",
            f"{row['share_of_loads']:.0%}" if "share_of_loads" in row else "",
            f"{row['ratio_to_best_rival'] or row['times_slower']:,.0f} x",
        )
    stdout.print(table)
    for note, number in notes.items():
        stdout.print(f"  ({number}) {note}", markup=False)


def print_packing(rows: list[Row]) -> None:
    names = ("samples", "atoms", "median", "GB/s")
    table = make_table("packing norms into bits, which no row above counts", "case", names)
    for row in rows:
        table.add_row(
            row["case"],
            f"{row['n_samples']:,}",
            str(row["n_atoms"]),
            format_seconds(row["median_s"]),
            f"{row['gb_per_s']:.2f}",
        )
    stdout.print(table)


def print_memory(rows: list[Row]) -> None:
    names = ("samples", "packed input", "asked for", "peak", "peak / (input + asked for)")
    table = make_table("memory: the input and by how much the process grew, at most", "case", names)
    for row in rows:
        sizes = [f"{row[name] / 1e6:,.1f} MB" for name in ("input_bytes", "output_bytes", "peak_bytes")]
        table.add_row(row["case"], f"{row['n_samples']:,}", *sizes, f"{row['ratio']:.2f}")
    stdout.print(table)


def print_ready(rows: list[Row]) -> None:
    names = ("literals", "text", "median", "fastest", "slowest", "peak memory", "plan")
    table = make_table("from text on disk to the first answer, in a new process, caches warm", "rules", names)
    for row in rows:
        table.add_row(
            f"{row['n_rules']:,}",
            f"{row['n_literals']:,}",
            f"{row['text_bytes'] / 1e6:.1f} MB",
            *(format_seconds(row[name]) for name in ("median_s", "fastest_s", "slowest_s")),
            f"{row['peak_bytes'] / 1e6:,.0f} MB",
            f"{row['plan_bytes'] / 1e6:,.1f} MB",
        )
    stdout.print(table)


def print_growth(rows: list[Row]) -> None:
    table = make_table("growth, on random programs", "with", ("", "median", "fastest", "slowest", "literals/s"))
    for row in rows:
        table.add_row(
            row["axis"],
            f"{row['value']:,}",
            format_seconds(row["median_s"]),
            format_seconds(row["fastest_s"]),
            format_seconds(row["slowest_s"]),
            f"{row['literal_evaluations_per_s']:.2e}",
        )
    stdout.print(table)
