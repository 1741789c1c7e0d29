"""Compare the rules of two programs: the same, with other thresholds, or in one program only."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from eric_fast.program import InputAtom, Program, TableAtom, atom_of
from eric_fast.program.rules import Rule
from eric_fast.program.words import describe_body, describe_votes

Constant = float | tuple[float | str, ...]


@dataclass(frozen=True)
class NamedRule:
    """A rule of one of the programs.

    Attributes:
        head: the class or the kernel that it is for; `not` stands before a kernel that the rule makes false.
        number: of a class rule, counted from 1 as in the text; None for a kernel's rule.
        text: the body in words.
        covered: training images that it covers, if known.
    """

    head: str
    number: int | None
    text: str
    covered: int | None


@dataclass(frozen=True)
class ChangedRule:
    """A rule of both programs that compares the same kernels in the same way, but with other thresholds.

    Weights and bounds of bodies are the same.

    Attributes:
        first: the rule in the first program.
        second: the rule in the second program.
        thresholds: (kernel or column, threshold in the first, threshold in the second), for those that differ.
    """

    first: NamedRule
    second: NamedRule
    thresholds: tuple[tuple[str, Constant, Constant], ...]


@dataclass(frozen=True)
class RuleChanges:
    """How the rules of one program differ from those of another.

    Attributes:
        same: rules of both programs with the same head and the same literals, in any order, with the same weights and
            bound if their bodies are weight bodies; of class rules also with the same votes, for the same start.
        changed: rules of both programs with other thresholds.
        gone: rules of the first program only, those that cover most first.
        new: rules of the second program only, those that cover most first.
        in_order: whether the class rules of `same` and `changed` stand in the same order in both programs.
    """

    same: tuple[tuple[NamedRule, NamedRule], ...]
    changed: tuple[ChangedRule, ...]
    gone: tuple[NamedRule, ...]
    new: tuple[NamedRule, ...]
    in_order: bool


@dataclass(frozen=True)
class _Keyed:
    """A rule, and the keys that it is matched by: with constants (`exact`) and without (`loose`)."""

    rule: NamedRule
    exact: Hashable
    loose: Hashable
    constants: dict[str, Constant] = field(compare=False)


def compare_rules(first: Program, second: Program) -> RuleChanges:
    """Match each rule of two programs with the same rule of the other, else with one that has other thresholds."""
    ours, theirs = list(_list_keyed(first)), list(_list_keyed(second))
    same, ours, theirs = _match(ours, theirs, lambda one: one.exact)
    changed, ours, theirs = _match(ours, theirs, lambda one: one.loose)
    pairs = [(a.rule.number, b.rule.number) for a, b in (*same, *changed) if a.rule.number is not None]
    numbers = [number for _, number in sorted(pairs, key=lambda pair: pair[0] or 0)]
    return RuleChanges(
        same=tuple((a.rule, b.rule) for a, b in same),
        changed=tuple(ChangedRule(a.rule, b.rule, _list_thresholds(a, b)) for a, b in changed),
        gone=_sort_rules(ours),
        new=_sort_rules(theirs),
        in_order=numbers == sorted(numbers, key=lambda number: number or 0),
    )


def list_kernels(program: Program) -> set[str]:
    """List the kernels or columns that a program's rules mention or define, by name."""
    bodies = [rule.body for rule in program.kernel_rules] + [rule.body for rule in program.class_rules]
    atoms = {atom_of(literal) for body in bodies for literal in body} | {rule.head for rule in program.kernel_rules}
    return {_describe_atom(program, atom)[0] for atom in atoms}


def _describe_atom(program: Program, atom: int) -> tuple[str, str, Constant]:
    """Describe an atom: what it compares, how, and with which constant."""
    found = program.atoms[atom]
    if isinstance(found, InputAtom):
        return found.name, found.operator, found.constant
    if isinstance(found, TableAtom):
        return found.feature, found.operator + (" or missing" if found.missing else ""), found.constant
    return found.name, "", 0.0


def _list_keyed(program: Program) -> Iterator[_Keyed]:
    for number, rule in enumerate(program.class_rules, 1):
        head = program.classes[rule.head]
        start = () if rule.start is None else program.starts[rule.start]
        votes = describe_votes(program, rule) if program.decision.adds_weights else ""
        yield _key_rule(program, rule, ("class", head, start, votes), head, number, {}, f"  ({votes})" if votes else "")
    for kernel_rule in program.kernel_rules:
        name, operator, constant = _describe_atom(program, kernel_rule.head)
        is_negated = kernel_rule.head in program.negated
        head = ("not " if is_negated else "") + name
        key = ("kernel", head, operator)
        yield _key_rule(program, kernel_rule, key, head, None, {name: constant})


def _key_rule(
    program: Program,
    rule: Rule,
    key: Hashable,
    head: str,
    number: int | None,
    constants: dict[str, Constant],
    votes: str = "",
) -> _Keyed:
    exact, loose = set(), []
    found = dict(constants)
    weights = rule.weights or [0] * len(rule.body)
    for literal, weight in dict(zip(rule.body, weights, strict=True)).items():
        name, operator, constant = _describe_atom(program, atom_of(literal))
        exact.add((name, operator, constant, literal < 0, weight))
        loose.append((name, operator, literal < 0, weight))
        found[f"{name} {operator}" if name in found else name] = constant
    named = NamedRule(head, number, describe_body(program, rule) + votes, rule.covered)
    loose_key = (key, tuple(sorted(loose)), rule.bound)
    return _Keyed(named, (key, *constants.values(), frozenset(exact), rule.bound), loose_key, found)


def _match(
    ours: list[_Keyed], theirs: list[_Keyed], key: Callable[[_Keyed], Hashable]
) -> tuple[list[tuple[_Keyed, _Keyed]], list[_Keyed], list[_Keyed]]:
    """Pair rules with equal keys, each at most once: the pairs, and the rules of both sides that are left."""
    waiting: dict[Hashable, list[_Keyed]] = defaultdict(list)
    for rule in reversed(theirs):
        waiting[key(rule)].append(rule)
    pairs, left = [], []
    for rule in ours:
        if waiting[key(rule)]:
            pairs.append((rule, waiting[key(rule)].pop()))
        else:
            left.append(rule)
    paired = {id(b) for _, b in pairs}
    return pairs, left, [rule for rule in theirs if id(rule) not in paired]


def _list_thresholds(a: _Keyed, b: _Keyed) -> tuple[tuple[str, Constant, Constant], ...]:
    return tuple(
        (name, constant, b.constants[name])
        for name, constant in a.constants.items()
        if b.constants.get(name, constant) != constant
    )


def _sort_rules(rules: list[_Keyed]) -> tuple[NamedRule, ...]:
    return tuple(sorted((one.rule for one in rules), key=lambda rule: (rule.number is None, -(rule.covered or 0))))
