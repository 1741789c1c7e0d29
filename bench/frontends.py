"""How fast other tools' models are answered: rows a second beside the tools themselves and what else runs their models.

Everybody starts from the rows as a user has them, and gives class shares, sums or classes. Conversion is timed apart.
"""

import gc
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import eric_fast
from bench.child import call_in_child, forget_peak, read_status
from bench.harness import describe_machine, run_tests_first, time_runs
from bench.report import format_seconds
from bench.sources import Contender, Source, list_sources, name_missing, time_call
from eric_fast.show.console import show_notes, stdout
from eric_fast.table.model import RuleModel

SIZES = (1, 1_000, 1_000_000)
PACKAGES = (
    "treelite",
    "tl2cgen",
    "hummingbird",
    "onnxruntime",
    "skl2onnx",
    "xgboost",
    "lightgbm",
    "torchlogix",
    "foldrm",
    "clingo",
)
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
MOST_CALLS, LEAST_SECONDS = 200, 0.02  # of a timing: calls until it takes so long
RUNS = ((0.5, 5), (1.5, 3), (np.inf, 1))  # timings, where one takes less than so many seconds
LARGE_TREES, LARGE_LEAVES = 1_000, 1_000

Row = dict[str, Any]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the tables; `full`: slow rivals on a million rows, too.

    Raises:
        SystemExit: a test of what is timed fails, or a rival gives other answers.
    """
    run_tests_first(*TESTS)
    show_notes()
    if missing := name_missing(PACKAGES):
        stdout.print(f"not installed, so not timed: {', '.join(missing)}", markup=False)
    rows: list[Row] = []
    for source in list_sources():
        rows += _time_source(source, full)
        _print_rows(source, [row for row in rows if row["case"] == source.name])
        gc.collect()
    large = call_in_child(convert_large_forest, {})
    stdout.print(
        f"a forest of {large['n_trees']:,} trees, {large['n_leaves']:,} leaves: converted and compiled in "
        f"{large['seconds']:.1f} s, {large['extra_bytes'] / 1e9:.2f} GB more than before",
        markup=False,
    )
    return {"machine": describe_machine(*VERSIONS), "frontends": rows, "conversion": [large]}


def _time_source(source: Source, full: bool) -> list[Row]:
    model, seconds = time_call(lambda: eric_fast.load(source.model))
    model, compiling = time_call(lambda: _compile(model))
    ours = Contender("eric-fast", lambda rows: _answer(model, rows, source.method), 10**7, seconds + compiling)
    rivals = list(source.list_contenders())
    checked = source.make_rows(CHECKED_ROWS)
    expected = _answer(model, checked, source.method)
    notes = {rival.who: _compare(rival, checked, expected, source.tolerance) for rival in rivals}
    rows: list[Row] = []
    for size in SIZES:
        table = source.make_rows(size)
        of_size = []
        for who in (ours, *rivals):
            few = size > who.most_rows and not full
            part = source.make_rows(who.most_rows) if few else table
            of_size.append(_time_contender(source.name, who, part, size, notes.get(who.who, "")))
        best = max((row["rows_per_s"] for row in of_size[1:]), default=None)
        of_size[0]["ratio_to_best_rival"] = of_size[0]["rows_per_s"] / best if best else None
        rows += of_size
    return rows


def _compare(rival: Contender, checked: Any, expected: NDArray[Any], tolerance: float) -> str:
    """What differs from our answers, in words; nothing where nothing does."""
    got = rival.answers(rival.run(checked))
    if np.issubdtype(expected.dtype, np.number):
        wrong = ~np.isclose(got, expected, atol=tolerance)
    else:
        wrong = np.asarray(got, str)[: len(expected)] != np.asarray(expected[: len(got)], str)
    n_wrong = int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
    return f"{n_wrong:,} of {len(wrong):,} rows answered otherwise" if n_wrong else ""


def _time_contender(name: str, who: Contender, table: Any, size: int, difference: str) -> Row:
    def run() -> object:
        return who.run(table)

    _, first = time_call(run)
    n_calls = max(1, min(MOST_CALLS, int(LEAST_SECONDS / first)))  # a clock is too coarse for one that is short

    def repeat() -> None:
        for _ in range(n_calls):
            run()

    n_runs = next(n for seconds, n in RUNS if first * n_calls < seconds)
    whole = time_runs(repeat, n_runs=n_runs, n_warmups=0)
    timing = whole._replace(**{name: getattr(whole, name) / n_calls for name in ("median_s", "fastest_s", "slowest_s")})
    n_rows = who.own_rows or len(table)
    return {
        "case": name,
        "who": who.who,
        "n_rows": n_rows,
        "of_size": size,
        **timing._asdict(),
        "rows_per_s": n_rows / timing.median_s * who.cores,
        "ready_s": who.ready_s,
        "ratio_to_best_rival": None,
        "note": "; ".join(filter(None, (who.note, difference))),
    }


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


def _print_rows(source: Source, rows: list[Row]) -> None:
    table = Table(title=source.title, title_justify="left")
    table.add_column("who")
    for name in ("rows", "median", "rows/s", "ours faster by", "made ready in"):
        table.add_column(name, justify="right")
    for size in SIZES:
        of_size = [row for row in rows if row["of_size"] == size]
        ours = next(row for row in of_size if row["who"] == "eric-fast")
        for row in of_size:
            faster = "" if row is ours else f"{ours['rows_per_s'] / row['rows_per_s']:,.1f} x"
            table.add_row(
                row["who"] + (f" ({row['note']})" if row["note"] else ""),
                f"{row['n_rows']:,}",
                format_seconds(row["median_s"]),
                f"{row['rows_per_s']:,.0f}",
                faster,
                format_seconds(row["ready_s"]) if row["ready_s"] else "",
            )
        table.add_section()
    stdout.print(table)
