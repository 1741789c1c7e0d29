"""FOLD-RM as published, over lists of examples, and as slow as that is. A rule is (literals, exceptions).

Where the learner differs on purpose, this does too: literals that hold on all examples or on none are left out, the
next class is tried where no rule is found for the most frequent one, and what is left of one class is the default.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

Literal = Any  # of bits: an atom or its complement; of a table: (column, operator, value)
PlainRule = tuple[tuple[Literal, ...], tuple[Any, ...]]
Example = tuple[Any, ...]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}


def holds(literal: Literal, example: Example) -> bool:
    if isinstance(literal, int):
        return bool(example[literal] if literal >= 0 else not example[~literal])
    column, operator, value = literal
    return OPERATORS[operator](example[column], value)


def list_literals(examples: Sequence[Example], used: set[Any]) -> list[Literal]:
    """The literals of bits, or those of a table's columns that FOLD-RM looks at, in its order, but for used ones."""
    if all(isinstance(value, bool) for example in examples for value in example):
        return [literal for atom in range(len(examples[0])) if atom not in used for literal in (atom, ~atom)]
    found = []
    for column, values in enumerate(zip(*examples, strict=True)):
        pair = ("==", "!=") if isinstance(values[0], str) else ("<=", ">")
        found += [(column, operator, value) for value in sorted(set(values)) for operator in pair]
    return [literal for literal in found if key(literal) not in used]


def key(literal: Literal) -> Any:
    """What a literal and its negation have in common."""
    return max(literal, ~literal) if isinstance(literal, int) else (literal[0], literal[2])


def fires(rule: PlainRule, example: Example) -> bool:
    return all(holds(literal, example) for literal in rule[0]) and not any(fires(e, example) for e in rule[1])


def weigh(n: int) -> int:
    return round(n * math.log2(n) * 2**30) if n else 0


def find_literal(positive: list[Example], negative: list[Example], used: set[Any], criterion: str) -> Literal | None:
    best, most = None, -math.inf
    for literal in list_literals(positive + negative, used):
        tp, fp = (sum(holds(literal, example) for example in side) for side in (positive, negative))
        fn, tn = len(positive) - tp, len(negative) - fp
        if not tp + fp or not fn + tn or tp + tn < fp + fn:
            continue
        gain: float = sum(map(weigh, (tp, fp, fn, tn))) - weigh(tp + fp) - weigh(fn + tn)
        if criterion == "gini":
            gain = -(tp * fp / (tp + fp) + fn * tn / (fn + tn))
        if gain > most:
            best, most = literal, gain
    return best


def learn_rule(
    positive: list[Example], negative: list[Example], used: set[Any], ratio: float, criterion: str
) -> PlainRule | None:
    literals: list[Literal] = []
    while positive and negative:
        literal = find_literal(positive, negative, used, criterion)
        if literal is None:
            return (tuple(literals), ()) if len(negative) <= len(positive) else None
        literals.append(literal)
        used = used | {key(literal)}
        positive, negative = ([e for e in side if holds(literal, e)] for side in (positive, negative))
        if len(negative) <= len(positive) * ratio:
            return tuple(literals), tuple(fold(negative, positive, used, ratio, criterion))
    return (tuple(literals), ()) if positive else None


def fold(
    positive: list[Example],
    negative: list[Example],
    used: set[Any],
    ratio: float,
    criterion: str = "entropy",
    most: float = math.inf,
) -> list[PlainRule]:
    rules: list[PlainRule] = []
    while positive and len(rules) < most:
        rule = learn_rule(positive, negative, used, ratio, criterion)
        rest = positive if rule is None else [example for example in positive if not fires(rule, example)]
        if rule is None or len(rest) == len(positive):
            break
        rules.append(rule)
        positive = rest
    return rules


def fold_list(
    examples: list[Example], target: list[int], n_values: int, ratio: float, criterion: str = "entropy"
) -> list[tuple[int, PlainRule]]:
    left = list(zip(examples, target, strict=True))
    rules: list[tuple[int, PlainRule]] = []
    failed: set[int] = set()
    while True:
        sizes = [sum(value == v for _, value in left) for v in range(n_values)]
        values = [v for v in range(n_values) if sizes[v] and v not in failed]
        if sum(map(bool, sizes)) < 2 or not values:
            return rules
        value = max(values, key=sizes.__getitem__)
        positive, negative = ([e for e, v in left if (v == value) == side] for side in (True, False))
        found = fold(positive, negative, set(), ratio, criterion, most=1)
        if found and not found[0][0]:
            return rules  # it would always fire: it is the default
        if found:
            rules.append((value, found[0]))
            left = [(e, v) for e, v in left if not fires(found[0], e)]
        failed = set() if found else failed | {value}
