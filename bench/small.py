"""How fast a few rows are answered: other tools' models beside the tools themselves, from 1 row to 3,000.

Rows come as a NumPy array, a pandas frame and an Arrow table; rivals take what they take. FOLD-RM's own evaluator reads
lists, a row each, of texts and floats: it is timed on these, and on frames and tables that are made such lists first.
Beside it stands what taking the values out takes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eric_fast
from bench import foldrm
from bench.apart import RivalError, describe_environments
from bench.contenders import count_differences
from bench.harness import SHARED, describe_machine, describe_protocol, run_tests_first, time_calls
from bench.screen import format_seconds, make_table
from bench.sources import SOURCES, Source
from eric_fast.show.console import stdout
from eric_fast.table.model import RuleModel

SIZES = (1, 3, 10, 30, 100, 300, 1_000, 3_000)
MODELS = ("forest, numeric", "LightGBM", "XGBoost, numeric")
TESTS = ("test_walk.py", "test_row_rules.py")
MOST_SLICES = 40  # of rows that are read in turn
TAKING = "taking all values out"
VERSIONS = ("lightgbm", "xgboost-cpu", "onnxruntime", "treelite", "tl2cgen", "hummingbird-ml", "foldrm", "pandas")

Row = dict[str, Any]


def run_case(full: bool = False, sizes: Sequence[int] = SIZES) -> Iterator[dict[str, Any]]:
    """Print a table for each model, and give what is known after each; `full` changes nothing.

    Raises:
        SystemExit: a test of what is timed fails.
    """
    run_tests_first(*TESTS)
    rows: list[Row] = []
    protocol = describe_protocol(
        threads="as many as each engine takes by itself; lleaves one below 1,000 rows",
        rows=f"of FOLD-RM up to {MOST_SLICES} slices of a table in turn, as rules ask more of some rows than of others",
        answers=f"compared on {max(sizes):,} rows before anything is timed",
    )
    result = {
        "machine": {**describe_machine(*VERSIONS), **describe_environments()},
        "protocol": protocol,
        "small": rows,
    }
    for name in MODELS:
        source = SOURCES[name]()
        rows += _time_source(source, sizes)
        _print_rows(source.title, [row for row in rows if row["case"] == source.name], sizes)
        yield result
    for name in foldrm.NAMES:
        rows += _time_rules(name, sizes)
        _print_rows(f"FOLD-RM's {name}: classes", [row for row in rows if row["case"] == f"FOLD-RM {name}"], sizes)
        yield result


def _time_source(source: Source, sizes: Sequence[int]) -> Iterator[Row]:
    model = eric_fast.load(source.model)
    assert isinstance(model, RuleModel)
    table = source.make_rows(max(sizes))
    parts = {size: np.ascontiguousarray(table[:size]) for size in sizes}
    for size, part in parts.items():
        yield from _time_forms(source.name, model, model.predict_proba, part, size)
    expected = model.predict_proba(table)
    for candidate in source.candidates:
        found = candidate.try_to_make()
        if isinstance(found, str):
            yield from (_make_row(source.name, candidate.who, "NumPy", size, None, found) for size in sizes)
            continue
        try:
            differing = count_differences(found.answers(found.run(table)), expected, source.tolerance) / len(table)
            note = f"{differing:.2%} of rows answered otherwise" if differing else ""
            for size, part in parts.items():
                yield _make_row(source.name, found.who, "NumPy", size, found.time(part).median_s, note)
        except RivalError as error:
            yield from (_make_row(source.name, found.who, "NumPy", size, None, str(error)) for size in sizes)
        found.close()


def _time_forms(
    case: str, model: RuleModel, answer: Callable[[Any], Any], part: NDArray[Any], size: int
) -> Iterator[Row]:
    import pandas
    import pyarrow

    frame = pandas.DataFrame(part, columns=[column.name for column in model.program.table_quantiser.columns])
    for form, data in (("NumPy", part), ("pandas", frame), ("Arrow", pyarrow.Table.from_pandas(frame))):
        yield _make_row(case, "eric-fast", form, size, _time_median(lambda: answer(data)))  # noqa: B023


def _time_rules(name: str, sizes: Sequence[int]) -> Iterator[Row]:
    """FOLD-RM's evaluator reads lists of texts and floats: other forms are made such lists inside its clock."""
    import pyarrow

    folder, case = SHARED / "fixtures" / "foldrm", f"FOLD-RM {name}"
    table = foldrm.load_table(folder / f"{name}.csv")
    names = list(table.columns)
    model = foldrm.load_rules(folder / f"{name}.simple.lp", names)
    n_here = len(table.answers)

    def make_lists(columns: Iterable[list[str]]) -> list[list[str | float]]:
        return foldrm.to_rows(foldrm.Table(dict(zip(names, columns, strict=True)), []), model.program)

    lists = make_lists(table.columns.values())
    rules = foldrm.to_foldrm(model.program, names)

    def time_evaluator(form: str, size: int, make_rows: Callable[[], Any]) -> Row:
        who = "FOLD-RM's evaluator"
        if not find_spec("foldrm"):
            return _make_row(case, who, form, size, None, "not installed: foldrm")
        from foldrm import predict

        rows = make_rows()
        differing = np.mean(np.asarray(predict(rules, rows), str) != np.asarray(model.predict(rows), str))
        note = f"{differing:.2%} of rows answered otherwise" if differing else ""
        return _make_row(case, who, form, size, _time_median(lambda: predict(rules, make_rows())), note)

    for size in sizes:
        starts = [size * k for k in range(max(1, min(MOST_SLICES, 400 // size)))]
        places = [[(start + i) % n_here for i in range(size)] for start in starts]
        parts = [
            pyarrow.table({key: [values[i] for i in own] for key, values in table.columns.items()}) for own in places
        ]
        rows = _take_turns([[lists[i] for i in own] for own in places])
        forms: dict[str, tuple[Callable[[], Any], Callable[[Any], Iterable[list[str]]]]] = {
            "pandas": (
                _take_turns([part.to_pandas() for part in parts]),
                lambda frame: (column.tolist() for _, column in frame.items()),
            ),
            "Arrow": (_take_turns(parts), lambda part: (column.to_pylist() for column in part.columns)),
        }
        for form, (data, take) in forms.items():
            yield _make_row(case, "eric-fast", form, size, _time_median(lambda: model.predict(data())))  # noqa: B023
            yield _make_row(case, TAKING, form, size, _time_median(lambda: list(take(data()))))  # noqa: B023
            yield time_evaluator(form, size, lambda: make_lists(take(data())))  # noqa: B023
        yield _make_row(case, "eric-fast", "lists", size, _time_median(lambda: model.predict(rows())))  # noqa: B023
        yield time_evaluator("lists", size, rows)


def _take_turns(items: list[Any]) -> Callable[[], Any]:
    """What gives these one after another, again and again."""
    turns = cycle(items)
    return lambda: next(turns)


def _time_median(run: Callable[[], object]) -> float:
    return time_calls(run).median_s


def _make_row(case: str, who: str, form: str, size: int, seconds: float | None, note: str = "") -> Row:
    return {"case": case, "who": who, "form": form, "n_rows": size, "median_s": seconds, "note": note}


def find_worst_jump(rows: list[Row]) -> float:
    """How many times faster than the rows the time grows from one size to the next, at most."""
    rows = sorted(rows, key=lambda row: row["n_rows"])
    pairs = pairwise(rows)
    jumps: list[float] = [(z["median_s"] / a["median_s"]) / (z["n_rows"] / a["n_rows"]) for a, z in pairs]
    return max(jumps, default=0.0)


def _print_rows(title: str, rows: list[Row], sizes: Sequence[int]) -> None:
    table = make_table(title, "who", [*(f"{size:,}" for size in sizes), "worst jump"])
    for who, form in dict.fromkeys((row["who"], row["form"]) for row in rows):
        own = [row for row in rows if (row["who"], row["form"]) == (who, form)]
        name = f"{who}, {form}" + (f" ({own[0]['note']})" if own[0]["note"] else "")
        if own[0]["median_s"] is None:
            table.add_row(name)
        else:
            cells = [format_seconds(row["median_s"]) for row in own]
            table.add_row(name, *cells, f"{find_worst_jump(own):.2f}")
    stdout.print(table)
