"""Trees against scikit-learn, against brute force, and engine against engine."""

import threading
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from eric_fast import kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import EricError, SettingError
from eric_fast.extract import TreeOptions, grow_trees, list_leaves
from eric_fast.kernels import Limits, fixed_point
from eric_fast.kernels.cpu import find_split, sort_samples
from eric_fast.kernels.cpu.vectors import has_feature
from eric_fast.program import atom_of
from tests.examples import try_examples
from tests.grow_oracle import impurity, list_gains, list_trees, nest_sklearn, walk_nodes

SIZES = (0, 1, 2, 31, 32, 33, 64, 150, 300)


def make_case(seed, n, n_atoms, n_targets, n_values, noise=0.3):
    """Bits `[n, n_atoms]` and targets `[n_targets, n]` that hang together with them."""
    rng = np.random.default_rng(seed)
    bits = rng.random((n, n_atoms)) < rng.random(n_atoms)
    mixed = bits.astype(int) @ rng.integers(0, 4, (n_atoms, n_targets)) + (rng.random((n, n_targets)) < noise)
    return bits, (mixed.T % n_values).astype(np.int64)


def to_matrix(bits):
    return BitMatrix.from_bools(torch.from_numpy(bits), [str(i) for i in range(bits.shape[1])])


def assert_equal_forests(found, expected):
    for name in expected._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype, name
        assert torch.equal(ours.cpu(), theirs), name


@st.composite
def options_and_weights(draw, n, n_values):
    options = TreeOptions(
        criterion=draw(st.sampled_from(["entropy", "gini"])),
        max_depth=draw(st.sampled_from([None, 1, 2, 4])),
        min_leaf=draw(st.sampled_from([1, 2, 7, 0.05])),
        max_rules=draw(st.sampled_from([None, None, 2, 3, 8])),
        min_split=draw(st.sampled_from([2, 9, 0.2])),
        min_gain=draw(st.sampled_from([0.0, 0.0, 0.0037, 0.031])),
        class_weight=draw(st.sampled_from([None, None, {0: 3}, {1: 2, 0: 1}, {1: 0}])),
    )
    heaviest = draw(st.sampled_from([None, None, 1, 3, 1000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = None if heaviest is None else torch.from_numpy(rng.integers(0, heaviest + 1, n))
    return options, weights


@pytest.mark.slow
@try_examples(120)
@given(st.data())
def test_every_engine_grows_the_same_trees(data):
    n, n_atoms = data.draw(st.sampled_from(SIZES)), data.draw(st.sampled_from([0, 1, 5, 64, 65, 130]))
    n_targets, n_values = data.draw(st.sampled_from([0, 1, 3])), data.draw(st.sampled_from([2, 2, 3, 7]))
    options, weights = data.draw(options_and_weights(n, n_values))
    bits, targets = make_case(data.draw(st.integers(0, 2**32 - 1)), n, n_atoms, n_targets, n_values)
    goal = torch.from_numpy(targets)
    if n_values == 2 and data.draw(st.booleans()):
        goal = BitMatrix.from_bools(goal.T == 1, [f"t{i}" for i in range(n_targets)])
    settings = {"n_values": n_values, "weights": weights}
    expected = grow_trees(to_matrix(bits), goal, options, engine="reference", **settings)
    assert expected.grown.tolist() == list(range(n_targets))
    assert_equal_forests(grow_trees(to_matrix(bits), goal, options, engine="cpu", **settings), expected)
    for tree, target in zip(list_trees(expected), targets, strict=True):
        weighed = np.ones(n, int) if weights is None else weights.numpy()
        weighed = weighed * np.array([(options.class_weight or {}).get(v, 1) for v in range(n_values)])[target]
        check_every_node(tree, bits, target, weighed, n_values, options)


def check_every_node(tree, bits, target, weights, n_values, options):
    """Every split is a best one, the lowest of equals, and nothing stops or goes on that shouldn't."""
    n, n_leaves = len(target), 0
    min_leaf, limits = options.count_min_leaf(n), options.to_limits(n)
    nodes = list(walk_nodes(tree, bits, target, weights))
    n_leaves = sum(node[0] < 0 for node, _, _ in nodes)
    assert n_leaves <= limits.max_leaves
    for (feature, counts, weighed, _, _), inside, depth in nodes:
        small = len(inside) < max(limits.min_split, 2 * min_leaf) or depth == limits.max_depth
        gains = list_gains(bits[inside], target[inside], weights[inside], n_values, min_leaf, options.criterion)
        if small or sum(c > 0 for c in counts) < 2 or not gains:
            assert feature < 0
            continue
        most = max(gains.values())
        if feature < 0:
            assert n_leaves == limits.max_leaves or most < options.min_gain * weights.sum() + 1e-6
            continue
        assert most >= options.min_gain * weights.sum() - 1e-6
        if options.criterion == "gini":
            assert feature == min(atom for atom, gain in gains.items() if gain == most)
        else:
            assert gains[feature] == pytest.approx(most, abs=1e-6)
            assert feature == find_by_table(bits[inside], target[inside], weights[inside], n_values, gains)
        assert sum(weighed) > 0


def find_by_table(bits, target, weights, n_values, atoms):
    table = fixed_point.make_entropy_table(int(weights.sum())).tolist()

    def cost(atom):
        true = bits[:, atom]
        sides = [[int(weights[m & (target == v)].sum()) for v in range(n_values)] for m in (~true, true)]
        return sum(table[sum(side)] - sum(table[w] for w in side) for side in sides)

    return min(atoms, key=lambda atom: (cost(atom), atom))


@try_examples(300)
@given(st.data())
def test_trees_are_scikit_learns_where_best_splits_are_unique(data):
    n, n_values = data.draw(st.sampled_from([33, 150, 400])), data.draw(st.sampled_from([2, 2, 3, 5]))
    options, weights = data.draw(options_and_weights(n, n_values))
    if options.max_rules == 1:
        options = TreeOptions()
    bits, targets = make_case(data.draw(st.integers(0, 2**32 - 1)), n, data.draw(st.integers(1, 12)), 1, n_values)
    target = targets[0]
    weighed = np.ones(n, int) if weights is None else weights.numpy()
    weighed = weighed * np.array([(options.class_weight or {}).get(v, 1) for v in range(n_values)])[target]
    assume(len(np.unique(target[weighed > 0])) > 1 and len(np.unique(target)) == n_values)
    (tree,) = list_trees(grow_trees(to_matrix(bits), targets_of(target), options, n_values=n_values, weights=weights))
    assume(is_unique(tree, bits, target, weighed, n_values, options))
    fitted = DecisionTreeClassifier(
        criterion=options.criterion,
        max_depth=options.max_depth,
        min_samples_leaf=options.min_leaf,
        min_samples_split=options.min_split,
        min_impurity_decrease=options.min_gain,
        max_leaf_nodes=options.max_rules,
        class_weight=options.class_weight,
        random_state=data.draw(st.integers(0, 3)),
    ).fit(bits, target, None if weights is None else weights.numpy().astype(float))
    reached = fitted.decision_path(bits).toarray().astype(bool) & (weighed > 0)[:, None]

    def counts_of(node):
        inside = reached[:, node]
        counts = [int((inside & (target == v)).sum()) for v in range(n_values)]
        weights = fitted.tree_.value[node, 0] * fitted.tree_.weighted_n_node_samples[node]
        assert sum(counts) == fitted.tree_.n_node_samples[node]
        return counts, np.rint(weights).astype(int).tolist()

    assert tree == nest_sklearn(fitted, counts_of)


def targets_of(target):
    return torch.from_numpy(target)


def is_unique(tree, bits, target, weights, n_values, options):
    """Whether no two atoms of a node, no two nodes that wait for their turn, and no limit on gain come near a tie."""
    turn, near = [], 1e-7 * weights.sum()
    for (_, counts, _, _, _), inside, _ in walk_nodes(tree, bits, target, weights):
        gains = list_gains(
            bits[inside],
            target[inside],
            weights[inside],
            n_values,
            options.count_min_leaf(len(target)),
            options.criterion,
        )
        ordered = sorted(map(float, gains.values()))
        if sum(count > 0 for count in counts) < 2 or not ordered:
            continue
        if len(ordered) > 1 and ordered[-1] - ordered[-2] < near:
            return False
        if options.min_gain and abs(ordered[-1] - options.min_gain * weights.sum()) < near:
            return False
        turn.append(ordered[-1])
    return options.max_rules is None or bool((np.diff(sorted(turn)) > near).all())


def test_the_comparison_with_scikit_learn_sees_enough_unique_trees():
    found = 0
    for seed in range(40):
        bits, (target,) = make_case(seed, 400, 8, 1, 2)
        options = TreeOptions("gini" if seed % 2 else "entropy", min_leaf=7)
        (tree,) = list_trees(grow_trees(to_matrix(bits), targets_of(target), options))
        found += is_unique(tree, bits, target, np.ones(400, int), 2, options) and tree[0] >= 0
    assert found > 20


@pytest.mark.parametrize("criterion", ["entropy", "gini"])
@pytest.mark.parametrize("max_rules", [None, 12])
def test_threads_and_the_order_of_samples_change_nothing(criterion, max_rules):
    bits, targets = make_case(5, 1000, 40, 30, 2)
    limits = TreeOptions(criterion, min_leaf=5, max_rules=max_rules).to_limits(1000)
    words, goal = pack_bits(torch.from_numpy(bits)), pack_bits(torch.from_numpy(targets.T == 1))
    expected = kernels.grow(words, 1000, goal, limits, n_threads=1)
    assert_equal_forests(kernels.grow(words, 1000, goal, limits, n_threads=2), expected)
    order = np.random.default_rng(0).permutation(1000)
    words, goal = pack_bits(torch.from_numpy(bits[order])), pack_bits(torch.from_numpy(targets.T[order] == 1))
    assert_equal_forests(kernels.grow(words, 1000, goal, limits), expected)


@pytest.mark.parametrize("n", [0, 1, 31])
@pytest.mark.parametrize("value", [False, True])
def test_nothing_to_tell_apart_is_one_leaf(n, value):
    rng = np.random.default_rng(0)
    varied, same = rng.random((n, 3)) < 0.5, np.full((n, 3), value)
    for bits, targets in ((varied, same), (same, varied)):
        goal = BitMatrix.from_bools(torch.from_numpy(targets), "abc")
        forest = grow_trees(to_matrix(bits), goal, TreeOptions(min_leaf=1))
        assert forest.offsets.tolist() == [0, 1, 2, 3]
        for tree in range(3):
            (leaf,) = list_leaves(forest, tree)
            n_true = targets[:, tree].sum()
            assert (leaf.body, leaf.answer, leaf.covered) == ((), int(n_true > n - n_true), n)
            assert leaf.correct == max(n_true, n - n_true)


def test_more_targets_than_samples_and_no_targets():
    bits, targets = make_case(0, 5, 4, 100, 2)
    assert len(grow_trees(to_matrix(bits), torch.from_numpy(targets), TreeOptions(min_leaf=1)).grown) == 100
    assert len(grow_trees(to_matrix(bits), torch.zeros(0, 5, dtype=torch.int64)).feature) == 0


def test_leaves_are_branches_with_what_they_cover():
    bits, (target,) = make_case(1, 500, 9, 1, 4)
    forest = grow_trees(to_matrix(bits), targets_of(target), TreeOptions(min_leaf=20, class_weight={2: 9}))
    leaves = list_leaves(forest, 0)
    assert len(leaves) > 4
    assert leaves[0].body[0] >= 0 > leaves[-1].body[0]  # the true branch first
    reached = np.zeros(500, int)
    for leaf in leaves:
        inside = np.ones(500, bool)
        for literal in leaf.body:
            inside &= bits[:, atom_of(literal)] == (literal >= 0)
        weights = np.bincount(target[inside], minlength=4) * [1, 1, 9, 1]
        assert (inside.sum(), weights.argmax()) == (leaf.covered, leaf.answer)
        assert (target[inside] == leaf.answer).sum() == leaf.correct
        reached += inside
    assert (reached == 1).all()


def test_stopping_leaves_what_is_finished():
    bits, targets = make_case(2, 300, 20, 50, 2)
    matrix, goal = to_matrix(bits), torch.from_numpy(targets)
    whole = list_trees(grow_trees(matrix, goal, TreeOptions(min_leaf=1)))
    done = []
    forest = grow_trees(matrix, goal, TreeOptions(min_leaf=1), stop=lambda: len(done) >= 7, progress=done.append)
    assert 7 <= len(forest.grown) < 20
    assert list_trees(forest) == [whole[target] for target in forest.grown]
    assert done == list(range(1, len(forest.grown) + 1))
    assert len(grow_trees(matrix, goal, engine="reference", stop=lambda: True).grown) == 0


def test_an_error_ends_growth_and_leaves_no_thread_behind():
    bits, targets = make_case(2, 300, 20, 200, 2)
    told = []
    n_threads = threading.active_count()

    def interrupt(n_trees):
        told.append(n_trees)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow_trees(to_matrix(bits), torch.from_numpy(targets), progress=interrupt)
    assert len(told) < 50
    assert threading.active_count() == n_threads


def test_what_cannot_be_grown_is_refused():
    bits, targets = make_case(0, 40, 3, 2, 2)
    matrix, goal = to_matrix(bits), torch.from_numpy(targets)
    heavy = torch.full((40,), 2**27 // 40 + 1)
    for weights, message in ((heavy, "weigh up to 134,217,7"), (-heavy, "but weights can't be negative")):
        with pytest.raises(SettingError, match=message):
            grow_trees(matrix, goal, weights=weights)
    grow_trees(matrix, goal, TreeOptions("gini"), weights=heavy - 1)
    with pytest.raises(EricError, match="sample weights must be 40 integers, not float32"):
        grow_trees(matrix, goal, weights=torch.ones(40))
    with pytest.raises(EricError, match="sample weights must be 40 integers, not int64 .39."):
        grow_trees(matrix, goal, weights=heavy[1:])
    with pytest.raises(EricError, match="target values must lie between 0 and 0, but these lie between 0 and 1"):
        grow_trees(matrix, goal, n_values=1)
    with pytest.raises(EricError, match="targets must be int32 words .* or int64 values"):
        grow_trees(matrix, goal[:, 1:])
    with pytest.raises(EricError, match="targets of 39 samples, but bits of 40"):
        grow_trees(matrix, to_matrix(bits[1:]))


# --- decisions, at sizes that no test can grow


def make_counts(seed, weight, n_values, n_atoms):
    rng = np.random.default_rng(seed)
    node = np.sort(rng.integers(1, weight + 1, n_values - 1))
    node = np.diff(np.concatenate([[0], node, [weight]]))
    return (rng.random((n_values, n_atoms)) * (node[:, None] + 1)).astype(np.int32), node.astype(np.int32)


make_table = lru_cache(1)(fixed_point.make_entropy_table)  # one of millions takes a second


def decide(true, node, criterion):
    table = make_table(int(node.sum())) if criterion == "entropy" else np.zeros(1, np.int64)
    limits = Limits(kernels.ENTROPY if criterion == "entropy" else kernels.GINI)
    n_atoms = true.shape[1]
    wide = np.zeros((len(true), n_atoms + 1), np.int32)  # a part of wider rows, as where trees grow: the same code
    wide[:, :n_atoms] = true
    counts = wide[:, :n_atoms]
    return find_split.find_split(counts, counts, node, node, limits, table, np.empty((3, n_atoms)))


@pytest.mark.parametrize("n_values", [2, 3, 40])
@pytest.mark.parametrize("weight", [100, 1_281_167, fixed_point.MAX_WEIGHT])
def test_gini_is_exact_at_any_weight(n_values, weight):
    for seed in range(20):
        true, node = make_counts(seed, weight, n_values, 30)
        # Near ties: the same counts, but for one sample; and exact ones: the complement, and a copy.
        true[:, 10:20] = true[:, :10]
        true[0, 10:20] = np.clip(true[0, 10:20] + np.random.default_rng(seed).integers(-1, 2, 10), 0, node[0])
        true[:, 20:25], true[:, 25:30] = true[:, :5], node[:, None] - true[:, 5:10]
        gains = {}
        for atom in range(30):
            t = [int(x) for x in true[:, atom]]
            f = [int(x) - y for x, y in zip(node, t, strict=True)]
            if sum(t) and sum(f):
                gains[atom] = impurity(list(map(int, node)), "gini") - impurity(t, "gini") - impurity(f, "gini")
        most = max(gains.values())
        atom, gain = decide(true, node, "gini")
        assert atom == min(a for a in gains if gains[a] == most)
        assert abs(Fraction(int(gain), 2**30) - most) < Fraction(3, 2**30)


# Half of a node's weight; and of two splits each, how much more of value 1 than of value 0 is on the true side, and how
# far that side is below half. The gain is apart**2 / (half**2 - below**2).
NEAR_TIES = [
    (2**26, (2, 0), (2, 2)),
    (2**26, (4398, 16314), (4396, 2023704)),  # a float64 quotient of the fractions' remainders is the same
    (2**26, (4626, 15382), (4624, 1973210)),
    (2**26 - 5, (18167982, 10499), (18167980, 33193)),  # float64 scores are in the wrong order
    (2**26 - 5, (32155372, 15675), (32155370, 28389)),
]


@pytest.mark.parametrize(("half", "one", "other"), NEAR_TIES)
def test_gini_tells_apart_what_float64_cannot(half, one, other):
    splits = (one, other)
    node = np.array([half, half], np.int32)
    gains = [Fraction(apart**2, half**2 - below**2) for apart, below in splits]
    assert gains[0] != gains[1]
    assert abs(1 - gains[0] / gains[1]) < Fraction(1, 2**49)
    for order in ((0, 1), (1, 0)):
        true = [[(half - below + side * apart) // 2 for apart, below in (splits[i] for i in order)] for side in (-1, 1)]
        best = max((0, 1), key=lambda atom: gains[order[atom]])
        assert decide(np.array(true, np.int32), node, "gini")[0] == best


@pytest.mark.slow
@pytest.mark.parametrize("n_values", [2, 3, 40])
@pytest.mark.parametrize("weight", [100, 1_281_167, fixed_point.MAX_WEIGHT // 16])
def test_entropy_is_the_tables_at_any_weight(n_values, weight):
    table = make_table(weight)
    for seed in range(20):
        true, node = make_counts(seed, weight, n_values, 300)
        true[:, 100:200], true[:, 200:] = true[:, :100], node[:, None] - true[:, :100]
        sides = (node[:, None] - true, true)
        costs = sum(table[side.sum(axis=0)] - table[side].sum(axis=0) for side in sides)
        costs[(sides[0].sum(axis=0) == 0) | (sides[1].sum(axis=0) == 0)] = 2**62
        atom, gain = decide(true, node, "entropy")
        assert atom == costs.argmin()
        assert gain == table[weight] - table[node].sum() - costs.min()


def test_equal_entropy_of_unlike_splits_goes_to_the_lowest_atom():
    """The second split has the higher chi-square, by which atoms are sieved, and the same gain to the last bit."""
    node = np.array([6, 8], np.int32)
    unlike = np.array([[0, 2], [2, 6]], np.int32)
    for true in (unlike, unlike[:, ::-1].copy()):
        assert decide(true, node, "entropy")[0] == 0
    assert len({decide(true, node, "entropy")[1] for true in (unlike[:, :1].copy(), unlike[:, 1:].copy())}) == 1


def test_the_entropy_table_is_the_same_on_every_machine():
    from decimal import Decimal, getcontext

    getcontext().prec = 50
    table = fixed_point.make_entropy_table(100_000)
    assert table[:3].tolist() == [0, 0, 2 * 2**30]
    for n in (3, 5, 7, 1000, 1447, 1448, 99_999):
        exact = n * (Decimal(n).ln() / Decimal(2).ln()) * 2**30
        assert abs(table[n] - exact) < Decimal("0.5") + exact * Decimal(2) ** -51
    assert int(table.sum()) % 2**61 == TABLE_SUM


TABLE_SUM = 2290166676791877282


def list_ways(name):
    ways = [getattr(sort_samples, f"{name}_one_by_one")]
    for feature, how in (("avx2", "in_eights"), ("avx512f", "in_sixteens")):
        if has_feature(feature):
            ways.append(getattr(sort_samples, f"{name}_{how}"))
    return ways


@pytest.mark.parametrize("part", list_ways("partition"))
def test_parting_samples_is_stable(part):
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 8, 9, 15, 16, 17, 64, 999):
        column = rng.integers(0, 2**64, 16, dtype=np.uint64)
        order = rng.permutation(1000)[:n].astype(np.uint32)
        bits = np.unpackbits(column.view(np.uint8), bitorder="little")[order].astype(bool)
        for true_first in (False, True):
            last, beside = bits ^ true_first, np.array([7, 7, 7], np.uint32)
            given_order = np.concatenate([beside, order, beside])
            part(column, given_order, 3, 3 + n, true_first, last.sum(), np.empty(n + sort_samples.SLACK, np.uint32))
            assert given_order.tolist() == [7, 7, 7, *order[~last], *order[last], 7, 7, 7]


@pytest.mark.parametrize("list_samples", list_ways("list"))
def test_samples_are_listed_by_their_bit(list_samples):
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000):
        for share in (0, 0.5, 1):
            bits = rng.random(n) < share
            target = pack_bits(torch.from_numpy(bits)[:, None]).numpy().view(np.uint64)[0]
            order = np.full(n + sort_samples.SLACK, 7, np.uint32)
            list_samples(target, n, n - bits.sum(), order)
            assert order[:n].tolist() == [*np.flatnonzero(~bits), *np.flatnonzero(bits)]
            assert (order[n + 16 :] == 7).all()
