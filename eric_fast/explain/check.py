"""The checker of proofs: reads the program and the given bits alone, and computes everything again.

It shares no code with what makes proofs or evaluates programs. A program is stratified, so a proof whose every step
holds can't be circular.
"""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from eric_fast.errors import EricError
from eric_fast.evaluator import NO_RULE
from eric_fast.explain.proof import Blocked, Proof, Step
from eric_fast.program import Program
from eric_fast.program.rules import Rule

ROUNDING = Fraction(1, 10**12)  # of sums of real weights, relative to the sum of their sizes


class ProofError(EricError):
    """A proof that doesn't hold: a bug of this package, or a proof from elsewhere."""


def check_proof(program: Program, true_bits: Collection[int], proof: Proof) -> None:
    """Raise ProofError, with what is wrong, unless the proof shows the answer; see `find_fault`."""
    fault = find_fault(program, true_bits, proof)
    if fault is not None:
        raise ProofError(f"the proof of the answer doesn't hold: {fault}; please report it, with the program")


def find_fault(program: Program, true_bits: Collection[int], proof: Proof) -> str | None:
    """What is wrong with a proof, or None where it shows that the program answers `proof.answer`.

    Args:
        true_bits: the atoms of layer `proof.start` that are true.
    """
    if proof.start not in program.layers:
        return f"there is no layer '{proof.start}'"
    given = program.quantiser.rows_of_layer[proof.start]
    needed: set[int] = set()
    for atom, step in proof.steps.items():
        if not given.start <= atom < len(program.atoms):
            return f"there is no atom {atom} from layer '{proof.start}' up"
        if atom in given:
            if step != Step(atom in true_bits):
                return f"{program.atoms[atom].name} is given, and is {atom in true_bits}"
            continue
        fault = _check_step(program, atom, step, proof.steps, needed)
        if fault is not None:
            return f"{program.atoms[atom].name}: {fault}"
    fault = _check_classes(program, proof, needed)
    if fault is not None:
        return fault
    if needed != set(proof.steps):
        return "there are steps that nothing needs"
    return None


def _check_step(program: Program, atom: int, step: Step, steps: Mapping[int, Step], needed: set[int]) -> str | None:
    some_rule_fires = step.rule is not None
    if step.is_true != (some_rule_fires != (atom in program.negated)):
        return "its truth is not what its rules say"
    if step.rule is None:
        own = [number for number, rule in enumerate(program.kernel_rules) if rule.head == atom]
        if [number for number, _ in step.blocked] != own:
            return "not every rule of it is shown to fail"
        return _check_blocked(program.kernel_rules, step.blocked, steps, needed)
    if step.blocked or not 0 <= step.rule < len(program.kernel_rules):
        return "its rule is not one of the program"
    if program.kernel_rules[step.rule].head != atom:
        return "its rule is for another kernel"
    return _check_fires(program.kernel_rules[step.rule], steps, needed)


def _check_fires(rule: Rule, steps: Mapping[int, Step], needed: set[int]) -> str | None:
    for literal in rule.body:
        atom = literal if literal >= 0 else -1 - literal
        if atom not in steps or steps[atom].is_true != (literal >= 0):
            return "a rule is said to fire, and a literal of it is not shown to be true"
        needed.add(atom)
    return None


def _check_blocked(
    rules: Sequence[Rule], blocked: Sequence[Blocked], steps: Mapping[int, Step], needed: set[int]
) -> str | None:
    for number, literal in blocked:
        atom = literal if literal >= 0 else -1 - literal
        if literal not in rules[number].body:
            return "a rule is said to fail by a literal that it lacks"
        if atom not in steps or steps[atom].is_true != (literal < 0):
            return "a rule is said to fail by a literal that is not shown to be false"
        needed.add(atom)
    return None


def _check_classes(program: Program, proof: Proof, needed: set[int]) -> str | None:
    rules, fired = program.class_rules, proof.fired
    numbers = [number for number, _ in proof.blocked]
    if program.decision.takes_first:
        if len(fired) > 1:
            return "more than one class rule is said to decide"
        if fired and not 0 <= fired[0] < len(rules):
            return "its class rule is not one of the program"
        if numbers != list(range(fired[0] if fired else len(rules))):
            return "not every earlier class rule is shown to fail"
    elif sorted([*fired, *numbers]) != list(range(len(rules))):
        return "the class rules that fire and that fail are not all of them, each once"
    for number in fired:
        fault = _check_fires(rules[number], proof.steps, needed)
        if fault is not None:
            return f"class rule {number + 1}: {fault}"
    fault = _check_blocked(rules, proof.blocked, proof.steps, needed)
    if fault is not None:
        return fault
    return _check_answer(program, proof)


def _check_answer(program: Program, proof: Proof) -> str | None:
    wrong = f"the answer is not {proof.answer}"
    if not proof.fired:
        expected = NO_RULE if program.default is None else program.default
        return None if proof.answer == expected else wrong
    if program.decision.takes_first:
        return None if proof.answer == program.class_rules[proof.fired[0]].head else wrong
    if not 0 <= proof.answer < len(program.classes):
        return wrong
    sums = [Fraction(start) for start in program.base] or [Fraction(0)] * len(program.classes)
    size = sum((abs(start) for start in sums), Fraction(0))
    for number in proof.fired:
        rule = program.class_rules[number]
        for output, weight in ((rule.head, rule.weight), *rule.also):
            sums[output] += Fraction(weight)
            size += abs(Fraction(weight))
    best = max(sums)
    if proof.answer == sums.index(best):
        return None
    # Sums of real weights are rounded as they are added: two that nearly tie may change places.
    is_exact = all(value == Fraction(float(value)) and value.denominator <= 2**20 for value in sums)
    return None if not is_exact and best - sums[proof.answer] <= ROUNDING * size else wrong
