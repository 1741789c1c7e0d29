"""Simplify: a smaller program that gives the same answers on every input.

Trees are simplified where they become rules (`extract_program`): siblings with one answer, a kernel's smaller polarity.
This is for rules from anywhere.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

import numpy as np

from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.program.weight_bodies import LiteralSum, WeightBody, weigh_body

_AnyRule = TypeVar("_AnyRule", bound=Rule)
_OTHERS = 2**31  # weight bodies and starts are numbered from here, past all literals


def simplify_program(program: Program) -> Program:
    """The program without literals said twice and without rules that never matter.

    A body with a literal and its negation never fires: its rule goes. A rule for a kernel goes where another for it has
    some of its literals and no others. Under `first` a class rule goes where a rule before it, of any class, has; under
    `vote` each counts. The numbers of class rules may change; classes, scores and kernels' truth don't.

    Weight bodies get the smallest numbers that come of clipping weights to the bound, dividing by what all share, and
    raising the bound to the next sum that can be reached; literals that never matter go. A literal that reaches the
    bound alone becomes a rule of its own, though not under `vote`; a body that needs every literal, a conjunction.
    """
    kernel_rules: list[Rule] = []
    in_order = sorted(program.kernel_rules, key=lambda rule: rule.head)  # stable
    for _, rules in groupby(in_order, key=lambda rule: rule.head):
        kernel_rules += _drop_subsumed(_clean(list(rules), split=True), ordered=False)
    takes_first = program.decision.takes_first
    class_rules = _clean(program.class_rules, split=takes_first)
    if takes_first:
        class_rules = _drop_subsumed(class_rules, ordered=True)
    return replace(program, kernel_rules=tuple(kernel_rules), class_rules=tuple(class_rules))


def drop_unmentioned(program: Program) -> Program:
    """The program without rules for kernels that no class rule builds on, and without derived atoms of that kind."""
    mentioned = find_mentioned(program)
    n_compared = len(program.quantiser.atoms)
    kept = [atom for atom in range(len(program.atoms)) if atom < n_compared or atom in mentioned]
    return program.select_atoms(kept, mentioned)


def find_mentioned(program: Program, given: Set[int] = frozenset(), wanted: Iterable[int] = ()) -> set[int]:
    """The atoms that class rules and outputs build on, directly or through rules for kernels.

    given: atoms whose rules are not followed. wanted: other atoms to begin with, which count themselves.
    """
    mentioned: set[int] = set()
    new = {atom for _, atom in program.outputs}.union(np.unique(program.class_arrays.atoms).tolist(), wanted)
    while new:
        mentioned |= new
        rules = (rule for atom in new - given for rule in program.rules_of_atom.get(atom, ()))
        new = {atom_of(literal) for rule in rules for literal in rule.body} - mentioned
    return mentioned


def _clean(rules: Sequence[_AnyRule], *, split: bool) -> list[_AnyRule]:
    """Each literal once, no contradiction, and weight bodies as plain as they can be.

    split: whether one rule may become several, any of which fires where it does.
    """
    cleaned: list[_AnyRule] = []
    for rule in rules:
        if rule.bound:
            cleaned += _clean_sum(rule, split)
            continue
        literals = dict.fromkeys(rule.body)
        if not any(~literal in literals for literal in literals):
            cleaned.append(rule if len(literals) == len(rule.body) else replace(rule, body=tuple(literals)))
    return cleaned


def _clean_sum(rule: _AnyRule, split: bool) -> list[_AnyRule]:
    """What a rule with a weight body becomes; nothing where it never fires."""
    weights, bound = weigh_body(rule).merge_negations().reduce()
    alone = [literal for literal, weight in weights.items() if weight >= bound > 0] if split else []
    if alone and len(weights) > 1:  # of the parts alone the support isn't known
        rule = rule.forget_support()
    rest = LiteralSum({literal: weight for literal, weight in weights.items() if literal not in alone}, bound).reduce()
    bodies = [*(WeightBody((literal,)) for literal in alone), *rest.list_bodies()]
    return [replace(rule, body=body.literals, weights=body.weights, bound=body.bound) for body in bodies]


def _drop_subsumed(rules: Sequence[_AnyRule], *, ordered: bool) -> list[_AnyRule]:
    """Without rules whose body holds all literals of another's (of an earlier one's, where `ordered`).

    A weight body counts as one literal, the same for equal bodies alone, and so does the start of a class rule. Each is
    looked for under its rarest literal alone, so that few pairs are compared.
    """
    numbers: dict[Hashable, int] = {}
    bodies = []
    for rule in rules:
        literals = {_OTHERS + numbers.setdefault(_key_sum(rule), len(numbers))} if rule.bound else {*rule.body}
        if isinstance(rule, ClassRule) and rule.start is not None:
            literals.add(_OTHERS + numbers.setdefault(rule.start, len(numbers)))
        bodies.append(frozenset(literals))
    times = Counter(literal for body in bodies for literal in body)
    places: dict[int | None, list[int]] = defaultdict(list)
    for i, body in enumerate(bodies):
        places[min(body, key=lambda literal: (times[literal], literal), default=None)].append(i)

    def is_subsumed(j: int) -> bool:
        return any(
            bodies[i] <= bodies[j] and (i < j or (not ordered and bodies[i] != bodies[j]))
            for literal in (None, *bodies[j])
            for i in places.get(literal, ())
        )

    return [rule for j, rule in enumerate(rules) if not is_subsumed(j)]


def _key_sum(rule: Rule) -> Hashable:
    return frozenset(zip(rule.body, rule.weights, strict=True)), rule.bound
