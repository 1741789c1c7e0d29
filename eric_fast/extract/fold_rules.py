"""Default rules as rules of a program: each rule that has exceptions gets a derived atom, which these define."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, mask_tail
from eric_fast.extract.fold import DecisionList, DefaultRule, learn_decision_list, learn_default_rules
from eric_fast.extract.layer import GrownClasses, GrownLayer, Growth, shift_body
from eric_fast.program import ClassRule, Rule


class FlatRules(NamedTuple):
    """Default rules without nesting.

    Attributes:
        rules: the rules, in order; one with exceptions ends with the negation of a derived atom.
        exceptions: the rules of the derived atoms.
    """

    rules: list[Rule]
    exceptions: list[Rule]


def flatten_rules(rules: Sequence[DefaultRule], head: int, first_input: int, first_derived: int) -> FlatRules:
    """Default rules for one head, and their exceptions, whose atoms are numbered from `first_derived` on."""
    exceptions: list[Rule] = []
    n_derived = 0

    def flatten(rule: DefaultRule, head: int) -> Rule:
        nonlocal n_derived
        body = shift_body(rule.body, first_input)
        if rule.exceptions:
            atom = first_derived + n_derived
            n_derived += 1
            body = (*body, ~atom)
            exceptions.extend([flatten(exception, atom) for exception in rule.exceptions])
        return Rule(head, body, rule.covered, rule.correct)

    return FlatRules([flatten(rule, head) for rule in rules], exceptions)


def flatten_list(found: DecisionList, first_input: int, first_derived: int) -> GrownClasses:
    """A decision list as class rules; see `flatten_rules`."""
    rules: list[ClassRule] = []
    exceptions: list[Rule] = []
    for rule, answer in zip(found.rules, found.answers, strict=True):
        flat = flatten_rules([rule], answer, first_input, first_derived + count_heads(exceptions))
        rules += [ClassRule(answer, top.body, top.covered, top.correct) for top in flat.rules]
        exceptions += flat.exceptions
    return GrownClasses(rules, count_size([*rules, *exceptions]), default=found.default, exceptions=exceptions)


def fold_classes(
    target: Tensor, n_classes: int, inputs: BitMatrix, first_input: int, first_derived: int, growth: Growth
) -> GrownClasses:
    """As `grow_classes`: a decision list of default rules."""
    growth.progress("class rules", 0, 1)
    n_images = int(growth.combine(torch.tensor([inputs.n_samples]))[0])
    limits = growth.options.to_fold_limits(n_images)
    found = learn_decision_list(inputs, target, n_classes, limits, combine=growth.combine)
    growth.progress("class rules", 1, 1)
    return flatten_list(found, first_input, first_derived)


def fold_layer(
    heads: Sequence[int], targets: BitMatrix, inputs: BitMatrix, first_input: int, first_derived: int, growth: Growth
) -> GrownLayer | None:
    """As `grow_layer`: default rules that say where a kernel is true or, if it is so more often, where it is false."""
    stage = f"rules of {targets.atoms[0].rpartition(':')[0]}" if heads else "rules"
    everywhere = mask_tail(torch.full_like(inputs.words[:1], -1), inputs.n_samples)
    n_true = growth.combine(kernels.count(everywhere, targets.words).long())[:, 0].tolist()
    n_images = int(growth.combine(torch.tensor([inputs.n_samples]))[0])
    limits = growth.options.to_fold_limits(n_images)
    grown = GrownLayer([], [], [], [])
    for done, (head, bits) in enumerate(zip(heads, targets.words, strict=True)):
        if growth.stop():
            return None
        growth.progress(stage, done, len(heads))
        masks = torch.stack([bits, everywhere[0] & ~bits])
        if 2 * n_true[done] > n_images:
            masks = masks.flip(0)
            grown.negated.append(head)
        rules = learn_default_rules(inputs, masks, limits, combine=growth.combine)
        flat = flatten_rules(rules, head, first_input, first_derived + count_heads(grown.exceptions))
        grown.rules.extend(flat.rules)
        grown.exceptions.extend(flat.exceptions)
        grown.sizes_grown.append(count_size([*flat.rules, *flat.exceptions]))
    growth.progress(stage, len(heads), len(heads))
    return grown


def name_exceptions(n: int) -> tuple[str, ...]:
    """Names of derived atoms, as FOLD-RM has them: `ab1`, `ab2`."""
    return tuple(f"ab{number}" for number in range(1, n + 1))


def count_heads(rules: Sequence[Rule]) -> int:
    """How many atoms rules define."""
    return len({rule.head for rule in rules})


def count_size(rules: Sequence[Rule]) -> tuple[int, int]:
    """How many rules, and literals in their bodies."""
    return len(rules), sum(len(rule.body) for rule in rules)
