"""Trees as arrays and as class rules: the rules say what walking down the trees says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import kernels
from eric_fast.compile.program import compile_program
from eric_fast.errors import ProgramError
from eric_fast.frontends.trees.forest import FlatForest, make_leaf_rules, make_program, merge_comparisons
from eric_fast.program.table_atoms import TABLE_OPERATORS, Column, TableAtom, TableAtoms, TableQuantiser
from eric_fast.table import TablePacker
from tests.examples import try_examples

COLUMNS = (Column("a", "float32"), Column("b", "float64"), Column("c", "float64"))
COMPARE = {
    ">": np.greater,
    "<=": np.less_equal,
    "==": np.equal,
    "<": np.less,
    ">=": np.greater_equal,
    "!=": np.not_equal,
}


def grow(rng, n_trees, n_outputs, *, one_output=False, depth=4):
    """A forest of random comparisons, the children of a node in any order; and each test on its own."""
    yes, no, tests, roots = [], [], [], []

    def add(level):
        node = len(yes)
        yes.append(-1)
        no.append(-1)
        tests.append(None)
        if level and rng.random() < 0.8:
            column = int(rng.integers(3))
            operator = list(COMPARE)[rng.integers(6)]
            tests[node] = (column, operator, float(rng.integers(-2, 3)), bool(rng.integers(2)), bool(rng.integers(2)))
            first, second = (yes, no) if rng.integers(2) else (no, yes)
            first[node] = add(level - 1)
            second[node] = add(level - 1)
        return node

    for _ in range(n_trees):
        roots.append(add(depth))
    inner = [node for node, test in enumerate(tests) if test]
    atoms, atom_of_test = merge_comparisons(
        COLUMNS,
        np.array([tests[node][0] for node in inner], int),
        [tests[node][1] for node in inner],
        np.array([tests[node][2] for node in inner]),
        np.array([tests[node][3] for node in inner], bool),
    )
    literals = np.zeros(len(yes), np.int32)
    literals[inner] = [~atom if tests[node][4] else atom for atom, node in zip(atom_of_test, inner, strict=True)]
    values = np.round(rng.normal(size=(len(yes), 1 if one_output else n_outputs)), 1)
    outputs = rng.integers(n_outputs, size=n_trees).astype(np.int32) if one_output else None
    arrays = (np.array(part, np.int64) for part in (roots, yes, no))
    roots, yes, no = arrays
    return FlatForest(COLUMNS, atoms, roots, literals, yes, no, values, outputs), tests


def walk(forest, tests, table, n_outputs):
    """float64 `[n_rows, n_outputs]`, a row and a node at a time."""
    sums = np.zeros((len(table), n_outputs))
    for row, total in zip(table, sums, strict=True):
        for tree, node in enumerate(forest.roots):
            while forest.yes[node] >= 0:
                column, operator, constant, missing, negated = tests[node]
                truth = missing if np.isnan(row[column]) else COMPARE[operator](row[column], constant)
                node = forest.yes[node] if truth != negated else forest.no[node]
            if forest.outputs is None:
                total += forest.values[node]
            else:
                total[forest.outputs[tree]] += forest.values[node, 0]
    return sums


@try_examples(40)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_rules_add_up_what_the_trees_say(seed, n_trees, n_outputs, one_output):
    rng = np.random.default_rng(seed)
    forest, tests = grow(rng, n_trees, n_outputs, one_output=one_output)
    program = make_program(forest, [f"y{i}" for i in range(n_outputs)], decision="sum")
    table = rng.choice([-3.0, -2, -1, -0.0, 0, 1, 2, 3, np.nan, np.inf, -np.inf], size=(40, 3))
    words, n_rows = TablePacker(program.quantiser).pack(table, engine="reference")
    plan = compile_program(program)
    trees = forest.find_trees(forest.leaves[0])
    for engine in ("reference", "cpu"):
        outcome = kernels.evaluate(plan, words, n_rows, engine=engine, scores=True, leaves=True)
        assert (outcome.scores.numpy() == walk(forest, tests, table, n_outputs)).all()
        assert (trees[outcome.leaves.numpy()] == np.arange(n_trees)).all()  # every tree is found, and has one leaf


def test_a_rule_says_its_path_from_yes_to_no():
    atoms, tests = merge_comparisons(COLUMNS, np.array([1, 0]), "<=", np.array([2.0, 1.0]))
    assert tests.tolist() == [1, 0]  # sorted by column
    forest = FlatForest(
        COLUMNS,
        atoms,
        np.array([0, 5]),
        np.array([1, ~0, 0, 0, 0, 0], np.int32),
        np.array([4, 2, -1, -1, -1, -1]),
        np.array([1, 3, -1, -1, -1, -1]),
        np.array([[0, 0], [0, 0], [1, 2], [0, 0], [0, -1.5], [3, 0]]),
    )
    rules = make_leaf_rules(forest)
    assert [(rule.body, rule.head, rule.weight, rule.also) for rule in rules] == [
        ((1,), 0, 0.0, ((1, -1.5),)),
        ((~1, ~0), 1, 2.0, ((0, 1.0),)),
        ((~1, 0), 0, 0.0, ()),
        ((), 0, 3.0, ()),
    ]
    assert forest.leaves[0].tolist() == [4, 2, 3, 5]
    assert forest.find_trees(forest.leaves[0]).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("yes", "no"), [([0, -1], [1, -1]), ([1, -1], [1, -1]), ([1, -1], [-1, -1]), ([1, -1], [7, -1])]
)
def test_what_is_no_tree_is_refused(yes, no):
    forest = FlatForest(
        COLUMNS, (), np.array([0]), np.zeros(2, np.int32), np.array(yes), np.array(no), np.zeros((2, 1))
    )
    with pytest.raises(ProgramError, match="make trees"):
        make_leaf_rules(forest)


def test_comparisons_are_listed_once():
    columns = np.array([2, 0, 2, 0, 2, 2])
    constants = np.array([1.0, 0.0, 1.0, -0.0, 1.0, -1.0])
    operators = ["<=", "<", "<=", "<", "<=", "<="]
    atoms, tests = merge_comparisons(COLUMNS, columns, operators, constants, np.array([0, 0, 0, 0, 1, 0], bool))
    assert list(atoms) == [
        TableAtom(0, "a", "<", 0.0),
        TableAtom(2, "c", "<=", -1.0),
        TableAtom(2, "c", "<=", 1.0),
        TableAtom(2, "c", "<=", 1.0, True),
    ]
    assert tests.tolist() == [2, 0, 2, 0, 3, 1]
    none, no_tests = merge_comparisons(COLUMNS, np.zeros(0, int), "<=", np.zeros(0))
    assert len(none) == len(no_tests) == 0


def make_atoms(columns=(0, 1), operators=("<=", ">"), constants=(1.0, 2.0), missing=(False, True), features="abc"):
    return TableAtoms(
        tuple(features),
        np.array(columns, np.int32),
        np.array([TABLE_OPERATORS.index(name) for name in operators], np.int8),
        np.array(constants, float),
        np.array(missing, bool),
    )


def test_arrays_of_comparisons_are_the_tuple_of_them():
    atoms = make_atoms()
    same = (TableAtom(0, "a", "<=", 1.0), TableAtom(1, "b", ">", 2.0, True))
    assert atoms == same
    assert same == atoms
    assert hash(atoms) == hash(same)
    assert atoms[-1] == atoms[1] == same[1]
    assert atoms[:1] == same[:1]
    assert TableQuantiser(atoms, COLUMNS) == TableQuantiser(same, COLUMNS)
    assert make_atoms(constants=(1.0, 3.0)) != same
    with pytest.raises(IndexError):
        atoms[2]
    table = torch.tensor([[0.0, 9, 9], [2, 1, 1], [torch.nan, torch.nan, 0]], dtype=torch.float64)
    pack = [TablePacker(TableQuantiser(each, COLUMNS)).pack(table)[0] for each in (atoms, same)]
    assert (pack[0] == pack[1]).all()
    assert pack[0][:, 0].tolist() == [0b001, 0b101]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": (0, 3)}, "columns among the 3"),
        ({"operators": ("<=", "in")}, "no operator 'in'"),
        ({"missing": (False,)}, r"missing of comparisons must be bool \[n\]"),
        ({"constants": (0.1, 2.0)}, "float32 can't be compared with 0.1"),
        ({"constants": (np.nan, 2.0)}, "can't be compared with nan"),
        (
            {"columns": (1, 1), "operators": "<<", "constants": (2, 2), "missing": (1, 1)},
            "b < 2.0 or missing occurs twice",
        ),
        ({"features": "abd"}, "not those of the columns"),
    ],
)
def test_wrong_comparisons_are_refused(changes, message):
    with pytest.raises(ProgramError, match=message):
        TableQuantiser(make_atoms(**changes), COLUMNS)


def test_numbers_are_not_compared_with_texts():
    columns = (Column("a", "text"), *COLUMNS[1:])
    with pytest.raises(ProgramError, match="a <= 1.0: a column of text"):
        TableQuantiser(make_atoms(), columns)
