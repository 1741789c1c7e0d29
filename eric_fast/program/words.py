"""Rules in words, and as the columns of a table."""

from collections.abc import Collection, Sequence
from typing import Any

from eric_fast.errors import ProgramError, say_count, suggest_nearest
from eric_fast.program.confidence import bound_confidence, find_least_confidence
from eric_fast.program.data import ProgramData, atom_of
from eric_fast.program.decision import Decision
from eric_fast.program.layer_graph import name_start
from eric_fast.program.rules import ClassRule, Rule
from eric_fast.program.table_atoms import TableAtom

MOST_VOTES = 20  # of a rule, that are said


def name_atom(program: ProgramData, atom: int) -> str:
    """`features.19:17`, with its label where a person gave one."""
    label = program.label_of_atom.get(atom)
    return f"{program.atoms[atom].name}" + (f" ({label})" if label else "")


def name_literal(program: ProgramData, literal: int) -> str:
    """`not features.19:3`; `not (age <= 30 or missing)`."""
    atom, name = program.atoms[atom_of(literal)], name_atom(program, atom_of(literal))
    return ("" if literal >= 0 else "not ") + (f"({name})" if isinstance(atom, TableAtom) and atom.missing else name)


def describe_body(program: ProgramData, rule: Rule) -> str:
    """`features.19:17 and not features.19:3`; of a weight body `3 * features.19:17 + not features.19:3 >= 4`.

    Where all weights are 1: `at least 2 of features.19:17, not features.19:3, features.19:5`.
    """
    words = [name_literal(program, literal) for literal in rule.body]
    if not rule.bound:
        return " and ".join(words) or "always"
    if set(rule.weights) == {1}:
        return f"at least {rule.bound:,} of {', '.join(words)}"
    terms = [f"{weight:,} * {word}" if weight > 1 else word for weight, word in zip(rule.weights, words, strict=True)]
    return f"{' + '.join(terms)} >= {rule.bound:,}"


def describe_support(program: ProgramData, rule: Rule) -> str:
    """`support 412, coverage 0.8 %, confidence 0.97 (0.95 at least)`: what is known of a rule; empty if nothing is.

    The confidence has the lower bound of Wilson's interval, at 95 %; one that another tool states stands alone.
    """
    parts = []
    if rule.covered is not None:
        parts.append(f"support {rule.covered:,}")
        if program.n_images:
            parts.append(f"coverage {100 * rule.covered / program.n_images:.1f} %")
    least = find_least_confidence(rule)
    if rule.confidence is not None and least is not None:
        is_given = least == rule.confidence
        parts.append(f"confidence {rule.confidence:.2f}" + ("" if is_given else f" ({least:.2f} at least)"))
    return ", ".join(parts)


def describe_exceptions(program: ProgramData, rule: Rule, depth: int = 1) -> list[str]:
    """`    unless  features.19:3 (ab1)`: a line for each exception to a rule, those to exceptions indented below.

    An exception is a rule for a derived atom whose negation this rule's body alone mentions.
    """
    lines = []
    for literal in rule.body:
        if literal < 0 and ~literal in program.exception_atoms:
            for exception in program.rules_of_atom[~literal]:
                text = describe_body(program, exception)
                lines.append(f"{'    ' * depth}unless  {text}  ({name_atom(program, ~literal)})")
                lines += describe_exceptions(program, exception, depth + 1)
    return lines


def describe_votes(program: ProgramData, rule: ClassRule, most: int | None = None, first: Collection[int] = ()) -> str:
    """`+3 truck, -1 ship`; of more than `most` those of `first`, then the largest, and how many more there are."""
    votes = list(rule.votes)
    n_more = 0 if most is None else max(0, len(votes) - most)
    if n_more:
        votes = sorted(votes, key=lambda vote: (vote[0] not in first, -abs(vote[1]), vote[0]))[:most]
    said = ", ".join(f"{weight:+g} {program.classes[c]}" for c, weight in votes)
    return said + (f" and {n_more:,} more" if n_more else "")


def describe_class_rule(program: ProgramData, number: int) -> str:
    """Class rule `number` (from 1, as in the text) in two lines, with one more for each exception or term of a sum."""
    rule = program.class_rules[number - 1]
    is_label = program.decision.gives_labels
    is_negative = is_label and rule.weight == -1 and not rule.also
    is_said = program.decision is Decision.VOTE or (is_label and rule.weight != 1 and not is_negative)
    votes = f", weight {rule.weight:g}" if is_said else ""
    if rule.also and (votes or is_label):
        votes = f", adds {describe_votes(program, rule, MOST_VOTES)}"
    start = "" if rule.start is None else f", from {name_start(program.starts[rule.start])} alone"
    support = f"    rule {number}: {describe_support(program, rule) or 'support unknown'}{votes}{start}"
    head = f"{'not ' if is_negative else ''}{program.classes[rule.head]}"
    return "\n".join([*_describe_rule(program, head, rule), support])


def describe_kernel_rule(program: ProgramData, rule: Rule) -> str:
    """A rule for a kernel: when it is true, or when it is not; a line for each exception; its support if known."""
    prefix = "not " if rule.head in program.negated else ""
    support = describe_support(program, rule)
    lines = _describe_rule(program, f"{prefix}{name_atom(program, rule.head)}", rule)
    return "\n".join([*lines, *([f"    {support}"] if support else [])])


def _describe_rule(program: ProgramData, head: str, rule: Rule) -> list[str]:
    """A conjunction in a line, with its exceptions; a weight body as a score card, the most points first."""
    if not rule.bound:
        return [f"{head}  if  {describe_body(program, rule)}", *describe_exceptions(program, rule)]
    width = len(f"{max(rule.weights):,}")
    terms = sorted(zip(rule.weights, rule.body, strict=True), key=lambda term: -term[0])
    return [
        f"{head}  if at least {rule.bound:,} of {sum(rule.weights):,} points:",
        *(f"    {weight:>{width},}  {name_literal(program, literal)}" for weight, literal in terms),
        *describe_exceptions(program, rule),
    ]


def describe_weights(program: ProgramData) -> str:
    """`, 218 integers`: weights and bounds other than 1, so that nobody reads the rules that have them as leaves."""
    return f", {say_count(program.n_integers, 'integer')}"


def describe_program(program: ProgramData, *, with_settings: bool = False) -> str:
    """Its layers and size in two lines; then which layers feed which, if they are no straight pipe, and settings."""
    n_kernels = ", ".join(f"{layer} ({len(program.quantiser.rows_of_layer[layer])})" for layer in program.layers)
    lines = [
        f"{len(program.class_rules):,} class rules and {len(program.kernel_rules):,} kernel rules with "
        f"{program.n_literals:,} literals{describe_weights(program)}; decision {program.decision}",
        f"layers (kernels): {n_kernels or 'none'}",
    ]
    if program.edges:
        fed = (f"{', '.join(own)} -> {layer or 'classes'}" for layer, own in program.graph.sources.items() if own)
        lines.append(f"what feeds what: {'; '.join(fed)}")
    if with_settings and program.settings:
        short = {key: value if len(value) <= 40 else f"{value[:37]}..." for key, value in program.settings}
        lines.append(", ".join(f"{key} {value}" for key, value in short.items()))
    return "\n".join(lines) + "\n"


def select_rules(
    program: ProgramData,
    class_name: str | None = None,
    kernel: str | None = None,
    classes: Collection[str] | None = None,
) -> list[str]:
    """Rules in words: of this class, or of some classes, and that define or use this kernel; else all class rules.

    Those that cover most come first; rules for the kernel itself before rules that use it.

    Raises:
        ProgramError: no such class or kernel.
    """
    if class_name is not None and class_name not in program.classes:
        hint = suggest_nearest(class_name, program.classes)
        raise ProgramError(f"'{class_name}' is not a class of this program{hint}")
    atom = None if kernel is None else program.atom_named(kernel)

    def uses(rule: Rule) -> bool:
        return atom is None or any(atom_of(literal) == atom for literal in rule.body)

    def by_coverage(rule: Rule) -> int:
        return -(rule.covered or 0)

    numbered = [
        (number, rule)
        for number, rule in enumerate(program.class_rules, 1)
        if uses(rule)
        and (class_name is None or program.classes[rule.head] == class_name)
        and (classes is None or program.classes[rule.head] in classes)
    ]
    class_texts = [
        describe_class_rule(program, number) for number, rule in sorted(numbered, key=lambda pair: by_coverage(pair[1]))
    ]
    if atom is None:
        return class_texts or [f"no rule is for class {class_name}" if class_name else "no class rules"]
    defining = sorted(program.rules_of_atom.get(atom, ()), key=by_coverage)
    using = [] if class_name is not None else sorted(filter(uses, program.kernel_rules), key=by_coverage)
    texts = [describe_kernel_rule(program, rule) for rule in [*defining, *using]] + class_texts
    if atom in program.negated and not defining:
        texts.insert(0, f"{name_atom(program, atom)}  if  always")
    return texts or [f"no rule defines or uses {name_atom(program, atom)}"]


def pick_covering_rules(program: ProgramData, n_classes: int) -> list[int]:
    """The numbers of the most covering rules of the `n_classes` classes whose rule covers most."""
    best: dict[int, int] = {}
    covered = [rule.covered or 0 for rule in program.class_rules]
    for number in sorted(range(1, len(covered) + 1), key=lambda number: -covered[number - 1]):
        best.setdefault(program.class_rules[number - 1].head, number)
    return list(best.values())[:n_classes]


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
