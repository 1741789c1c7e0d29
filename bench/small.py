"""How fast a few rows are answered: other tools' models beside the tools themselves, from 1 row to 3,000.

Warm; each size is asked in a loop, and the median is taken. Rows come as a NumPy array, a pandas frame and an Arrow
table; rivals take what they take. FOLD-RM's own evaluator reads lists, a row each, of texts and floats: it is timed on
these, and on frames and tables that are made such lists first. Beside it stands what taking the values out takes.

lleaves, whose llvmlite may clash with ours, lives in an environment of its own under `.cache/lleaves`, and is timed
there on the same rows; without it, it is left out and named.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import eric_fast
from bench import foldrm
from bench.harness import CACHE, SHARED, describe_machine, run_tests_first
from bench.report import format_seconds
from bench.sources import Source, make_forest, make_lightgbm, make_xgboost
from eric_fast.show.console import stdout
from eric_fast.table.model import RuleModel

SIZES = (1, 3, 10, 30, 100, 300, 1_000, 3_000)
FOLD_RM = ("krkp", "nursery", "pendigits", "wall_robot")
TESTS = ("test_walk.py",)
MOST_CALLS, LEAST_CALLS, LOOP_SECONDS = 300, 5, 0.3  # of one timing
TAKING = "taking all values out"
LLEAVES = CACHE / "lleaves"
TIME_LLEAVES = """
import json, sys, time
from statistics import median
import lleaves, numpy as np
model = lleaves.Model(model_file=sys.argv[1])
model.compile()
for rows in map(int, sys.argv[2].split(",")):
    table = np.load(sys.argv[3])[:rows]
    model.predict(table, n_jobs=1)
    times = []
    while len(times) < int(sys.argv[4]):
        started = time.perf_counter()
        model.predict(table, n_jobs=1)
        times.append(time.perf_counter() - started)
    print(json.dumps([rows, median(times)]))
"""

Row = dict[str, Any]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print a table for each model; `full` changes nothing.

    Raises:
        SystemExit: a test of what is timed fails.
    """
    run_tests_first(*TESTS)
    rows: list[Row] = []
    for source in (make_forest("numeric", binary=False), make_lightgbm(), make_xgboost(binary=False)):
        rows += list(_time_source(source))
        _print_rows(source.title, [row for row in rows if row["case"] == source.name])
    for name in FOLD_RM:
        rows += list(_time_rules(name))
        _print_rows(f"FOLD-RM's {name}: classes", [row for row in rows if row["case"] == f"FOLD-RM {name}"])
    return {"machine": describe_machine("lightgbm", "xgboost-cpu", "onnxruntime", "treelite"), "small": rows}


def time_median(run: Callable[[], object]) -> float:
    """The median of the seconds of as many calls as fit, after two that don't count."""
    run()
    started = time.perf_counter()
    run()
    n_calls = int(LOOP_SECONDS / max(time.perf_counter() - started, 1e-9))
    seconds = []
    for _ in range(min(MOST_CALLS, max(LEAST_CALLS, n_calls))):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _time_source(source: Source) -> Iterator[Row]:
    model = eric_fast.load(source.model)
    assert isinstance(model, RuleModel)
    contenders = list(source.list_contenders())
    table = source.make_rows(max(SIZES))
    for size in SIZES:
        part = np.ascontiguousarray(table[:size])
        yield from _time_forms(source.name, model, model.predict_proba, part, size)
        for who in contenders:
            yield _make_row(source.name, who.who, "NumPy", size, time_median(lambda: who.run(part)))  # noqa: B023
    if source.name == "LightGBM":
        for size, seconds in time_lleaves(source.model, table):
            yield _make_row(source.name, "lleaves", "NumPy", size, seconds)


def _time_forms(
    case: str, model: RuleModel, answer: Callable[[Any], Any], part: NDArray[Any], size: int
) -> Iterator[Row]:
    import pandas
    import pyarrow

    frame = pandas.DataFrame(part, columns=[column.name for column in model.program.table_quantiser.columns])
    for form, data in (("NumPy", part), ("pandas", frame), ("Arrow", pyarrow.Table.from_pandas(frame))):
        yield _make_row(case, "eric-fast", form, size, time_median(lambda: answer(data)))  # noqa: B023


def _time_rules(name: str) -> Iterator[Row]:
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
    for size in SIZES:
        part = pyarrow.table({key: [values[i % n_here] for i in range(size)] for key, values in table.columns.items()})
        frame, rows = part.to_pandas(), [lists[i % n_here] for i in range(size)]
        forms: dict[str, tuple[Any, Callable[[], Iterable[list[str]]]]] = {
            "pandas": (frame, lambda: (column.tolist() for _, column in frame.items())),  # noqa: B023
            "Arrow": (part, lambda: (column.to_pylist() for column in part.columns)),  # noqa: B023
        }
        for form, (data, take) in forms.items():
            yield _make_row(case, "eric-fast", form, size, time_median(lambda: model.predict(data)))  # noqa: B023
            yield _make_row(case, TAKING, form, size, time_median(lambda: list(take())))  # noqa: B023
            if find_spec("foldrm"):
                from foldrm import predict

                rules = foldrm.to_foldrm(model.program, names)
                seconds = time_median(lambda: predict(rules, make_lists(take())))  # noqa: B023
                yield _make_row(case, "FOLD-RM's evaluator", form, size, seconds)
        yield _make_row(case, "eric-fast", "lists", size, time_median(lambda: model.predict(rows)))  # noqa: B023
        if find_spec("foldrm"):
            yield _make_row(case, "FOLD-RM's evaluator", "lists", size, time_median(lambda: predict(rules, rows)))  # noqa: B023


def time_lleaves(model: Any, table: NDArray[Any]) -> Iterator[tuple[int, float]]:
    """What lleaves takes for each size, compiled and on one thread; nothing if it can't be installed."""
    python = LLEAVES / "bin" / "python"
    if not python.exists():
        # lleaves 1.3 needs what llvmlite 0.45 dropped
        make = f"python3 -m venv {LLEAVES} && {python} -m pip install -q lleaves 'llvmlite<0.45'"
        if subprocess.run(make, shell=True, check=False).returncode:
            stdout.print("lleaves can't be installed, so it isn't timed", markup=False)
            return
    with tempfile.TemporaryDirectory() as folder:
        path, rows = Path(folder) / "model.txt", Path(folder) / "rows.npy"
        model.booster_.save_model(str(path))
        np.save(rows, table.astype(np.float64))
        sizes = ",".join(map(str, SIZES))
        command = [str(python), "-c", TIME_LLEAVES, str(path), sizes, str(rows), str(MOST_CALLS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        stdout.print(f"lleaves isn't timed: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}", markup=False)
        return
    for line in done.stdout.splitlines():
        size, seconds = json.loads(line)
        yield size, seconds


def _make_row(case: str, who: str, form: str, size: int, seconds: float) -> Row:
    return {"case": case, "who": who, "form": form, "n_rows": size, "median_s": seconds}


def find_worst_jump(rows: list[Row]) -> float:
    """How many times faster than the rows the time grows from one size to the next, at most."""
    rows = sorted(rows, key=lambda row: row["n_rows"])
    pairs = pairwise(rows)
    jumps: list[float] = [(z["median_s"] / a["median_s"]) / (z["n_rows"] / a["n_rows"]) for a, z in pairs]
    return max(jumps)


def _print_rows(title: str, rows: list[Row]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("who")
    for size in SIZES:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("worst jump", justify="right")
    for who, form in dict.fromkeys((row["who"], row["form"]) for row in rows):
        own = [row for row in rows if (row["who"], row["form"]) == (who, form)]
        cells = [format_seconds(row["median_s"]) for row in sorted(own, key=lambda row: row["n_rows"])]
        table.add_row(f"{who}, {form}", *cells, f"{find_worst_jump(own):.2f}")
    stdout.print(table)
