"""How fast other tools' models are answered: rows a second beside the tools themselves and what else runs their models.

Everybody starts from the rows as a user has them, and gives class shares, sums or classes. Conversion is timed apart.
"""

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eric_fast
from bench.apart import RivalError, describe_environments
from bench.child import call_in_child, forget_peak, read_status
from bench.contenders import Contender, count_differences
from bench.harness import describe_machine, describe_protocol, run_tests_first, time_call
from bench.screen import format_seconds, make_table
from bench.sources import SOURCES, Source
from eric_fast.show.console import show_notes, stdout
from eric_fast.table.model import RuleModel

SIZES = (1, 1_000, 1_000_000)
VERSIONS = (
    "treelite",
    "tl2cgen",
    "hummingbird-ml",
    "onnxruntime",
    "xgboost-cpu",
    "lightgbm",
    "torchlogix",
    "foldrm",
    "clingo",
)
TESTS = ("test_walk.py", "test_forest.py")
CHECKED_ROWS = 1_000
LARGE_TREES, LARGE_LEAVES = 1_000, 1_000

Row = dict[str, Any]


def run_case(full: bool = False, parts: Sequence[str] = (), sizes: Sequence[int] = SIZES) -> Iterator[Row]:
    """Print the tables; give what is known after each model.

    Args:
        full: slow rivals on a million rows, too.
        parts: how the names of models begin; by default all.
        sizes: numbers of rows.

    Raises:
        SystemExit: a test of what is timed fails.
    """
    run_tests_first(*TESTS)
    show_notes()
    rows: list[Row] = []
    result = {
        "machine": {**describe_machine(*VERSIONS), **describe_environments()},
        "protocol": describe_protocol(
            threads="as many as each engine takes by itself, of all cores",
            answers=f"compared on {CHECKED_ROWS:,} rows before anything is timed",
        ),
        "frontends": rows,
    }
    for name in (name for name in SOURCES if name.startswith(tuple(parts))) if parts else SOURCES:
        source = SOURCES[name]()
        rows += _time_source(source, sizes, full)
        _print_rows(source, [row for row in rows if row["case"] == name], sizes)
        gc.collect()
        yield result
    large = call_in_child(convert_large_forest, {})
    stdout.print(
        f"a forest of {large['n_trees']:,} trees, {large['n_leaves']:,} leaves: converted and compiled in "
        f"{large['seconds']:.1f} s, {large['extra_bytes'] / 1e9:.2f} GB more than before",
        markup=False,
    )
    yield {**result, "conversion": [large]}


def _time_source(source: Source, sizes: Sequence[int], full: bool) -> list[Row]:
    model, seconds = time_call(lambda: eric_fast.load(source.model))
    model, compiling = time_call(lambda: _compile(model))
    ours = Contender("eric-fast", lambda rows: _answer(model, rows, source.method), 10**7, seconds + compiling)
    checked = source.make_rows(CHECKED_ROWS)
    tables = {size: source.make_rows(size) for size in sizes}
    rows = [_time_contender(source, ours, tables[size], size) for size in sizes]
    expected = _answer(model, checked, source.method)
    for candidate in source.candidates:
        found = candidate.try_to_make()
        if isinstance(found, str):
            rows += (_make_row(source, candidate.who, size, note=found) for size in sizes)
            continue
        try:
            got = found.answers(found.run(checked))
            differing = count_differences(got, expected, source.tolerance) / min(len(got), len(checked))
            for size in sizes:
                few = size > found.most_rows and not full
                table = source.make_rows(found.most_rows) if few else tables[size]
                rows.append({**_time_contender(source, found, table, size), "differing": differing})
        except RivalError as error:
            rows += (_make_row(source, candidate.who, size, note=str(error)) for size in sizes)
        found.close()
    for row in rows[: len(sizes)]:
        rates = [r["rows_per_s"] for r in rows[len(sizes) :] if r["of_size"] == row["of_size"] and r["rows_per_s"]]
        row["ratio_to_best_rival"] = row["rows_per_s"] / max(rates) if rates else None
    return rows


def _time_contender(source: Source, who: Contender, table: Any, size: int) -> Row:
    timing = who.time(table)
    n_rows = who.own_rows or len(table)
    figures = {"rows_per_s": n_rows / timing.median_s * who.cores, "ready_s": who.ready_s, "note": who.note}
    return _make_row(source, who.who, size, n_rows=n_rows, **timing._asdict(), **figures)


def _make_row(source: Source, who: str, size: int, **known: Any) -> Row:
    """A row of figures, or of a note that says why there are none."""
    unknown = dict.fromkeys(("n_rows", "median_s", "fastest_s", "slowest_s", "n_runs", "rows_per_s", "ready_s"))
    more = {"ratio_to_best_rival": None, "differing": None}
    return {"case": source.name, "who": who, "of_size": size, **unknown, **more, **known}


def _compile(model: RuleModel) -> RuleModel:
    _ = model.evaluator, model.packer
    return model


def _answer(model: RuleModel, rows: Any, method: str) -> NDArray[Any]:
    """What this method says, or shares of classes where there are any, else sums, else classes."""
    for name in (method,) if method else ("predict_proba", "decision_function"):
        answer = getattr(model, name, None)
        if answer is not None:
            return np.asarray(answer(rows))
    return model.predict(rows)


def convert_large_forest() -> Row:
    """In a process of its own: seconds and memory from scikit-learn's object to a model that is ready."""
    from sklearn.ensemble import RandomForestClassifier

    lot = np.random.default_rng(0)
    columns = lot.standard_normal((6_000, 20)).astype(np.float32)
    target = lot.integers(0, 2, len(columns))
    forest = RandomForestClassifier(LARGE_TREES, max_leaf_nodes=LARGE_LEAVES, random_state=0, n_jobs=-1)
    forest.fit(columns, target)
    small = RandomForestClassifier(2, max_leaf_nodes=8, random_state=0).fit(columns, target)
    eric_fast.load(small).predict_proba(columns[:10])  # compiling Numba's code is not the forest's
    gc.collect()
    before = read_status("VmRSS")
    forget_peak()
    model, seconds = time_call(lambda: _compile(eric_fast.load(forest)))
    extra = read_status("VmHWM") - before
    assert np.allclose(model.predict_proba(columns[:100]), forest.predict_proba(columns[:100]))
    return {
        "n_trees": LARGE_TREES,
        "n_leaves": int(sum(tree.tree_.n_leaves for tree in forest.estimators_)),
        "seconds": seconds,
        "extra_bytes": extra,
    }


def _print_rows(source: Source, rows: list[Row], sizes: Sequence[int]) -> None:
    table = make_table(
        source.title, "who", ("rows", "median", "rows/s", "ours faster by", "made ready in", "answered otherwise")
    )
    for size in sizes:
        of_size = [row for row in rows if row["of_size"] == size]
        for row in of_size:
            who = row["who"] + (f" ({row['note']})" if row["note"] else "")
            if row["median_s"] is None:
                table.add_row(who)
                continue
            table.add_row(
                who,
                f"{row['n_rows']:,}",
                format_seconds(row["median_s"]),
                f"{row['rows_per_s']:,.0f}",
                "" if row is of_size[0] else f"{of_size[0]['rows_per_s'] / row['rows_per_s']:,.1f} x",
                format_seconds(row["ready_s"]) if row["ready_s"] else "",
                f"{row['differing']:.1%}" if row["differing"] else "",
            )
        table.add_section()
    stdout.print(table)
