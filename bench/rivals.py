"""What others take for the same programs: each rival warmed up, on all cores, its input ready in its own format.

Each gives answers, which are compared with ours before anything of it is timed. A package that isn't installed is
left out, and named.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bench import dense, foldrm, numpy_bits
from bench.contenders import compile_treelite
from bench.harness import N_CORES, SHARED
from bench.programs import Case
from bench.trees import Tree, build_class_tree, build_layer_trees, to_sklearn, to_sklearn_forest, to_treelite
from eric_fast import kernels
from eric_fast.bits import unpack_words

ROWS = 50_000  # what rivals are timed on, where not said otherwise
SLOW_ROWS = 10_000
DENSE_ROWS = 2_048
CLINGO_ROWS = 500
FEW_TREES, EVERY_TREE = 10, 4  # of a forest, of a layer: what is compiled, since gcc takes a second for a tree


class Rival(NamedTuple):
    """`run` answers `n_samples` samples; `answers` turns what it gives into what ours gives, `expected`.

    Its rate counts `rate_factor` times: more where it leaves cores idle, less where it runs a part of the trees.
    """

    who: str
    n_samples: int
    run: Callable[[], Any]
    answers: Callable[[Any], NDArray[Any]]
    expected: NDArray[Any]
    rate_factor: float = 1.0
    note: str = ""


def list_rivals(case: Case, full: bool, device: str = "cpu") -> Iterator[Rival]:
    """Those that can run this case; `full`: on more samples."""
    if case.table:
        yield from _list_table_rivals(case)
        return
    if case.forest:
        yield from _list_forest_rivals(case, full, device)
        return
    if len(case.plan.sums.bounds):
        yield from _list_weight_rivals(case)
        return
    yield from _list_bit_rivals(case, full, device)
    if case.program.classes:
        yield from _list_chain_rivals(case, full, device)


def name_missing() -> list[str]:
    """Rivals that are not installed."""
    packages = {"treelite": "treelite", "tl2cgen": "tl2cgen", "hummingbird": "Hummingbird", "foldrm": "FOLD-RM"}
    return [name for package, name in packages.items() if find_spec(package) is None]


def _list_bit_rivals(case: Case, full: bool, device: str) -> Iterator[Rival]:
    def answers(got: tuple[NDArray[np.uint64] | None, NDArray[np.int32]]) -> NDArray[Any]:
        return got[1] if case.program.classes else np.asarray(got[0])

    n = DENSE_ROWS
    words = case.make_words(n)
    masks = dense.DenseMasks(case.plan, device)
    bits = unpack_words(words, n).to(device)
    expected = kernels.evaluate(case.plan, words, n, **case.wanted)
    rows = case.wanted.get("rows")
    truth = expected.classes
    if truth is None:
        truth = unpack_words(kernels.expect(expected.rows), n)
    yield Rival(
        f"PyTorch, dense masks{' (GPU)' if device == 'cuda' else ''}",
        n,
        lambda: masks.evaluate(bits.float(), rows),
        lambda got: got.cpu().numpy(),
        truth.numpy(),
        note="boolean masks as one float32 matrix product per stratum",
    )
    if device == "cuda":
        return
    for n in (ROWS, 1_281_167) if full or not case.program.classes else (ROWS,):
        words = case.make_words(n)
        expected = kernels.evaluate(case.plan, words, n, **case.wanted)
        packed = words.numpy().view(np.uint64)
        truth = kernels.expect(expected.classes if case.program.classes else expected.rows)
        yield Rival(
            "NumPy, a literal at a time",
            n,
            lambda packed=packed, n=n: numpy_bits.evaluate(case.plan, packed, n, rows),  # type: ignore[misc]
            lambda got: got,
            truth.numpy(),
            note="the same packed words, cut among threads",
        )


def _list_weight_rivals(case: Case) -> Iterator[Rival]:
    n = DENSE_ROWS
    words = case.make_words(n)
    network, bits = dense.DenseWeights(case.program), unpack_words(words, n).float()
    yield Rival(
        "PyTorch, dense weights",
        n,
        lambda: network.evaluate(bits),
        lambda got: got.numpy(),
        kernels.expect(kernels.evaluate(case.plan, words, n, **case.wanted).classes).numpy(),
        note="one float32 matrix product per layer, compared with the bounds",
    )


class Chained(NamedTuple):
    """A layer's trees, what they read (float32 `[n, n_columns]`), and what they answer (bool `[n, n_trees]`)."""

    trees: list[Tree]
    columns: NDArray[np.float32]
    answers: NDArray[np.bool_]


def chain_trees(case: Case, n_samples: int) -> tuple[list[Chained], Tree, NDArray[np.int32]]:
    """Every layer of kernels, the class tree (it reads the last layer's answers), and the classes."""
    outcome = kernels.evaluate(case.plan, case.make_words(n_samples), n_samples, rows=range(case.plan.n_rows))
    bits = torch.empty(len(case.program.atoms), n_samples, dtype=torch.bool)
    bits[case.plan.atoms] = unpack_words(kernels.expect(outcome.rows), n_samples).T
    rows_of = case.program.quantiser.rows_of_layer
    layers = []
    for below, layer in pairwise(case.program.layers):
        columns, answers = (bits[rows_of[x].start : rows_of[x].stop].T.contiguous().numpy() for x in (below, layer))
        layers.append(Chained(build_layer_trees(case.program, layer), columns.astype(np.float32), answers))
    return layers, build_class_tree(case.program), kernels.expect(outcome.classes).numpy()


def _list_chain_rivals(case: Case, full: bool, device: str) -> Iterator[Rival]:
    layers, class_tree, classes = chain_trees(case, ROWS)
    top = layers[-1].answers.astype(np.float32)
    truth = np.concatenate([*(layer.answers for layer in layers), classes[:, None]], axis=1)
    n_trees = truth.shape[1]
    if device == "cpu":
        assert case.grow_layers
        given = [*(layer.columns for layer in layers), top]
        pairs = zip(case.grow_layers(), given, strict=True)
        work = [(to_sklearn(tree, x.shape[1]), x) for trees, x in pairs for tree in trees]
        n_leaves = sum(tree.tree_.n_leaves for tree, _ in work)
        yield Rival(
            "scikit-learn predict",
            ROWS,
            lambda: _map_threads(lambda tree_and_columns: tree_and_columns[0].predict(tree_and_columns[1]), work),
            lambda got: np.stack(got, axis=1),
            truth,
            note=f"the {n_trees} trees as grown, {n_leaves:,} leaves, in threads; float32 columns",
        )
    if device == "cpu" and find_spec("tl2cgen"):
        step = 1 if full else EVERY_TREE
        parts = [(layer.trees[::step], layer.columns) for layer in layers] + [([class_tree], top)]
        chosen = np.concatenate([*(layer.answers[:, ::step] for layer in layers), classes[:, None]], axis=1)
        share = chosen.shape[1] / n_trees
        yield from _list_compiled(parts, chosen, lambda got: np.concatenate(got, axis=1), share)
    if find_spec("hummingbird"):
        n = ROWS if full or device == "cuda" else SLOW_ROWS
        forests = [(to_sklearn_forest(x.trees, x.columns.shape[1]), x.columns[:n]) for x in layers]
        sums = np.stack([layer.answers[:n].sum(axis=1) for layer in layers], axis=1)
        models = [_convert_hummingbird(forest, columns, device) for forest, columns in forests]
        yield Rival(
            f"Hummingbird{' (GPU)' if device == 'cuda' else ''}",
            n,
            lambda: [model(columns) for model, (_, columns) in zip(models, forests, strict=True)],
            lambda got: np.stack(
                [np.rint(shares[:, 1] * len(x.trees)) for shares, x in zip(got, layers, strict=True)], axis=1
            ),
            sums,
            note="a forest per layer (torch), so that it answers the sum of a layer's kernels; without the class tree",
        )


def _list_forest_rivals(case: Case, full: bool, device: str) -> Iterator[Rival]:
    words = case.make_words(ROWS)
    n_columns = case.plan.n_inputs
    columns = unpack_words(words, ROWS).float().numpy()
    outcome = kernels.evaluate(case.plan, words, ROWS, scores=True, rules=False)
    shares = kernels.expect(outcome.scores).numpy() / len(case.forest)
    forest = to_sklearn_forest(case.forest, n_columns)
    if device == "cpu":
        yield Rival(
            "scikit-learn predict", ROWS, lambda: forest.predict_proba(columns), lambda got: got, shares, note="float32"
        )
    if device == "cpu" and find_spec("tl2cgen"):
        import treelite

        part = case.forest if full else case.forest[:: len(case.forest) // FEW_TREES]
        chosen = to_sklearn_forest(part, n_columns)
        model = treelite.sklearn.import_model(chosen)
        share = len(part) / len(case.forest)
        yield from _list_compiled([(model, columns)], chosen.predict_proba(columns), lambda got: got[0], share)
    if find_spec("hummingbird"):
        n = ROWS if device == "cuda" else SLOW_ROWS
        model = _convert_hummingbird(forest, columns[:n], device)
        yield Rival(
            f"Hummingbird{' (GPU)' if device == 'cuda' else ''}",
            n,
            lambda: model(columns[:n]),
            lambda got: got,
            shares[:n],
            note="torch, float32",
        )


def _list_table_rivals(case: Case) -> Iterator[Rival]:
    assert case.table
    name = case.name.removeprefix("d ")
    folder = SHARED / "fixtures" / "foldrm"
    truth = np.array(case.table.answers)
    if find_spec("foldrm"):
        from foldrm import predict

        rules = foldrm.to_foldrm(case.program, list(case.table.columns))
        rows = foldrm.to_rows(case.table, case.program)
        yield Rival(
            "FOLD-RM's evaluator",
            len(rows),
            lambda: predict(rules, rows),
            np.array,
            truth,
            rate_factor=N_CORES,
            note="one core's rate times the cores",
        )
    chosen = range(min(CLINGO_ROWS, len(truth)))
    text = foldrm.to_clingo((folder / f"{name}.full.lp").read_text(encoding="utf-8"), case.table, chosen)
    yield Rival(
        "clingo",
        len(chosen),
        lambda: foldrm.run_clingo(text, len(chosen)),
        np.array,
        truth[: len(chosen)],
        rate_factor=N_CORES,
        note="grounds and solves them in one go; one core's rate times the cores",
    )


def _list_compiled(
    parts: Sequence[tuple[Any, NDArray[np.float32]]],
    truth: NDArray[Any],
    answers: Callable[[Any], NDArray[Any]],
    share: float = 1.0,
) -> Iterator[Rival]:
    """treelite's compiled predictor of this share of the trees: a library for each part, a model or trees for one."""
    import tl2cgen

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = []
        for i, (trees, columns) in enumerate(parts):
            model = to_treelite(trees, columns.shape[1]) if isinstance(trees, list) else trees
            work.append((compile_treelite(model, Path(folder) / f"{i}.so"), tl2cgen.DMatrix(columns)))
        seconds = time.perf_counter() - started
        yield Rival(
            "treelite, compiled (tl2cgen)",
            len(truth),
            lambda: [predictor.predict(matrix) for predictor, matrix in work],
            lambda got: answers([part.reshape(len(truth), -1) for part in got]),
            truth,
            rate_factor=share,
            note=f"gcc took {seconds:.0f} s, not counted; float32 columns in its matrix"
            + (f"; {share:.0%} of the trees, scaled" if share < 1 else ""),
        )


def _convert_hummingbird(forest: Any, columns: NDArray[np.float32], device: str) -> Callable[[Any], NDArray[Any]]:
    from hummingbird.ml import convert

    model = convert(forest, "torch", columns[:2], device=device)
    return lambda given: np.concatenate(
        [model.predict_proba(given[i : i + SLOW_ROWS]) for i in range(0, len(given), SLOW_ROWS)]
    )


def _map_threads(function: Callable[[Any], Any], work: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(N_CORES) as pool:
        return list(pool.map(function, work))
