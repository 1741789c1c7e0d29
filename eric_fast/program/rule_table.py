"""A program's rules as the columns of a table."""

from collections.abc import Sequence
from typing import Any

from eric_fast.program.confidence import bound_confidence
from eric_fast.program.data import ProgramData
from eric_fast.program.layer_graph import name_start
from eric_fast.program.rules import ClassRule, Rule
from eric_fast.program.words import describe_body, describe_exceptions, describe_votes, name_atom


def tabulate_class_rules(program: ProgramData) -> dict[str, list[Any]]:
    """A row for each class rule, in order; see `Program.list_rules`."""
    rules: list[ClassRule] = list(program.class_rules)
    best = [max([(rule.weight, -rule.head), *((w, -c) for c, w in rule.also)]) for rule in rules]
    told = [
        rule if rule.head == -place else rule.forget_support() for rule, (_, place) in zip(rules, best, strict=True)
    ]
    columns: dict[str, list[Any]] = {
        "rule": list(range(1, len(rules) + 1)),
        "class": [program.classes[-place] for _, place in best],
        **_tabulate_bodies(program, told),
        "weight": [weight for weight, _ in best],
    }
    if any(rule.also for rule in rules):
        columns["votes"] = [describe_votes(program, rule) for rule in rules]
    if program.starts:
        names = list(map(name_start, program.starts))
        columns["start"] = [None if rule.start is None else names[rule.start] for rule in rules]
    return columns


def tabulate_kernel_rules(program: ProgramData) -> dict[str, list[Any]]:
    """A row for each rule of a kernel, in order; see `Program.list_rules`."""
    rules = list(program.kernel_rules)
    return {
        "kernel": [name_atom(program, rule.head) for rule in rules],
        "value": [rule.head not in program.negated for rule in rules],
        **_tabulate_bodies(program, rules),
    }


def _tabulate_bodies(program: ProgramData, rules: Sequence[Rule]) -> dict[str, list[Any]]:
    bounds = [bound_confidence(rule) for rule in rules]
    return {
        "conditions": [_say_conditions(program, rule) for rule in rules],
        "support": [rule.covered for rule in rules],
        "coverage": [
            rule.covered / program.n_images if rule.covered is not None and program.n_images else None for rule in rules
        ],
        "confidence": [rule.confidence for rule in rules],
        "confidence_low": [None if interval is None else interval.low for interval in bounds],
        "confidence_high": [None if interval is None else interval.high for interval in bounds],
    }


def _say_conditions(program: ProgramData, rule: Rule) -> str:
    exceptions = "; ".join(" ".join(line.split()) for line in describe_exceptions(program, rule))
    return describe_body(program, rule) + (f" {exceptions}" if exceptions else "")
