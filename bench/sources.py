"""Models of other tools for `python -m bench frontends`: trained here, with rivals that run the same model."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import foldrm
from bench.harness import SHARED

N_COLUMNS, N_TRAIN, N_TREES, DEPTH = 50, 20_000, 100, 8
MOST_OF_COMPILED = 200_000  # rows that treelite's predictor is timed on, which takes microseconds for each
N_GROUNDED = 200  # rows that clingo answers in one go
Run = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Contender:
    """One that answers.

    Attributes:
        who: its name.
        run: a table -> its answers.
        most_rows: what it is timed on at most: slow ones on fewer.
        ready_s: what making it took: conversion, compiling.
        answers: its answers as they can be compared with the source's.
        own_rows: how many it answers whatever it is given; 0 where it answers those.
        cores: over how many its rate counts: more where it leaves cores idle.
        note: what is to be known of it.
    """

    who: str
    run: Run
    most_rows: int
    ready_s: float
    answers: Callable[[Any], NDArray[Any]] = np.asarray
    own_rows: int = 0
    cores: int = 1
    note: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model and its data.

    Attributes:
        name, title: as in rows, and for a person.
        model: what `eric_fast.load` takes.
        make_rows: number of rows -> a table as the source takes it.
        contenders: who else runs it; the source itself first.
        method: which of ours gives what theirs do; by default the first that there is of those that `_answer` tries.
    """

    name: str
    title: str
    model: Any
    make_rows: Callable[[int], Any]
    list_contenders: Callable[[], Iterator[Contender]]
    tolerance: float = 1e-5
    method: str = ""


def time_call(make: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the seconds that took."""
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def list_sources() -> Iterator[Source]:
    """All whose packages are installed."""
    yield make_forest("numeric", binary=False)
    yield make_forest("binary", binary=True)
    yield make_hist_boosting()
    if find_spec("xgboost"):
        yield make_xgboost(binary=False)
        yield make_xgboost(binary=True)
    if find_spec("lightgbm"):
        yield make_lightgbm()
    if find_spec("torchlogix"):
        yield make_logic_network()
    for name in foldrm.NAMES:
        yield make_foldrm(name)


def make_data(n_rows: int, *, binary: bool, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Columns that are normal, or 0 and 1, and classes that follow from some of them, a tenth of them wrong."""
    lot = np.random.default_rng(seed)
    columns = lot.standard_normal((n_rows, N_COLUMNS), np.float32)
    if binary:
        columns = (columns > 0).astype(np.float32)
    score = columns[:, :10] @ np.arange(1, 11) + 5 * columns[:, 10] * columns[:, 11] + 3 * columns[:, 12:20].sum(axis=1)
    middle = np.quantile(score, 0.5)
    return columns, ((score > middle) ^ (lot.random(n_rows) < 0.1)).astype(np.int64)


def make_rows_of(binary: bool) -> Callable[[int], NDArray[np.float32]]:
    return lambda n: make_data(n, binary=binary, seed=1)[0]


def make_forest(name: str, *, binary: bool) -> Source:
    from sklearn.ensemble import RandomForestClassifier

    columns, target = make_data(N_TRAIN, binary=binary, seed=0)
    forest = RandomForestClassifier(N_TREES, max_depth=DEPTH, random_state=0, n_jobs=-1).fit(columns, target)

    def contenders() -> Iterator[Contender]:
        yield Contender("scikit-learn", forest.predict_proba, 10**6, 0.0)
        if find_spec("tl2cgen"):
            import treelite

            yield compile_treelite(lambda: treelite.sklearn.import_model(forest))
        if find_spec("hummingbird"):
            from hummingbird.ml import convert

            model, seconds = time_call(lambda: convert(forest, "torch", columns[:2]))
            yield Contender("Hummingbird (torch)", model.predict_proba, 20_000, seconds)
        if find_spec("onnxruntime") and find_spec("skl2onnx"):
            yield run_onnx(forest, columns)

    title = f"RandomForestClassifier, {N_TREES} trees of depth {DEPTH}, {N_COLUMNS} {name} columns: predict_proba"
    return Source(f"forest, {name}", title, forest, make_rows_of(binary), contenders)


def make_hist_boosting() -> Source:
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns, target = make_data(N_TRAIN, binary=False, seed=0)
    model = HistGradientBoostingClassifier(max_iter=N_TREES, random_state=0, early_stopping=False).fit(columns, target)

    def contenders() -> Iterator[Contender]:
        yield Contender("scikit-learn", model.predict_proba, 10**6, 0.0)  # skl2onnx 1.20 can't convert it

    title = f"HistGradientBoostingClassifier, {N_TREES} trees of 31 leaves, {N_COLUMNS} numeric columns: predict_proba"
    return Source("histogram boosting", title, model, make_rows_of(False), contenders)


def make_xgboost(*, binary: bool) -> Source:
    import xgboost

    columns, target = make_data(N_TRAIN, binary=binary, seed=0)
    model = xgboost.XGBClassifier(n_estimators=N_TREES, max_depth=DEPTH, random_state=0).fit(columns, target)

    def contenders() -> Iterator[Contender]:
        yield Contender("XGBoost", model.predict_proba, 10**6, 0.0)
        if find_spec("tl2cgen") and not binary:
            import treelite

            # It gives the second class's share alone.
            yield compile_treelite(
                lambda: treelite.frontend.from_xgboost(model.get_booster()),
                lambda got: np.stack([1 - got.reshape(-1), got.reshape(-1)], axis=1),
            )

    kind = "binary" if binary else "numeric"
    title = f"XGBClassifier, {N_TREES} trees of depth {DEPTH}, {N_COLUMNS} {kind} columns: predict_proba"
    return Source(f"XGBoost, {kind}", title, model, make_rows_of(binary), contenders)


def make_lightgbm() -> Source:
    import lightgbm

    columns, target = make_data(N_TRAIN, binary=False, seed=0)
    model = lightgbm.LGBMClassifier(n_estimators=N_TREES, random_state=0, verbose=-1).fit(columns, target)

    def contenders() -> Iterator[Contender]:
        yield Contender("LightGBM", model.booster_.predict, 10**6, 0.0, lambda got: np.stack([1 - got, got], axis=1))

    title = f"LGBMClassifier, {N_TREES} trees of 31 leaves, {N_COLUMNS} numeric columns: predict_proba"
    return Source("LightGBM", title, model, make_rows_of(False), contenders)


def make_logic_network() -> Source:
    """Random gates: what a gate is doesn't change what it costs."""
    import torch
    from torchlogix.layers import GroupSum, LogicDense

    torch.manual_seed(0)
    widths = [N_COLUMNS, 4_000, 4_000, 4_000]
    layers = [LogicDense(a, b, device="cpu") for a, b in pairwise(widths)]
    network = torch.nn.Sequential(*layers, GroupSum(10)).eval()

    def contenders() -> Iterator[Contender]:
        def run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.no_grad():
                return np.asarray(torch.cat([network(part) for part in torch.from_numpy(rows).split(2_000)]))

        yield Contender("torchlogix (eval)", run, 2_000, 0.0)

        from torchlogix import CompiledLogicNet

        compiled = CompiledLogicNet(network, input_shape=(N_COLUMNS,), num_bits=64)
        _, seconds = time_call(lambda: compiled.compile(opt_level=1))

        def run_compiled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            padded = np.zeros((-(-len(rows) // 64) * 64, rows.shape[1]), np.bool_)  # 0.1 fails on less than half of 64
            padded[: len(rows)] = rows
            return np.asarray(compiled(torch.from_numpy(padded)))[: len(rows)]

        note = "one core's rate times the cores"
        yield Contender("torchlogix, compiled", run_compiled, 200_000, seconds, cores=2, note=note)

    title = f"a logic-gate network, {' -> '.join(map(str, widths))} -> 10 classes: the sums of its groups"
    return Source("logic network", title, network, make_rows_of(True), contenders, method="decision_function")


def make_foldrm(name: str) -> Source:
    folder = SHARED / "fixtures" / "foldrm"
    table = foldrm.load_table(folder / f"{name}.csv")
    n_here = len(table.answers)

    def make_rows(n: int) -> Any:
        import pyarrow.csv

        options = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
        whole = pyarrow.csv.read_csv(folder / f"{name}.csv", convert_options=options)
        return whole.take(np.arange(n) % n_here)

    path = folder / f"{name}.simple.lp"

    def contenders() -> Iterator[Contender]:
        if find_spec("foldrm"):
            from foldrm import predict

            program = foldrm.load_rules(path).program
            rules, rows = foldrm.to_foldrm(program, list(table.columns)), foldrm.to_rows(table, program)
            note = "one core's rate times the cores; the fixture's rows, in its own form"
            yield Contender(
                "FOLD-RM's evaluator", lambda _: predict(rules, rows), 10**7, 0.0, own_rows=n_here, cores=2, note=note
            )
        if find_spec("clingo"):
            text = foldrm.to_clingo((folder / f"{name}.full.lp").read_text(encoding="utf-8"), table, range(N_GROUNDED))
            note = "one core's rate times the cores; grounds and solves the first rows of the fixture"
            yield Contender(
                "clingo",
                lambda _: foldrm.run_clingo(text, N_GROUNDED),
                10**7,
                0.0,
                lambda got: np.array([answer or None for answer in got], object),
                own_rows=N_GROUNDED,
                cores=2,
                note=note,
            )

    title = f"FOLD-RM's {name}, from an Arrow table: classes"
    return Source(f"FOLD-RM {name}", title, str(path), make_rows, contenders)


def compile_treelite(make_model: Callable[[], Any], answers: Callable[[Any], NDArray[Any]] | None = None) -> Contender:
    """treelite's compiled predictor (tl2cgen); its matrix is made of the rows within the time, as ours is."""
    import tl2cgen

    folder = tempfile.mkdtemp()
    path = Path(folder) / "model.so"
    settings = {"parallel_comp": 16}
    make = lambda: tl2cgen.export_lib(make_model(), toolchain="gcc", libpath=str(path), params=settings)  # noqa: E731
    _, seconds = time_call(make)
    predictor = tl2cgen.Predictor(str(path), nthread=2)

    def run(rows: NDArray[np.float32]) -> Any:
        return predictor.predict(tl2cgen.DMatrix(rows))

    take = answers or (lambda got: np.asarray(got).reshape(len(got), -1))
    return Contender("treelite, compiled (tl2cgen)", run, MOST_OF_COMPILED, seconds, take)


def run_onnx(model: Any, columns: NDArray[np.float32]) -> Contender:
    """ONNX Runtime on what skl2onnx makes of the model."""
    import onnxruntime
    from skl2onnx import to_onnx

    def make() -> Any:
        proto = to_onnx(model, columns[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
        return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    session, seconds = time_call(make)
    name = session.get_inputs()[0].name
    return Contender("ONNX Runtime", lambda rows: session.run(None, {name: rows})[1], 10**6, seconds)


def name_missing(packages: Sequence[str]) -> list[str]:
    return [package for package in packages if find_spec(package) is None]
