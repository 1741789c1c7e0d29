"""Compile what most programs need, before it is needed: `python -m eric_fast.warm_up`.

It takes a minute or two on two cores, once for each version, CPU and user; then nothing that this module runs is
compiled again. For images of containers, and before tests. Stages that share little code run side by side.
"""

import argparse
import hashlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Those that take longest first; what the later ones run, the others have compiled.
STAGES, LATER_STAGES = ("plan", "evaluate", "lower", "grow", "maps"), ("tables", "networks")
_MADE_BY = "warm_up"  # a stamp in the folder of compiled code: that these sources have been compiled for this CPU


def warm_up(stages: tuple[str, ...] = STAGES + LATER_STAGES) -> dict[str, float]:
    """Run what most programs need, so that it is compiled and kept. Return the functions that had to be compiled.

    Returns:
        Name of a function -> seconds, those of the functions that it calls included.
    """
    from numba.core import event

    from eric_fast.jit import SlowBudget

    SlowBudget.is_open = False
    with event.install_recorder("numba:compile") as recorder:
        for stage in stages:
            _RUN[stage]()
    started: list[float] = []
    seconds: dict[str, float] = {}
    for moment, found in recorder.buffer:
        if found.is_start:
            started.append(moment)
            continue
        function = found.data["dispatcher"].py_func
        took = moment - started.pop()
        if function.__module__.startswith("eric_fast."):
            name = f"{function.__module__}.{function.__qualname__}"
            seconds[name] = seconds.get(name, 0.0) + took
    return seconds


def _list_programs() -> Iterator[Any]:
    """Lists, votes, counts, trees and sums, over one layer and over two."""
    from eric_fast.program import ClassRule, Decision, InputAtom, Program, Quantiser, Rule

    atoms = tuple(InputAtom(f"f{k // 6}", k % 6, ">", 0.0) for k in range(12))
    pairs = [Rule(6 + k % 4, (k, ~((k + 1) % 6))) for k in range(6)]
    triples = [Rule(6 + k % 4, (~k, (k + 2) % 6, (k + 3) % 6)) for k in range(6)]
    sums = [Rule(10, (0, 1, ~2), weights=(2, 1, 1), bound=2), Rule(11, ())]
    tree = [(6, 7), (6, ~7), (~6, 8, 9), (~6, 8, ~9), (~6, ~8)]
    plain = [(6, 10), (7, ~11), (8,), (9, 10), (6, 9, ~10), (~6, ~7), (10, 11), (8, 9)]
    rest: dict[str, Any] = {"kernel_rules": (*pairs, *triples, *sums), "negated": (8,), "default": 0}
    for decision, weights in (
        (Decision.FIRST, (1.0,)),
        (Decision.VOTE, (1.0, 2.0, -1.0)),
        (Decision.VOTE, (0.3, 0.7, -0.1)),
    ):
        for bodies in (tree + plain, tree * 3, plain):
            for also in ((), ((2, 0.25),)) if decision is Decision.VOTE else ((),):
                rules = (
                    ClassRule(i % 2, body, weight=weights[i % len(weights)], also=also) for i, body in enumerate(bodies)
                )
                yield Program(Quantiser(atoms), ("a", "b", "c"), tuple(rules), decision=decision, **rest)


def _compile_plans() -> None:
    """Code for a level of CPU is tried here, too: its plans are those of plain Python."""
    import torch

    from eric_fast.compile.program import compile_program

    plans = _make_plans()
    for (program, start), plain in zip(_list_starts(), plans, strict=True):
        for name, found in vars(compile_program(program, start).steps).items():
            expected = getattr(plain.steps, name)
            assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected, name


def _list_starts() -> list[tuple[Any, str]]:
    return [(program, start) for program in _list_programs() for start in ("f0", "f1")]


@cache
def _make_plans() -> list[Any]:
    """Plans by plain Python, unless there is code already: a stage that compiles something else needn't wait for it."""
    from eric_fast.compile.program import compile_program
    from eric_fast.jit import SlowBudget

    SlowBudget.is_open = True
    plans = [compile_program(program, start) for program, start in _list_starts()]
    SlowBudget.is_open = False
    return plans


def _ask_everything(plan: Any, n_samples: int) -> dict[str, Any]:
    import torch

    truths = torch.zeros(1, n_samples, dtype=torch.int64)
    return {"scores": plan.votes, "rows": range(plan.n_rows), "counts": True, "truths": truths, "leaves": True}


def _evaluate_plans() -> None:
    import torch

    from eric_fast import kernels
    from eric_fast.bits import pack_bits
    from eric_fast.kernels.outcome import expect

    for plan in _make_plans():
        for n_samples in (40, 3000):
            words = pack_bits(torch.arange(n_samples * plan.n_inputs).view(n_samples, -1) % 3 == 0)
            everything = _ask_everything(plan, n_samples)
            for wanted in ({}, {"rules": False}, everything, {"class_dtype": torch.int16}):
                found = kernels.evaluate(plan, words, n_samples, engine="cpu", **wanted)
                if n_samples == 40:  # code for a level of CPU is tried here, too
                    meant = kernels.evaluate(plan, words, n_samples, engine="reference", **wanted)
                    assert all(one is None or one.equal(expect(other)) for one, other in zip(found, meant, strict=True))


def _lower_plans() -> None:
    """For the GPU."""
    import torch

    from eric_fast import kernels
    from eric_fast.kernels.gpu.lower import lower_plan
    from eric_fast.kernels.liveness import find_result_kinds

    for plan in _make_plans():
        kinds = find_result_kinds(plan, kernels.Request(**_ask_everything(plan, 40)))
        lower_plan(plan, torch.device("cpu"), kinds, counts=True)


def _grow_trees() -> None:
    import torch

    from eric_fast import kernels
    from eric_fast.bits import pack_bits

    for n_atoms in (20, 300):
        truth = torch.arange(200 * n_atoms).view(200, n_atoms) % 7 < 3
        truth[:, 1::2] ^= torch.arange(200)[:, None] % 5 == 0
        bits = pack_bits(truth)
        for targets in (bits[:2], torch.arange(400).view(2, 200) % 3):
            for criterion in (kernels.GINI, kernels.ENTROPY):
                for most in (kernels.NO_LIMIT, 5):
                    limits = kernels.Limits(criterion=criterion, max_leaves=most)
                    for weights in (None, torch.arange(200) % 3):
                        kernels.grow(bits, 200, targets, limits, weights=weights, engine="cpu")
        kernels.count(bits, bits[:3], engine="cpu")


def _ask_tables() -> None:
    import numpy as np
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    from eric_fast.frontends.registry import load
    from eric_fast.table.estimator import EricClassifier
    from eric_fast.table.fold_classifier import FoldClassifier

    x = np.random.default_rng(0).normal(size=(1500, 40)).round(1)  # more rows than are walked
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] + x[:, 2] > 0.5)
    for estimator, target in (
        (RandomForestClassifier(12, max_depth=6, random_state=0), y),
        (GradientBoostingRegressor(n_estimators=12, random_state=0), x[:, 3]),
        (DecisionTreeClassifier(max_leaf_nodes=9), y > 0),
    ):
        model = load(estimator.fit(x, target))
        for rows in (x, x.astype(np.float32), x[:3], x[:3].astype(np.float32), np.asfortranarray(x)):
            model.predict(rows)
        if hasattr(estimator, "predict_proba"):
            model.predict_proba(x)
        model.apply(x)
    for learner in (EricClassifier(), FoldClassifier()):
        learner.fit(x[:200, :4], y[:200]).predict(x[:, :4])


def _pack_maps() -> None:
    import torch

    from eric_fast import kernels

    signs = torch.ones(5, dtype=torch.int8)
    for dtype in (torch.float32, torch.bfloat16):
        for layout in (torch.contiguous_format, torch.channels_last):
            for norm in ("l1", "l2", "max"):
                maps = torch.rand(3, 5, 4, 4).to(dtype).contiguous(memory_format=layout)
                kernels.pack_maps(maps, torch.zeros(5), signs, norm=norm, engine="cpu")
    for dtype in (torch.float32, torch.float64):
        for columns in (torch.rand(40, 5, dtype=dtype), torch.rand(5, 40, dtype=dtype).T):
            kernels.pack_columns(columns, None, torch.zeros(5, dtype=dtype), signs, engine="cpu")


def _read_networks() -> None:
    import torch

    from eric_fast.analyse import analyse_program
    from eric_fast.runs import approximate_model, evaluate_chains
    from eric_fast.store.activations import Activations, CaptureSettings

    hidden = torch.arange(300) % 3
    generator = torch.Generator().manual_seed(0)
    norms = {
        layer: (hidden[:, None] == torch.arange(n) % 3).float() + torch.rand(300, n, generator=generator)
        for layer, n in (("f0", 9), ("f1", 8), ("f2", 7))
    }
    activations = Activations(
        norms=norms,
        ids=[str(i) for i in range(300)],
        labels=hidden,
        predictions=hidden,
        logits=norms["f2"][:, :3].half(),
        classes=("a", "b", "c"),
        settings=CaptureSettings(model="made", fingerprint="", data="up"),
    )
    for rules in ("trees", "weights"):
        program = approximate_model(activations, layers=["all"], rules=rules, min_leaf=5)
        evaluate_chains(program, activations)
    analyse_program(program, activations)
    approximate_model(activations, votes="single", fit="logistic")


_RUN: dict[str, Callable[[], None]] = {
    "plan": _compile_plans,
    "evaluate": _evaluate_plans,
    "lower": _lower_plans,
    "grow": _grow_trees,
    "maps": _pack_maps,
    "tables": _ask_tables,
    "networks": _read_networks,
}


def find_stamp() -> Path:
    """A file that is there once these sources have been compiled for this CPU."""
    from llvmlite import binding

    from eric_fast.jit.cache import find_kept

    package = Path(__file__).parent
    made_of = hashlib.sha256(f"{platform.python_version()} {version('numba')} {version('numpy')}".encode())
    for path in sorted([*package.rglob("*.py"), *(package / "kernels").rglob("*.py")]):
        made_of.update(path.read_bytes())
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_CPU")]
    made_of.update(repr((binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), settings)).encode())
    return find_kept() / f"{_MADE_BY}-{made_of.hexdigest()[:32]}"


def main() -> None:
    most = min(4, len(os.sched_getaffinity(0)))
    parser = argparse.ArgumentParser(prog="python -m eric_fast.warm_up", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if something had to be compiled")
    parser.add_argument("--processes", type=int, default=most, metavar="N", help=f"{most} by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    stamp = find_stamp()
    if stamp.exists() and not (arguments.check or os.environ.get("ERIC_FAST_CARRY_TO")):
        print(f"compiled already: {stamp.parent}")
        return
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    if arguments.check or arguments.processes < 2:
        seconds = warm_up()
    else:
        with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
            for stages in (STAGES, LATER_STAGES):
                for found in list(pool.map(warm_up, [(stage,) for stage in stages])):
                    seconds |= found
    if arguments.check and seconds:
        sys.exit(f"these functions had to be compiled: {', '.join(sorted(seconds))}")
    stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp.touch()
    print(f"compiled {len(seconds)} functions in {time.perf_counter() - started:.0f} s: {stamp.parent}")


if __name__ == "__main__":
    main()
