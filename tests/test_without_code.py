"""Before anything is compiled: plain Python and the reference answer, the same, as long as there is little to do."""

import numpy as np
import pytest
import torch
from numba.core import event
from sklearn.ensemble import RandomForestClassifier

from eric_fast import jit, kernels
from eric_fast.bits import pack_bits
from eric_fast.compile import share
from eric_fast.compile.program import compile_program
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.leaf_paths import count_leaves, write_paths
from eric_fast.jit import plain
from eric_fast.kernels import engines
from eric_fast.table import tree_walk
from tests.engines import make_plan
from tests.make_forests import make_forest_program
from tests.make_programs import make_program
from tests.make_rules import make_shared_program


@pytest.fixture
def no_code(monkeypatch):
    """As if nothing had ever been compiled."""
    monkeypatch.setattr(plain, "has_code", lambda *_: False)
    monkeypatch.setattr(jit, "has_code", lambda *_: False)
    monkeypatch.setattr(engines, "_CODE_SEEN", [])
    monkeypatch.setattr(plain.SlowBudget, "is_open", True)


def make_any_program(seed):
    numbers = np.random.default_rng(seed)
    return make_program(lambda low, high: int(numbers.integers(low, high + 1)), with_sums=True)


@pytest.mark.parametrize("make", [make_forest_program, make_shared_program, make_any_program])
def test_plans_are_the_same_in_plain_python(monkeypatch, make):
    for seed in range(25):
        program = make(seed)
        compiled = vars(compile_program(program).steps)
        with monkeypatch.context() as patch:
            patch.setattr(share, "spare_code", lambda *_: True)
            with event.install_recorder("numba:compile") as recorder:
                steps = vars(compile_program(program).steps)
        assert not recorder.buffer
        for name, value in compiled.items():
            is_same = torch.equal(steps[name], value) if isinstance(value, torch.Tensor) else steps[name] == value
            assert is_same, (seed, name)
            assert not isinstance(value, torch.Tensor) or steps[name].dtype == value.dtype, name


def test_little_work_is_done_without_code_until_the_budget_is_spent(no_code, monkeypatch):
    monkeypatch.setattr(plain, "_STEPS", plain.SlowBudget(5))
    monkeypatch.setattr(count_leaves, "overloads", {})
    trees = (np.array([0]), np.array([1, -1, -1]), np.array([2, -1, -1]))
    assert plain.spare_code(count_leaves, 3, *trees)
    assert not plain.spare_code(count_leaves, 3, *trees)
    assert plain.spare_code(count_leaves, 2, *trees)
    monkeypatch.setattr(plain.SlowBudget, "is_open", False)
    assert not plain.spare_code(count_leaves, 0, *trees)


def test_paths_of_trees_are_the_same_in_plain_python():
    roots, yes, no = np.array([0, 5]), np.array([1, 3, -1, -1, -1, -1]), np.array([2, 4, -1, -1, -1, -1])
    tests = np.array([7, 8, 0, 0, 0, 0], np.int32)
    found = []
    for is_plain in (False, True):
        with jit.run_plain(is_plain):
            leaves, lengths = count_leaves(roots, yes, no)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            found.append((leaves, lengths, write_paths(roots, tests, yes, no, offsets)))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


def test_few_samples_go_to_the_reference_where_nobody_chose_an_engine(no_code, monkeypatch):
    plan, words = make_plan([(0, ~1), (2,)]), pack_bits(torch.ones(10, 3, dtype=torch.bool))
    asked = []
    find = engines.find_operation
    monkeypatch.setattr(kernels, "find_operation", lambda engine, name: asked.append(engine) or find(engine, name))
    for most in (2**36, 10):
        budget = plain.SlowBudget(most)
        monkeypatch.setattr(engines, "_find_budget", lambda budget=budget: budget)
        for engine in ("auto", "cpu"):
            assert kernels.evaluate(plan, words, 10, engine=engine).classes.tolist() == [1] * 10
    assert asked == ["reference", "cpu", "cpu", "cpu"]
    columns, constants = torch.arange(6.0).view(3, 2), torch.zeros(2)
    greater = torch.full((2,), kernels.GREATER, dtype=torch.int8)
    comparisons = kernels.Comparisons(None, constants, greater)
    packed = [kernels.pack_comparisons(columns, comparisons, engine=engine) for engine in ("auto", "cpu")]
    assert torch.equal(*packed)


def test_rows_are_walked_after_some_calls_without_code(no_code, monkeypatch):
    """Each call counts as long as the reference takes, so a process that asks for a row at a time soon compiles."""
    features = np.arange(20.0).reshape(10, 2)
    forest = RandomForestClassifier(20, random_state=0).fit(features, np.arange(10) % 3)
    walker = load(forest).walker
    budget = plain.SlowBudget(3 * tree_walk._SPARED_STEPS * len(walker.nodes))
    monkeypatch.setattr(plain, "_STEPS", budget)
    monkeypatch.setattr(tree_walk.mask_rows, "overloads", {})
    is_walked = [walker.evaluate(features[:1], {"classes": True}) is not None for _ in range(5)]
    assert is_walked == [False, False, False, True, True]
