"""Proofs: those that are made hold, and those that are tampered with are refused."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from eric_fast.bits import BitMatrix
from eric_fast.errors import ProgramError
from eric_fast.explain import Blocked, ProofError, Step, check_proof, find_fault, prove_answers
from eric_fast.explain.votes import find_rivalry
from eric_fast.extract import TreeOptions
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, predict_bits
from tests.activations import make_activations
from tests.examples import try_examples
from tests.make_programs import count_inputs, programs_with_bits
from tests.oracles import interpret

SLOW = [HealthCheck.filter_too_much, HealthCheck.too_slow]


def prove(program, bits):
    """bits: bool `[n, n_inputs]`: the proofs, and the true inputs of each sample."""
    names = [atom.name for atom in program.atoms[: count_inputs(program)]]
    proofs = prove_answers(program, BitMatrix.from_bools(bits, names))
    return proofs, [set(row.nonzero().flatten().tolist()) for row in bits]


def can_be_proved(program):
    return bool(program.layers) and bool(program.classes) and program.decision in ("first", "vote")


@try_examples(80, suppress_health_check=SLOW)
@given(programs_with_bits(sizes=(1, 5), with_sums=True))
def test_proofs_hold_and_show_what_the_interpreter_says(case):
    program, bits = case
    assume(can_be_proved(program))
    proofs, samples = prove(program, bits)
    chosen = program.select_start()  # its class rules are those that proofs number
    for proof, true_bits in zip(proofs, samples, strict=True):
        answer, fired, true = interpret(chosen, true_bits)
        assert find_fault(program, true_bits, proof) is None
        assert proof.answer == answer
        expected = fired[:1] if program.decision == "first" else fired
        assert sorted(number + 1 for number in proof.fired) == expected
        assert all(step.is_true == (atom in true) for atom, step in proof.steps.items())
        used = [(chosen.class_rules[n], literals) for n, literals in zip(proof.fired, proof.literals, strict=True)]
        used += [(program.kernel_rules[s.rule], s.literals) for s in proof.steps.values() if s.rule is not None]
        for rule, literals in used:
            assert literals in list_smallest(rule, true, fires=True)
        stopped = [(chosen.class_rules[n], literals) for n, literals in proof.blocked]
        stopped += [(program.kernel_rules[n], literals) for s in proof.steps.values() for n, literals in s.blocked]
        for rule, literals in stopped:
            assert literals in list_smallest(rule, true, fires=False)


def list_smallest(rule, true, *, fires):
    """The smallest sets that settle a rule, those of the largest weights, tried one after another."""
    weights = dict(zip(rule.body, rule.weights or [1] * len(rule.body), strict=True))
    bound = rule.bound or len(weights)
    usable = [a for a in weights if ((atom_of(a) in true) == (a >= 0)) == fires]
    for size in range(len(usable) + 1):
        sums = {each: sum(weights[a] for a in each) for each in permutations(usable, size)}
        most = sum(weights.values())
        settle = [each for each in sums if (sums[each] >= bound if fires else most - sums[each] < bound)]
        largest = max((sums[each] for each in settle), default=None)
        if settle:
            return [each for each in settle if sums[each] == largest]
    raise AssertionError(rule)


def list_mutants(program, proof, pick):
    """Proofs that differ from a good one, and can't hold: truth is unique, and every part of a proof is needed."""
    steps = dict(proof.steps)
    for atom, step in steps.items():
        yield replace(proof, steps={**steps, atom: replace(step, is_true=not step.is_true)})
        yield replace(proof, steps={other: steps[other] for other in steps if other != atom})
        if step.rule is not None:
            yield replace(proof, steps={**steps, atom: replace(step, rule=None)})
            yield replace(proof, steps={**steps, atom: replace(step, rule=len(program.kernel_rules))})
            others = [n for n, rule in enumerate(program.kernel_rules) if rule.head != atom]
            for other in others[:1]:
                yield replace(proof, steps={**steps, atom: replace(step, rule=other)})
            for mutant in mutate_literals(step.literals, program.kernel_rules[step.rule]):
                yield replace(proof, steps={**steps, atom: replace(step, literals=mutant)})
        for mutant in mutate_blocked(step.blocked, program.kernel_rules, proof):
            yield replace(proof, steps={**steps, atom: replace(step, blocked=mutant)})
    for answer in {-1, *range(len(program.classes))} - {proof.answer}:
        yield replace(proof, answer=answer)
    for mutant in mutate_blocked(proof.blocked, program.class_rules, proof):
        yield replace(proof, blocked=mutant)
    for place in range(len(proof.fired)):
        rest = proof.literals[:place] + proof.literals[place + 1 :]
        yield replace(proof, literals=rest)
        yield replace(proof, fired=proof.fired[:place] + proof.fired[place + 1 :], literals=rest)
        for mutant in mutate_literals(proof.literals[place], program.class_rules[proof.fired[place]]):
            yield replace(proof, literals=(*proof.literals[:place], mutant, *proof.literals[place + 1 :]))
    yield replace(proof, literals=(*proof.literals, ()))
    yield replace(proof, fired=(*proof.fired, pick(0, max(0, len(program.class_rules) - 1))))
    strange = next((a for a in range(len(program.atoms)) if a not in steps), None)
    if strange is not None:
        yield replace(proof, steps={**steps, strange: Step(True)})
        yield replace(proof, steps={**steps, strange: Step(False)})
    yield replace(proof, start="no layer")


def mutate_literals(literals, rule):
    """Fewer, twice the same, the opposite, and one that isn't needed."""
    for place, literal in enumerate(literals):
        yield literals[:place] + literals[place + 1 :]
        yield (*literals, literal)
        if ~literal not in rule.body:
            yield (*literals[:place], ~literal, *literals[place + 1 :])
    for other in {*rule.body} - {*literals}:
        yield (*literals, other)
    yield (*literals, 99)


def mutate_blocked(blocked, rules, proof):
    for place, (number, literals) in enumerate(blocked):
        yield blocked[:place] + blocked[place + 1 :]
        yield (*blocked[: place + 1], *blocked[place:])
        for mutant in mutate_literals(literals, rules[number]):
            yield (*blocked[:place], Blocked(number, mutant), *blocked[place + 1 :])
        for other in rules[number].body:  # one that holds stops nothing
            if atom_of(other) in proof.steps and proof.steps[atom_of(other)].is_true == (other >= 0):
                yield (*blocked[:place], Blocked(number, (other,)), *blocked[place + 1 :])


@try_examples(70, suppress_health_check=SLOW)
@given(programs_with_bits(sizes=(2,), with_sums=True), st.data())
def test_proofs_that_were_tampered_with_are_refused(case, data):
    program, bits = case
    assume(can_be_proved(program))
    program = program.select_start()
    for proof, true_bits in zip(*prove(program, bits), strict=True):
        for mutant in list_mutants(program, proof, lambda low, high: data.draw(st.integers(low, high))):
            assert find_fault(program, true_bits, mutant) is not None, mutant
        used = [atom for atom in proof.steps if atom < count_inputs(program)]
        for atom in used:  # the same proof of another image
            assert find_fault(program, true_bits ^ {atom}, proof) is not None


@pytest.mark.parametrize("start", ["f0", "f1", "f2"])
def test_chains_are_proved_from_every_layer(start):
    activations = make_activations(n_images=200)
    program = approximate_model(activations, layers="all", options=TreeOptions(min_leaf=10))
    bits = quantise_activations(activations, program.quantiser)
    proofs = prove_answers(program, bits, start)
    assert [proof.answer for proof in proofs] == predict_bits(program, bits, start=start).classes.tolist()
    rows = {name: row for row, name in enumerate(bits.atoms)}
    truth = bits.to_bools()
    for image, proof in enumerate(proofs):
        true_bits = {i for i, atom in enumerate(program.atoms) if truth[image, rows[atom.name]]}
        assert find_fault(program, true_bits, proof) is None
        reasons = proof.list_reasons()
        assert set(reasons) <= set(proof.steps)
        assert set(map(atom_of, program.class_rules[proof.fired[0]].body)) == set(
            reasons[: len(set(map(atom_of, program.class_rules[proof.fired[0]].body)))]
        )


ATOMS = tuple(InputAtom("f", k, ">", 0.5) for k in range(4))


def test_the_rule_that_covers_most_is_named_and_bits_that_are_needed_anyway():
    atoms = (*ATOMS, InputAtom("g", 0, ">", 0.5))
    rules = (Rule(4, (0,), 5, 5), Rule(4, (1,), 9, 9), Rule(4, (2,), 50, 50))
    classes = (ClassRule(1, (~3, ~4)), ClassRule(0, (4, 1)))
    program = Program(Quantiser(atoms), ("a", "b"), classes, rules)
    bits = BitMatrix.from_bools(torch.tensor([[True, True, False, False]]), ["f:0", "f:1", "f:2", "f:3"])
    (proof,) = prove_answers(program, bits)
    assert (proof.answer, proof.fired) == (0, (1,))
    assert proof.steps[4] == Step(True, rule=1, literals=(1,))
    assert proof.blocked == ((0, (~4,)),)  # ~4 fails and 4 is explained already
    assert set(proof.steps) == {1, 4}
    check_proof(program, {0, 1}, proof)
    with pytest.raises(ProofError, match=r"the proof of the answer doesn't hold: the given bit of f:1 is False"):
        check_proof(program, {0}, proof)


@pytest.mark.parametrize("decision", ["sum", "bits"])
def test_programs_without_classes_have_nothing_to_prove(decision):
    program = Program(Quantiser(ATOMS), ("a",) if decision == "sum" else (), (), decision=decision)
    with pytest.raises(ProgramError, match=f"a proof needs .* decision is '{decision}'"):
        prove_answers(program, BitMatrix.from_bools(torch.zeros(1, 4, dtype=bool), ["f:0", "f:1", "f:2", "f:3"]))


@try_examples(40, suppress_health_check=SLOW)
@given(programs_with_bits(sizes=(3,), with_sums=True))
def test_a_vote_is_won_by_what_its_kernels_give_to_the_winner(case):
    program, bits = case
    assume(can_be_proved(program) and program.decision == "vote" and len(program.classes) > 1)
    program = program.select_start()
    for proof, true_bits in zip(*prove(program, bits), strict=True):
        found = find_rivalry(program, proof)
        assert (found is None) == (not proof.fired)
        if found is None:
            continue
        sums = dict(enumerate(program.base or [0] * len(program.classes)))
        for number in interpret(program, true_bits)[1]:
            rule = program.class_rules[number - 1]
            for output, weight in ((rule.head, rule.weight), *rule.also):
                sums[output] += weight
        assert found.winner == proof.answer
        assert found.points == (sums[found.winner], sums[found.rival])
        assert all(sums[c] <= sums[found.rival] for c in sums if c != found.winner)
        assert found.start + sum(lead for _, lead in found.leads) == found.points[0] - found.points[1]


def test_the_points_of_a_kernel_are_those_of_all_its_rules():
    rules = (ClassRule(0, (0,), weight=3, also=((1, -2),)), ClassRule(1, (~1,), weight=4), ClassRule(0, (0,), weight=1))
    rules += (ClassRule(1, (0, 2), weight=1), ClassRule(2, (3,), weight=9))
    program = Program(Quantiser(ATOMS), ("a", "b", "c"), rules, decision="vote", base=(0.0, 1.0, 0.0))
    bits = BitMatrix.from_bools(torch.tensor([[True, False, True, False]]), ["f:0", "f:1", "f:2", "f:3"])
    (proof,) = prove_answers(program, bits)
    found = find_rivalry(program, proof)
    assert (found.winner, found.rival, found.points, found.start) == (0, 1, (4.0, 4.0), -1.0)
    assert found.leads == ((0, 6.0), (1, -4.0), (None, -1.0))
