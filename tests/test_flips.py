"""Counterfactuals against trying every set of bits."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from eric_fast.explain import find_counterfactuals, vote_flips
from eric_fast.explain.flips import find_fewest_flips, iterate_flip_sets
from eric_fast.explain.vote_flips import find_fewest_vote_flips
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.examples import try_examples
from tests.oracles import interpret

N_ATOMS = 6
ATOMS = tuple(InputAtom("f", k, ">", 0.5) for k in range(N_ATOMS))


@st.composite
def flat_programs(draw, decisions=("first", "vote")):
    def pick(low, high):
        return draw(st.integers(low, high))

    decision = draw(st.sampled_from(decisions))
    n_classes = pick(2, 4)
    rules = []
    for _ in range(pick(0, 9)):
        atoms = [pick(0, N_ATOMS - 1) for _ in range(pick(0, 5))]
        body = tuple(atom if pick(0, 1) else ~atom for atom in atoms)
        rule = ClassRule(pick(0, n_classes - 1), body, weight=pick(1, 3) if decision == "vote" else 1)
        if body and pick(0, 1):  # a weight body, perhaps with a literal and its negation
            body = tuple(dict.fromkeys(body))
            weights = tuple(pick(1, 4) for _ in body)
            rule = replace(rule, body=body, weights=weights, bound=pick(1, sum(weights)))
        rules.append(rule)
    default = draw(st.sampled_from([None, 0, 1]))
    program = Program(Quantiser(ATOMS), tuple("abcd"[:n_classes]), tuple(rules), decision=decision, default=default)
    return program, {atom: bool(pick(0, 1)) for atom in range(N_ATOMS)}


@st.composite
def single_votes(draw):
    """Votes of one literal each, some of none, for and against classes."""

    def pick(low, high):
        return draw(st.integers(low, high))

    n_classes = pick(2, 4)
    rules = []
    for _ in range(pick(0, 9)):
        atom, weights = pick(0, N_ATOMS - 1), [pick(-4, 4) for _ in range(n_classes)]
        (head, weight), *also = [(c, float(weight)) for c, weight in enumerate(weights) if weight] or [(0, 1.0)]
        body = (atom if pick(0, 1) else ~atom,) if pick(0, 9) else ()
        rules.append(ClassRule(head, body, weight=weight, also=tuple(also)))
    program = Program(
        Quantiser(ATOMS),
        tuple("abcd"[:n_classes]),
        tuple(rules),
        decision="vote",
        default=draw(st.sampled_from([None, 0, 1])),
        base=tuple(pick(-3, 3) for _ in range(n_classes)),
    )
    return program, {atom: bool(pick(0, 1)) for atom in range(N_ATOMS)}


def try_all(program, truth):
    """Class -> the fewest flips, by the interpreter."""
    fewest = {}
    for size in range(N_ATOMS + 1):
        for flips in combinations(range(N_ATOMS), size):
            answer, _, _ = interpret(program, {atom for atom in truth if truth[atom] != (atom in flips)})
            fewest.setdefault(answer, size)
    return fewest


@try_examples(120)
@given(flat_programs() | single_votes())
def test_the_fewest_flips_are_found_and_do_what_they_say(case):
    program, truth = case
    expected = try_all(program, truth)
    answer, _, _ = interpret(program, {atom for atom in truth if truth[atom]})
    found = find_counterfactuals(program, truth, answer)
    assert sorted(one.target for one in found) == [c for c in range(len(program.classes)) if c != answer]
    sizes = [len(one.flips) for one in found if one.flips is not None]
    assert sizes == sorted(sizes)
    for one in found:
        assert one.is_least
        assert (None if one.flips is None else len(one.flips)) == expected.get(one.target)
        if one.flips is None:
            continue
        given_bits = {atom for atom in truth if truth[atom] != (atom in one.flips)}
        changed, fired, _ = interpret(program, given_bits)
        assert changed == one.target
        if program.decision == "first":
            assert one.rule == (fired[0] - 1 if fired else None)


@try_examples(60)
@given(flat_programs(decisions=("first",)) | single_votes(), st.integers(0, 12))
def test_a_search_that_reaches_its_bound_says_so(case, most_nodes):
    program, truth = case
    expected = try_all(program, truth)
    answer, _, _ = interpret(program, {atom for atom in truth if truth[atom]})
    for target in range(len(program.classes)):
        if target == answer:
            continue
        find = find_fewest_flips if program.decision == "first" else find_fewest_vote_flips
        found = find(program, truth, target, most_nodes)
        assert found.n_least <= expected.get(target, N_ATOMS)
        if found.is_least:
            assert (None if found.atoms is None else len(found.atoms)) == expected.get(target)
        elif found.atoms is not None:
            assert len(found.atoms) >= expected[target]
            given_bits = {atom for atom in truth if truth[atom] != (atom in found.atoms)}
            assert interpret(program, given_bits)[0] == target


def test_a_sum_is_reached_by_its_largest_weights():
    rule = ClassRule(1, (0, 1, 2, 3, 4), weights=(1, 2, 5, 1, 4), bound=9)
    rival = ClassRule(0, (2, 5, ~1), weights=(3, 1, 1), bound=4)
    program = Program(Quantiser(ATOMS), ("a", "b"), (rival, rule), default=0)
    truth = dict.fromkeys(range(N_ATOMS), False)
    found = find_fewest_flips(program, truth, 1)
    assert (found.is_least, len(found.atoms)) == (True, 3)  # 2 and 4 make the rival true, unless 1 or another joins
    assert find_fewest_flips(program, {**truth, 5: True}, 0).atoms == ()
    alone = replace(program, class_rules=(rule,))
    assert find_fewest_flips(alone, truth, 1).atoms == (2, 4)


def test_sets_are_tried_smallest_first_within_their_bound():
    assert [len(sets) for sets in iterate_flip_sets(range(5), 20)] == [5, 10]
    assert sum(len(sets) for sets in iterate_flip_sets(range(5), 100)) == 2**5 - 1


def solve(points, truth, target):
    """The fewest flips by integer programming: `points` are what each atom adds to each class where it is true."""
    n_atoms, n_classes = points.shape
    signs = np.where(truth, -1, 1)
    gains = np.delete((points[:, [target]] - points) * signs[:, None], target, axis=1).T
    gaps = np.delete(points[truth].sum(axis=0) - points[truth, target].sum() + (np.arange(n_classes) < target), target)
    found = milp(np.ones(n_atoms), constraints=LinearConstraint(gains, gaps), integrality=1, bounds=Bounds(0, 1))
    return round(found.fun)


@pytest.mark.parametrize("seed", [1, 2])
def test_votes_of_many_kernels_are_solved_exactly_or_between_bounds(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    points = rng.integers(-7, 8, (120, 8))
    rules = []
    for atom, weights in enumerate(points.tolist()):
        (head, weight), *also = [(c, float(weight)) for c, weight in enumerate(weights) if weight]
        rules.append(ClassRule(head, (atom,), weight=weight, also=tuple(also)))
    atoms = tuple(InputAtom("f", k, ">", 0.5) for k in range(len(rules)))
    program = Program(Quantiser(atoms), tuple("abcdefgh"), tuple(rules), decision="vote")
    truth = rng.random(len(rules)) < 0.3
    answer = int(points[truth].sum(axis=0).argmax())
    bits = dict(enumerate(truth.tolist()))
    found = {one.target: one for one in find_counterfactuals(program, bits, answer)}
    assert {t: len(one.flips) for t, one in found.items()} == {t: solve(points, truth, t) for t in found}
    assert all(one.is_least for one in found.values())
    limited = find_counterfactuals(program, bits, answer, most_nodes=10)
    monkeypatch.setattr(vote_flips, "MOST_REACH", 3 * points.size)  # so few sums are not enough for 4 flips
    bounded = find_counterfactuals(program, bits, answer)
    assert not all(one.is_least for one in bounded)
    for one in (*limited, *bounded):
        assert one.n_least <= len(found[one.target].flips) <= len(one.flips)


def test_a_vote_that_takes_more_than_was_tried_says_how_many_were(monkeypatch):
    monkeypatch.setattr("eric_fast.explain.counterfactual.MOST_SETS", 10)  # one flip of six
    rules = (ClassRule(0, (), weight=1), ClassRule(1, (0, 1), weight=5))
    program = Program(Quantiser(ATOMS), ("a", "b"), rules, decision="vote")
    (found,) = find_counterfactuals(program, dict.fromkeys(range(N_ATOMS), False), 0)
    assert (found.flips, found.is_least, found.n_least) == ((0, 1), True, 2)  # two atoms are mentioned: three sets
    rules = (ClassRule(0, (), weight=1), ClassRule(1, (0, 1, 2, 3), weight=5))
    program = Program(Quantiser(ATOMS), ("a", "b"), rules, decision="vote")
    (found,) = find_counterfactuals(program, dict.fromkeys(range(N_ATOMS), False), 0)
    assert (found.flips, found.is_least, found.n_least) == (None, False, 3)  # no bit brings it nearer
    rules = (
        ClassRule(0, (), weight=4),
        ClassRule(1, (2, 3), weight=9),
        *(ClassRule(1, (a,), weight=2) for a in (0, 1, 4)),
    )
    program = Program(Quantiser(ATOMS), ("a", "b"), rules, decision="vote")
    monkeypatch.setattr("eric_fast.explain.counterfactual.MOST_SETS", 6)
    (found,) = find_counterfactuals(program, dict.fromkeys(range(N_ATOMS), False), 0)
    assert (found.flips, found.is_least, found.n_least) == ((0, 1, 4), False, 2)  # 2 and 3 would do


@pytest.mark.parametrize(("below", "flips"), [(True, (6,)), (False, None)])
def test_bits_of_lower_layers_stay_as_they_are(below, flips):
    """Bits that depend on each other can't be flipped independently."""
    atoms = (*ATOMS, InputAtom("g", 0, ">", 0.5))
    program = Program(Quantiser(atoms), ("a", "b"), (ClassRule(0, (6, 2)),), (Rule(6, (0,)),))
    first, second = find_counterfactuals(program, {6: False, 2: below}, -1)
    found = {one.target: one for one in (first, second)}
    assert (found[0].flips, found[0].is_least) == (flips, True)
    assert found[1].flips is None


def test_votes_on_bits_of_lower_layers_are_points_from_the_beginning():
    atoms = (*ATOMS, InputAtom("g", 0, ">", 0.5), InputAtom("g", 1, ">", 0.5))
    g0, g1 = len(ATOMS), len(ATOMS) + 1
    votes = [ClassRule(0, (2,), weight=3), ClassRule(1, (g0,), weight=2), ClassRule(1, (g1,), weight=2)]
    program = Program(Quantiser(atoms), ("a", "b"), tuple(votes), (Rule(g0, (0,)), Rule(g1, (1,))), decision="vote")
    (found,) = find_counterfactuals(program, {2: True, g0: False, g1: False}, 0)
    assert (found.flips, found.is_least) == ((g0, g1), True)
    (found,) = find_counterfactuals(program, {2: True, g0: True, g1: True}, 1)
    assert (len(found.flips), found.is_least) == (1, True)
    assert found.flips[0] in (g0, g1)
