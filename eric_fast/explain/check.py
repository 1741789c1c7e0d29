"""Check proofs: from the program and the given bits alone, everything is computed again.

The checker shares no code with the prover or the evaluators. A program is stratified, so a proof can't be circular if
each of its steps holds.
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
    """A proof doesn't hold: a bug of this package, or a proof from elsewhere."""


def check_proof(program: Program, true_bits: Collection[int], proof: Proof) -> None:
    """Raise ProofError with what is wrong, if anything is; see `find_fault`."""
    fault = find_fault(program, true_bits, proof)
    if fault is not None:
        raise ProofError(f"the proof of the answer doesn't hold: {fault}; please report this, with the program")


def find_fault(program: Program, true_bits: Collection[int], proof: Proof) -> str | None:
    """Find what is wrong with a proof; None if it shows that the program answers `proof.answer`.

    Args:
        program: the program that the proof is about; of its class rules those for start `proof.start` are numbered.
        true_bits: the atoms of layer `proof.start` that are true.
        proof: see `Proof`.
    """
    names = program.graph.split_start(proof.start)
    for name in names:
        if name not in program.layers:
            return f"the program has no layer '{name}'"
    if program.graph.find_path(names) is not None:
        return f"'{proof.start}' is no start of the program"
    if program.starts and tuple(names) not in program.starts:
        return f"the program has no class rules for start '{proof.start}'"
    program = program.select_start(proof.start)
    given = {atom for name in names for atom in program.quantiser.rows_of_layer[name]}
    known = given.union(program.list_derivable(proof.start))
    needed: set[int] = set()
    for atom, step in proof.steps.items():
        if atom not in known:
            return f"the program has no atom {atom} from layer '{proof.start}' up"
        if atom in given:
            if step != Step(atom in true_bits):
                return f"the given bit of {program.atoms[atom].name} is {atom in true_bits}, the proof says otherwise"
            continue
        fault = _check_step(program, atom, step, proof.steps, needed)
        if fault is not None:
            return f"{program.atoms[atom].name}: {fault}"
    fault = _check_classes(program, proof, needed)
    if fault is not None:
        return fault
    if needed != set(proof.steps):
        return "it has steps that no rule needs"
    return None


def _check_step(program: Program, atom: int, step: Step, steps: Mapping[int, Step], needed: set[int]) -> str | None:
    some_rule_fires = step.rule is not None
    if step.is_true != (some_rule_fires != (atom in program.negated)):
        return "its truth contradicts its rules"
    if step.rule is None:
        if step.literals:
            return "it names literals of a rule, but no rule"
        own = [number for number, rule in enumerate(program.kernel_rules) if rule.head == atom]
        if [number for number, _ in step.blocked] != own:
            return "not all of its rules are shown to fail"
        return _check_blocked(program.kernel_rules, step.blocked, steps, needed)
    if step.blocked or not 0 <= step.rule < len(program.kernel_rules):
        return "the program doesn't have its rule"
    if program.kernel_rules[step.rule].head != atom:
        return "its rule is for another kernel"
    return _check_fires(program.kernel_rules[step.rule], step.literals, steps, needed)


def _check_fires(rule: Rule, literals: Sequence[int], steps: Mapping[int, Step], needed: set[int]) -> str | None:
    weights = _weigh(rule)
    if len(set(literals)) != len(literals) or not weights.keys() >= set(literals):
        return "a rule that fires doesn't have the literals by which it does"
    for literal in literals:
        atom = literal if literal >= 0 else -1 - literal
        if atom not in steps or steps[atom].is_true != (literal >= 0):
            return "a literal of a rule that fires is not shown to be true"
        needed.add(atom)
    shown, bound = [weights[literal] for literal in literals], rule.bound or len(weights)
    if sum(shown) < bound:
        return "the literals of a rule that fires don't reach its bound"
    return (
        "a rule that fires has literals that it doesn't need"
        if sum(shown) - min(shown, default=0) >= bound > 0
        else None
    )


def _check_blocked(
    rules: Sequence[Rule], blocked: Sequence[Blocked], steps: Mapping[int, Step], needed: set[int]
) -> str | None:
    for number, literals in blocked:
        weights = _weigh(rules[number])
        if len(set(literals)) != len(literals) or not weights.keys() >= set(literals):
            return "a rule doesn't have the literals by which it fails"
        for literal in literals:
            atom = literal if literal >= 0 else -1 - literal
            if atom not in steps or steps[atom].is_true != (literal < 0):
                return "a literal by which a rule fails is not shown to be false"
            needed.add(atom)
        shown, bound = [weights[literal] for literal in literals], rules[number].bound or len(weights)
        most = sum(weights.values()) - sum(shown)
        if most >= bound:
            return "the literals by which a rule fails don't keep it from its bound"
        if most + min(shown) < bound:
            return "a rule that fails has literals that it doesn't need"
    return None


def _weigh(rule: Rule) -> dict[int, int]:
    """The literals' weights; in a conjunction, which needs all, each weighs 1."""
    return dict(zip(rule.body, rule.weights or [1] * len(rule.body), strict=True))


def _check_classes(program: Program, proof: Proof, needed: set[int]) -> str | None:
    rules, fired = program.class_rules, proof.fired
    numbers = [number for number, _ in proof.blocked]
    if len(proof.literals) != len(fired):
        return "not every class rule that fires has the literals by which it does"
    if program.decision.takes_first:
        if len(fired) > 1:
            return "more than one class rule decides"
        if fired and not 0 <= fired[0] < len(rules):
            return "the program doesn't have its class rule"
        if numbers != list(range(fired[0] if fired else len(rules))):
            return "not all earlier class rules are shown to fail"
    elif sorted([*fired, *numbers]) != list(range(len(rules))):
        return "not every class rule is shown either to fire or to fail, once"
    for number, literals in zip(fired, proof.literals, strict=True):
        fault = _check_fires(rules[number], literals, proof.steps, needed)
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
    sums = [_weigh_exactly(start) for start in program.base] or [0] * len(program.classes)
    size = sum(max(start, -start) for start in sums)
    for number in proof.fired:
        rule = program.class_rules[number]
        for output, weight in rule.votes:
            exact = _weigh_exactly(weight)
            sums[output] += exact
            size += max(exact, -exact)
    best = max(sums)
    if proof.answer == sums.index(best):
        return None
    # Sums of real weights are rounded as they are added: the order of two that nearly tie may change.
    is_exact = all(value == Fraction(float(value)) and value.denominator <= 2**20 for value in sums)
    return None if not is_exact and best - sums[proof.answer] <= ROUNDING * size else wrong


def _weigh_exactly(weight: float) -> int | Fraction:
    return int(weight) if float(weight).is_integer() else Fraction(weight)
