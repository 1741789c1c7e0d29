"""Trees of other tools as one forest: what is no tree is refused at once, whatever it would cost to walk it."""

import numpy as np
import pytest

from eric_fast.errors import ProgramError
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.nodes import StoredTree, join_trees, list_runs
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

COLUMNS = (Column("a", "float32"), Column("b"))


def make_tree(column, yes, no, values=None, constant=1.0, **options):
    n = len(column)
    values = np.arange(n, dtype=float) if values is None else np.array(values, float)
    constants = np.broadcast_to(np.array(constant, float), n)
    return StoredTree(np.array(column), constants, np.array(yes), np.array(no), np.zeros(n, bool), values, **options)


def answer(trees, rows):
    forest = join_trees(COLUMNS, trees, "here")
    n_outputs = max(int(forest.outputs.max(initial=0)) + 1 if forest.outputs is not None else 0, forest.values.shape[1])
    return RuleModel(make_program(forest, list("xyz")[:n_outputs], decision="sum")).predict(np.array(rows, float))


def test_sets_cases_and_comparisons_of_several_trees():
    near = ((("<", -1.0, False),), ((">", 1.0, False), ("<=", 2.0, True)))  # below -1, or over 1 up to 2
    trees = [
        make_tree([0, -1, -1], [1, -1, -1], [2, -1, -1], [0, 10, 20], sets={0: (3.0, 5.0)}),
        make_tree([1, -1, -1], [1, -1, -1], [2, -1, -1], [0, 1, 2], cases={0: near}),
        make_tree([1, -1, -1], [1, -1, -1], [2, -1, -1], [0, 100, 200], operator=np.array([">=", "", ""])),
        make_tree([-1], [-1], [-1], [0.5]),
    ]
    rows = [[3, 0], [4, 0], [5, -2], [0, 1], [0, 1.5], [0, 2], [0, 3]]
    expected = [212.5, 222.5, 211.5, 122.5, 121.5, 121.5, 122.5]
    assert answer(trees, rows).tolist() == expected


def test_runs_of_codes_hold_what_is_cut_off_to_them():
    def build(column, codes, **options):
        tree = make_tree([column, -1, -1], [1, -1, -1], [2, -1, -1], [0, 1, 2], cases={0: list_runs(codes, **options)})
        return [tree]

    values = [-1, -0.5, 0, 0.9, 1, 2.9, 3, 4.5, 5, np.nan]
    rows = [[value, 0] for value in values]
    expected = [2, 2, 1, 1, 1, 1, 2, 1, 2, 2]
    assert answer(build(0, [0, 1, 2, 4]), rows).tolist() == expected
    assert answer(build(0, [0, 1, 2, 4], missing=True), rows).tolist() == [*expected[:-1], 1]
    assert answer(build(0, [0, 1, 2, 4], to_zero=True), rows).tolist() == [2, 1, *expected[2:]]
    assert answer(build(0, []), rows).tolist() == [2] * len(rows)
    assert answer(build(0, [], missing=True), rows).tolist() == [*[2] * (len(rows) - 1), 1]
    (name,) = join_trees(COLUMNS, build(0, list(range(0, 2000, 2))), "here").derived
    assert len(name) < 250


def test_nodes_that_no_path_leads_to_do_not_matter():
    tree = make_tree([0, -1, -1, 7], [1, -1, -1, 0], [2, -1, -1, 0], constant=[1, 0, 0, np.nan])
    assert answer([tree], [[0, 0], [2, 0]]).tolist() == [1, 2]
    assert len(join_trees(COLUMNS, [tree], "here").atoms) == 1


def test_no_trees_and_trees_for_outputs():
    assert answer(
        [make_tree([-1], [-1], [-1], [2.0], output=1), make_tree([-1], [-1], [-1], [3.0])], [[0, 0]]
    ).tolist() == [[3.0, 2.0]]
    assert len(join_trees(COLUMNS, [], "here").roots) == 0


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (make_tree([0, -1], [1, -1], [2, -1]), "here: tree 1, node 0: its child is not a node of this tree"),
        (make_tree([0, -1, -1], [-1, -1, -1], [2, -1, -1]), "tree 1, node 0: its child is not"),
        (make_tree([2, -1, -1], [1, -1, -1], [2, -1, -1]), "tree 1, node 0: it compares a feature past the last of 2"),
        (make_tree([0, -1, -1], [1, -1, -1], [1, -1, -1]), "here: the nodes don't make trees"),
        (make_tree([0, 0, -1], [1, 0, -1], [2, 2, -1]), "here: the nodes don't make trees"),
        (make_tree([0, -1, -1], [1, -1, -1], [2, -1, -1], constant=np.nan), "tree 1, node 0: its threshold is NaN"),
        (make_tree([-1], [-1], [-1], [np.inf]), "tree 1, node 0: its value is not a finite number"),
        (make_tree([-1], [-1], [-1], [[1.0, 2.0]]), "the leaves of some trees hold one value, those of others several"),
    ],
)
def test_what_is_no_tree_is_refused(tree, said):
    with pytest.raises(ProgramError, match=said):
        join_trees(COLUMNS, [make_tree([-1], [-1], [-1]), tree], "here")


def test_what_would_grow_out_of_proportion_is_refused():
    n = 40  # both children of each node are the next: 2^40 paths
    with pytest.raises(ProgramError, match="make trees"):
        join_trees(COLUMNS, [make_tree([0] * n + [-1], [*range(1, n + 1), -1], [*range(1, n + 1), -1])], "here")
    n = 5000  # a chain: paths of 12.5 million literals
    leaves = np.arange(n, 2 * n + 1)
    yes = np.append(np.append(np.arange(1, n), leaves[-1]), np.full(n + 1, -1))
    chain = make_tree([0] * n + [-1] * (n + 1), yes, np.append(leaves[:-1], np.full(n + 1, -1)))
    with pytest.raises(ProgramError, match="mean depth of the leaves is more than 1024"):
        join_trees(COLUMNS, [chain], "here")
