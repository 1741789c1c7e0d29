"""Growing trees: all kernel trees and the class tree of cifar10_vgg against scikit-learn, XGBoost and LightGBM; growth.

Everybody starts from what they take: we from packed bits, the others from a matrix of their own, made off the clock.
Compiling is off the clock too (a warm-up run). Rivals grow every 16th tree of each layer, and their seconds are scaled
by the number of trees, unless `--full`.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from bench.harness import N_CORES, Timing, describe_machine, run_tests_first, time_runs
from bench.limits import describe_vectors
from bench.screen import print_dicts
from bench.tables import capture_cifar
from eric_fast.bits import BitMatrix
from eric_fast.extract import TreeOptions, grow_trees
from eric_fast.kernels import Forest
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.show.console import show_notes, show_progress

MIN_LEAF = 250
STEP = 16  # rivals grow every 16th tree
OPTIONS = TreeOptions(min_leaf=MIN_LEAF)
Columns = NDArray[np.float32]
Goal = NDArray[np.int64]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the tables: who grows the trees of cifar10_vgg how fast, how alike they are, and how growth grows."""
    run_tests_first("test_trees.py", "test_count.py")
    show_notes()
    with show_progress() as progress:
        train = capture_cifar("train", progress)
    quantiser = fit_quantiser(train)
    bits = quantise_activations(train, quantiser)
    layers = [bits.select_atoms([a.name for a in quantiser.atoms_of_layer(layer)]) for layer in quantiser.layers]
    rows = list(_time_network(layers, train.predictions, 1 if full else STEP))
    print_dicts("all kernel trees and the class tree, minimum leaf 250", rows, names=("case", "who"))
    alike = list(_compare_leaves(layers, train.predictions, 1 if full else STEP))
    print_dicts("the same trees: leaves and bits of impurity left in them", alike, names=("case", "who"))
    growth = list(_measure_growth())
    print_dicts("growth: made-up bits, one leaf in 200 samples at least", growth, names=("case", "who"))
    machine = {**describe_machine("xgboost-cpu", "lightgbm"), "vectors": describe_vectors()}
    return {"machine": machine, "rows": rows, "alike": alike, "growth": growth}


def _time_network(layers: list[BitMatrix], predictions: torch.Tensor, step: int) -> Iterator[dict[str, Any]]:
    pairs = list(pairwise(layers))

    def grow_all() -> None:
        grow_trees(layers[-1], predictions, OPTIONS)
        for below, own in pairs:
            grow_trees(below, own, OPTIONS)

    size = {
        "n_samples": layers[0].n_samples,
        "n_targets": 1 + sum(len(own.atoms) for _, own in pairs),
        "n_atoms": max(len(layer.atoms) for layer in layers),
    }
    ours = time_runs(grow_all, n_runs=15, n_warmups=2)
    rivals: dict[str, Callable[[Columns, Goal, int], Any]] = {"scikit-learn": _fit_sklearn}
    rivals |= {name: fit for name, fit in (("xgboost", _fit_xgboost), ("lightgbm", _fit_lightgbm)) if find_spec(name)}
    seconds = {name: _time_rival(fit, layers, predictions, step) for name, fit in rivals.items()}
    base = seconds["scikit-learn"]
    yield _row("network", "eric_fast", size, ours, base)
    for name, whole in seconds.items():
        yield _row("network", name, size, Timing(whole, whole, whole, 1), base) | {"every": step}


def _row(case: str, who: str, size: dict[str, int], timing: Timing, sklearn_s: float) -> dict[str, Any]:
    return {"case": case, "who": who, **size, **timing._asdict(), "ratio_to_sklearn": sklearn_s / timing.median_s}


def _time_rival(
    fit: Callable[[Columns, Goal, int], Any], layers: list[BitMatrix], predictions: torch.Tensor, step: int
) -> float:
    """Seconds for all trees, two at a time: those of every `step`-th target, times how many they stand for."""
    columns = [np.ascontiguousarray(layer.to_bools().numpy(), np.float32) for layer in layers]
    total = time_runs(
        lambda: fit(columns[-1], predictions.numpy(), int(predictions.max()) + 1), n_runs=1, n_warmups=1
    ).median_s
    for below, own in pairwise(columns):
        goals = [own[:, k].astype(np.int64) for k in range(0, own.shape[1], step)]
        with ThreadPoolExecutor(N_CORES) as pool:

            def grow(below: Columns = below, goals: list[Goal] = goals, pool: ThreadPoolExecutor = pool) -> None:
                list(pool.map(lambda goal: fit(below, goal, 2), goals))

            total += time_runs(grow, n_runs=1, n_warmups=0).median_s * own.shape[1] / len(goals)
    return total


def _fit_sklearn(columns: Columns, goal: Goal, n_values: int) -> DecisionTreeClassifier:
    fitted = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=MIN_LEAF, random_state=0)
    return fitted.fit(columns, goal, check_input=False)


def _fit_xgboost(columns: Columns, goal: Goal, n_values: int) -> Any:
    """One tree of `hist`, whose own gain and minimum (a sum of hessians) stand for entropy and samples in a leaf."""
    import xgboost

    objective = {"objective": "binary:logistic"} if n_values == 2 else {"objective": "multi:softmax"}
    classes = {} if n_values == 2 else {"num_class": n_values}
    settings = {**objective, **classes, "tree_method": "hist", "max_bin": 2, "max_depth": 0, "nthread": 1}
    data = xgboost.QuantileDMatrix(columns, goal, max_bin=2, nthread=1)
    return xgboost.train({**settings, "min_child_weight": MIN_LEAF / 4}, data, num_boost_round=1)


def _fit_lightgbm(columns: Columns, goal: Goal, n_values: int) -> Any:
    import lightgbm

    objective = {"objective": "binary"} if n_values == 2 else {"objective": "multiclass", "num_class": n_values}
    settings = {**objective, "min_data_in_leaf": MIN_LEAF, "num_leaves": 4096, "max_bin": 2, "num_threads": 1}
    data = lightgbm.Dataset(columns, goal, params={"max_bin": 2, "verbose": -1})
    return lightgbm.train({**settings, "verbose": -1}, data, num_boost_round=1)


def _compare_leaves(layers: list[BitMatrix], predictions: torch.Tensor, step: int) -> Iterator[dict[str, Any]]:
    """Leaves and total impurity, ours and scikit-learn's, of the class tree and every `step`-th of each layer."""
    yield _compare("classes", layers[-1], predictions, [predictions.numpy()])
    for number, (below, own) in enumerate(pairwise(layers), 1):
        chosen = own.select_atoms(own.atoms[::step])
        yield _compare(f"layer {number}", below, chosen, list(chosen.to_bools().numpy().astype(np.int64).T))


def _compare(case: str, inputs: BitMatrix, targets: Any, goals: list[Goal]) -> dict[str, Any]:
    forest = grow_trees(inputs, targets, OPTIONS)
    columns = np.ascontiguousarray(inputs.to_bools().numpy(), np.float32)
    with ThreadPoolExecutor(N_CORES) as pool:
        trees = [fitted.tree_ for fitted in pool.map(lambda goal: _fit_sklearn(columns, goal, 2), goals)]
    ends = [tree.children_left < 0 for tree in trees]
    theirs = [(tree.impurity * tree.n_node_samples)[end].sum() for tree, end in zip(trees, ends, strict=True)]
    return {
        "case": case,
        "n_trees": len(goals),
        "leaves": int((forest.feature < 0).sum()),
        "sklearn_leaves": int(sum(end.sum() for end in ends)),
        "impurity": _sum_impurity(forest),
        "sklearn_impurity": float(sum(theirs)),
    }


def _sum_impurity(forest: Forest) -> float:
    counts = forest.counts[forest.feature < 0].double()
    return float(-(counts * (counts / counts.sum(dim=1, keepdim=True)).clamp(min=1e-300).log2()).sum())


def _measure_growth() -> Iterator[dict[str, Any]]:
    for n_samples in (10_000, 50_000, 250_000, 1_281_167):
        yield _measure_size("samples", n_samples, 256, 64)
    for n_atoms in (64, 128, 256, 512, 1024, 2048):
        yield _measure_size("atoms", 50_000, n_atoms, 64)
    for n_targets in (1, 64, 512, 2048):
        yield _measure_size("targets", 50_000, 256, n_targets)


def _measure_size(case: str, n_samples: int, n_atoms: int, n_targets: int) -> dict[str, Any]:
    """Seconds, and the memory that growth takes besides its input and output, against twice the packed bits of both."""
    inputs, targets = (_make_bits(n_samples, n, seed) for seed, n in enumerate((n_atoms, n_targets)))
    options = TreeOptions(min_leaf=0.005)
    timing = time_runs(lambda: grow_trees(inputs, targets, options), n_runs=3)
    tracemalloc.start()
    forest = grow_trees(inputs, targets, options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    packed = 4 * (inputs.words.numel() + targets.words.numel())
    return {
        "case": case,
        "n_samples": n_samples,
        "n_atoms": n_atoms,
        "n_targets": n_targets,
        **timing._asdict(),
        "ns_per_sample_and_target": timing.median_s / n_samples / n_targets * 1e9,
        "leaves": int((forest.feature < 0).sum()),
        "memory_mb": (packed + peak - sum(part.nbytes for part in forest)) / 1e6,
        "allowed_mb": (2 * packed + 8 * n_samples * N_CORES) / 1e6,
    }


def _make_bits(n_samples: int, n_atoms: int, seed: int) -> BitMatrix:
    """Bits that hang together through twelve hidden causes, the same for every seed: trees find something."""
    causes = torch.randn(n_samples, 12, generator=torch.Generator().manual_seed(100))
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(12, n_atoms, generator=generator)
    words = [
        (causes @ part + torch.randn(n_samples, part.shape[1], generator=generator) > 1) for part in mixing.split(64, 1)
    ]
    return BitMatrix.from_bools(torch.cat(words, dim=1), [f"{seed}.{i}" for i in range(n_atoms)])
