"""Models of other tools for `python -m bench frontends`: trained here, with who else answers for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import foldrm
from bench.contenders import (
    ALL_CORES,
    MICROSECONDS,
    Candidate,
    Contender,
    offer_apart,
    offer_hummingbird,
    offer_onedal,
    offer_onnx,
    offer_treelite,
    take_both_shares,
)
from bench.harness import N_CORES, SHARED, time_call

N_COLUMNS, N_TRAIN, N_TREES, DEPTH = 50, 20_000, 100, 8
N_GROUNDED = 200  # rows that clingo answers in one go


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model and its data.

    Attributes:
        name, title: as in rows, and for a person.
        model: what `eric_fast.load` takes.
        make_rows: number of rows -> a table as the source takes it.
        candidates: who else may run it; the source itself first.
        tolerance: by how much sums and shares may differ, which some add in float32.
        method: which of ours gives what theirs do; by default the first that there is of those that `_answer` tries.
    """

    name: str
    title: str
    model: Any
    make_rows: Callable[[int], Any]
    candidates: Sequence[Candidate]
    tolerance: float = 1e-5
    method: str = ""


def make_columns(n_rows: int, lot: np.random.Generator, *, binary: bool) -> NDArray[np.float32]:
    """Columns that are normal, or 0 and 1."""
    columns = lot.standard_normal((n_rows, N_COLUMNS), np.float32)
    return (columns > 0).astype(np.float32) if binary else columns


def make_data(n_rows: int, *, binary: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Columns, and classes that follow from some of them, a tenth of them wrong."""
    lot = np.random.default_rng(0)
    columns = make_columns(n_rows, lot, binary=binary)
    score = columns[:, :10] @ np.arange(1, 11) + 5 * columns[:, 10] * columns[:, 11] + 3 * columns[:, 12:20].sum(axis=1)
    middle = np.quantile(score, 0.5)
    return columns, ((score > middle) ^ (lot.random(n_rows) < 0.1)).astype(np.int64)


def make_rows_of(binary: bool) -> Callable[[int], NDArray[np.float32]]:
    return lambda n: make_columns(n, np.random.default_rng(1), binary=binary)


def make_forest(name: str, *, binary: bool) -> Source:
    from sklearn.ensemble import RandomForestClassifier

    columns, target = make_data(N_TRAIN, binary=binary)
    forest = RandomForestClassifier(N_TREES, max_depth=DEPTH, random_state=0, n_jobs=-1).fit(columns, target)

    candidates = (
        Candidate("scikit-learn", lambda who: Contender(who, forest.predict_proba, MICROSECONDS)),
        offer_treelite(lambda: to_treelite(forest)),
        offer_hummingbird(forest, columns),
        offer_onnx(forest, columns),
        offer_onedal(lambda path: to_treelite(forest).serialize(path), "model.treelite", "treelite"),
    )
    title = f"RandomForestClassifier, {N_TREES} trees of depth {DEPTH}, {N_COLUMNS} {name} columns: predict_proba"
    return Source(f"forest, {name}", title, forest, make_rows_of(binary), candidates)


def make_hist_boosting() -> Source:
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns, target = make_data(N_TRAIN, binary=False)
    model = HistGradientBoostingClassifier(max_iter=N_TREES, random_state=0, early_stopping=False).fit(columns, target)

    candidates = (  # skl2onnx 1.20 can't convert it
        Candidate("scikit-learn", lambda who: Contender(who, model.predict_proba, MICROSECONDS)),
        offer_onedal(lambda path: to_treelite(model).serialize(path), "model.treelite", "treelite"),
    )
    title = f"HistGradientBoostingClassifier, {N_TREES} trees of 31 leaves, {N_COLUMNS} numeric columns: predict_proba"
    return Source("histogram boosting", title, model, make_rows_of(False), candidates)


def to_treelite(model: Any) -> Any:
    import treelite

    return treelite.sklearn.import_model(model)


def make_xgboost(*, binary: bool) -> Source:
    import xgboost

    columns, target = make_data(N_TRAIN, binary=binary)
    model = xgboost.XGBClassifier(n_estimators=N_TREES, max_depth=DEPTH, random_state=0).fit(columns, target)

    def import_booster() -> Any:
        import treelite

        return treelite.frontend.from_xgboost(model.get_booster())

    candidates = [
        Candidate("XGBoost", lambda who: Contender(who, model.predict_proba)),
        offer_onedal(model.get_booster().save_model, "model.ubj"),
    ]
    if not binary:
        candidates.insert(1, offer_treelite(import_booster, take_both_shares))
    kind = "binary" if binary else "numeric"
    title = f"XGBClassifier, {N_TREES} trees of depth {DEPTH}, {N_COLUMNS} {kind} columns: predict_proba"
    return Source(f"XGBoost, {kind}", title, model, make_rows_of(binary), candidates)


def make_lightgbm() -> Source:
    import lightgbm

    columns, target = make_data(N_TRAIN, binary=False)
    model = lightgbm.LGBMClassifier(n_estimators=N_TREES, random_state=0, verbose=-1).fit(columns, target)

    candidates = (
        Candidate(
            "LightGBM", lambda who: Contender(who, model.booster_.predict, MICROSECONDS, answers=take_both_shares)
        ),
        offer_apart("lleaves", "lleaves", model.booster_.save_model, "model.txt", take_both_shares),
        offer_onedal(model.booster_.save_model, "model.txt"),
    )
    title = f"LGBMClassifier, {N_TREES} trees of 31 leaves, {N_COLUMNS} numeric columns: predict_proba"
    return Source("LightGBM", title, model, make_rows_of(False), candidates)


def make_logic_network() -> Source:
    """Random gates: those that torchlogix begins with only pass on their first input."""
    import torch
    from torchlogix.layers import GroupSum, LogicDense

    torch.manual_seed(0)
    widths, n_groups = [N_COLUMNS, 4_000, 4_000, 4_000], 10
    layers = [LogicDense(a, b, device="cpu") for a, b in pairwise(widths)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight)
    network = torch.nn.Sequential(*layers, GroupSum(n_groups)).eval()

    def run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(torch.cat([network(part) for part in torch.from_numpy(rows).split(2_000)]))

    def compile_network(who: str) -> Contender:
        from torchlogix import CompiledLogicNet

        compiled = CompiledLogicNet(network, input_shape=(N_COLUMNS,), num_bits=64)
        _, seconds = time_call(lambda: compiled.compile(opt_level=1))

        def run_compiled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            padded = np.zeros((-(-len(rows) // 64) * 64, rows.shape[1]), np.bool_)  # 0.1 fails on less than half of 64
            padded[: len(rows)] = rows
            return np.asarray(compiled(torch.from_numpy(padded)))[: len(rows)]

        return Contender(who, run_compiled, MICROSECONDS, seconds, cores=N_CORES, note=ALL_CORES)

    def save(path: Path) -> None:
        arrays: dict[str, Any] = {"n_layers": len(layers), "n_groups": n_groups}
        for i, layer in enumerate(layers):
            arrays[f"n_inputs{i}"] = layer.in_dim
            arrays[f"weight{i}"] = layer.weight.detach().numpy()
            arrays[f"wires{i}"] = layer.connections.indices.numpy()
        np.savez(path, **arrays)

    circuit = "torchlogix 0.2.2, circuit"
    candidates = (
        Candidate("torchlogix 0.1.1 (eval)", lambda who: Contender(who, run, 2_000)),
        Candidate("torchlogix 0.1.1, compiled", compile_network),
        offer_apart(circuit, "torchlogix", save, "model.npz", cores=N_CORES, note=ALL_CORES),
    )
    title = f"a logic-gate network, {' -> '.join(map(str, widths))} -> 10 classes: the sums of its groups"
    return Source("logic network", title, network, make_rows_of(True), candidates, method="decision_function")


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

    def evaluate(who: str) -> Contender:
        from foldrm import predict

        program = foldrm.load_rules(path).program
        rules, rows = foldrm.to_foldrm(program, list(table.columns)), foldrm.to_rows(table, program)
        note = f"{ALL_CORES}; the fixture's rows, in its own form"
        return Contender(who, lambda _: predict(rules, rows), own_rows=n_here, cores=N_CORES, note=note)

    def ground(who: str) -> Contender:
        text = foldrm.to_clingo((folder / f"{name}.full.lp").read_text(encoding="utf-8"), table, range(N_GROUNDED))
        return Contender(
            who,
            lambda _: foldrm.run_clingo(text, N_GROUNDED),
            answers=lambda got: np.array([answer or None for answer in got], object),
            own_rows=N_GROUNDED,
            cores=N_CORES,
            note=f"{ALL_CORES}; grounds and solves the first rows of the fixture",
        )

    candidates = (
        Candidate("FOLD-RM's evaluator", evaluate, ("foldrm",)),
        Candidate("clingo", ground, ("clingo",)),
    )
    title = f"FOLD-RM's {name}, from an Arrow table: classes"
    return Source(f"FOLD-RM {name}", title, str(path), make_rows, candidates)


SOURCES: dict[str, Callable[[], Source]] = {
    "forest, numeric": lambda: make_forest("numeric", binary=False),
    "forest, binary": lambda: make_forest("binary", binary=True),
    "histogram boosting": make_hist_boosting,
    "XGBoost, numeric": lambda: make_xgboost(binary=False),
    "XGBoost, binary": lambda: make_xgboost(binary=True),
    "LightGBM": make_lightgbm,
    "logic network": make_logic_network,
    **{f"FOLD-RM {name}": partial(make_foldrm, name) for name in foldrm.NAMES},
}
