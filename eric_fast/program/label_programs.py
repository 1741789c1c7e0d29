"""One label of a program that answers with several, as a program of two classes."""

from dataclasses import replace

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.program.data import ProgramData
from eric_fast.program.decision import Decision
from eric_fast.program.rules import ClassRule


def name_label_classes(label: str) -> tuple[str, str]:
    """The two classes of a label: `not cat` and `cat`."""
    return f"not {label}", label


def find_label_index(classes: tuple[str, ...], label: str | None, what: str) -> int:
    """The index of a label. Raises ProgramError: none is named, or there is no such label."""
    if label is None:
        shown = ", ".join(classes[:10]) + (f" and {len(classes) - 10:,} more" if len(classes) > 10 else "")
        raise ProgramError(f"{what} is about one label of several; name it with --label: {shown}")
    if label not in classes:
        raise ProgramError(f"'{label}' is not a label of this program{suggest_nearest(label, classes)}")
    return classes.index(label)


def find_label_parts(program: ProgramData, label: str) -> dict[str, object]:
    """The fields in which the program of one label differs; it votes for `not LABEL`, or for the label.

    Where the label's sum is above 0 the label wins; `not LABEL` has 0, and wins ties. Where no rule fires the base
    decides. If each rule alone takes the whole base away, as those that `extract` learns for where a label is false,
    the rules vote for `not LABEL`, and the label is the default.
    """
    index = find_label_index(program.classes, label, "this")
    base = program.base[index] if program.base else 0.0
    weights = {
        number: weight
        for number, rule in enumerate(program.class_rules)
        if (weight := _find_weight(rule, index)) is not None
    }
    says_not = base > 0 and all(-weight >= base for weight in weights.values())
    rules = []
    for number, weight in weights.items():
        rule = program.class_rules[number]
        own = replace(rule, head=0 if says_not else 1, weight=-weight if says_not else weight, also=())
        keeps_support = rule.head == index and (says_not or weight >= 0)
        rules.append(own if keeps_support else replace(own.forget_support(), given_confidence=None))
    return {
        "classes": name_label_classes(label),
        "class_rules": tuple(rules),
        "decision": Decision.VOTE,
        "base": () if says_not else (0.0, base),
        "default": int(base > 0),
    }


def _find_weight(rule: ClassRule, index: int) -> float | None:
    """What a rule adds to a label; None if nothing, and the rule isn't about it."""
    weight = sum(own for output, own in rule.votes if output == index)
    return weight if weight or rule.head == index else None
