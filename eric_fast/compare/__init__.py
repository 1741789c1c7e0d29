"""Compare two programs on the same images, and rule by rule."""

from eric_fast.compare.programs import Comparison, compare_programs
from eric_fast.compare.rules import ChangedRule, NamedRule, RuleChanges, compare_rules

__all__ = [
    "ChangedRule",
    "Comparison",
    "NamedRule",
    "RuleChanges",
    "compare_programs",
    "compare_rules",
]
