"""FOLD-RM's fitted object, by its attributes: rules with nested exceptions and their exact thresholds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd, is_from
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table.model import RuleModel
from eric_fast.table.settings import spell_labels

_TEXT_OPERATORS, _NUMBER_OPERATORS = ("==", "!="), ("<=", ">")


class _Test(NamedTuple):
    """`column operator value`, as FOLD-RM keeps it."""

    column: int
    operator: str
    value: str | float


class _Default(NamedTuple):
    """A rule that holds where its tests do and none of its exceptions."""

    tests: tuple[_Test, ...]
    exceptions: tuple["_Default", ...]


def from_foldrm(model: Any) -> RuleModel:
    """The fitted `Classifier` of the package foldrm with the same `predict`, None where no rule fires.

    FOLD-RM's printed text rounds thresholds to three decimals and changes spelling; the object has both as they were
    learned. It is read by its attributes `attrs`, `label` and `rules`. Columns are called as `attrs` has them.

    Texts are compared as they are spelt; a missing value is the empty text, as in a file that FOLD-RM reads. Columns
    that are compared with texts as well as numbers are matched as the kind `loose` of `Column` is.

    Raises:
        ModelError: a model that isn't fitted, or rules of another form.

    Examples:
        >>> from types import SimpleNamespace
        >>> rules = [((-1, "==", "no"), [(0, ">", 20.00049)], [(-1, [(1, "==", "Sun")], [], 0)], 0)]
        >>> fitted = SimpleNamespace(attrs=["wind", "sky", "play"], label="play", rules=rules)
        >>> ef.from_foldrm(fitted).predict({"wind": [20.0005, 20.0004, 30], "sky": ["Rain", "Rain", "Sun"]}).tolist()
        ['no', None, None]
    """
    kind = type(model).__name__
    missing = [name for name in ("attrs", "label", "rules") if not hasattr(model, name)]
    if missing:
        raise ModelError(f"a {kind} without '{missing[0]}' is no model of FOLD-RM; give its fitted Classifier")
    if model.rules is None:
        raise ModelError(f"FOLD-RM's {kind} isn't fitted; call its fit first")
    names = [str(name) for name in model.attrs or ()]
    names = names[:-1] if names and names[-1] == model.label else names
    labels: list[Any] = []
    rules: list[tuple[int, _Default]] = []
    for number, rule in enumerate(model.rules, 1):
        place = f"FOLD-RM's rule {number}"
        found = _read_rule(rule, names, place)
        head = rule[0]
        if not isinstance(head, tuple | list) or len(head) != 3:
            raise ModelError(f"{place}: expected a class such as (-1, '==', 'yes'), got {head!r:.60}")
        if head[2] not in labels:
            labels.append(head[2])
        rules.append((labels.index(head[2]), found))
    classes = tuple(spell_labels(labels)) if labels else ()
    return RuleModel(_build_program(names, classes, rules), "FOLD-RM", labels or None)


def _read_rule(rule: Any, names: Sequence[str], place: str) -> _Default:
    """A rule (head, tests, exceptions, 0), its exceptions too. Raises ModelError: anything else."""
    if not isinstance(rule, tuple | list) or len(rule) != 4 or rule[3] != 0:
        raise ModelError(f"{place}: expected (head, tests, exceptions, 0), got {rule!r:.60}")
    tests = tuple(_read_test(test, names, place) for test in rule[1])
    return _Default(tests, tuple(_read_rule(exception, names, place) for exception in rule[2]))


def _read_test(test: Any, names: Sequence[str], place: str) -> _Test:
    if not isinstance(test, tuple | list) or len(test) != 3:
        raise ModelError(f"{place}: expected (column, operator, value), got {test!r:.60}")
    column, operator, value = test
    if not isinstance(column, int) or not 0 <= column < len(names):
        raise ModelError(f"{place}: column {column!r:.60} is not one of the {len(names)} that 'attrs' names")
    if isinstance(value, str) and operator in _TEXT_OPERATORS:
        return _Test(column, operator, value)
    if isinstance(value, int | float) and operator in _NUMBER_OPERATORS and float(value) == value:
        return _Test(column, operator, float(value) + 0.0)  # -0.0 compares as 0.0 does
    raise ModelError(f"{place}: '{names[column]}' {operator!r:.20} {value!r:.60} is not a test of FOLD-RM's")


def _build_program(names: Sequence[str], classes: tuple[str, ...], rules: Sequence[tuple[int, _Default]]) -> Program:
    shared: dict[tuple[_Default, ...], int] = {}  # exceptions -> their derived atom, each once
    for _, rule in rules:
        _collect_exceptions(rule, shared)
    parts = [rule for _, rule in rules] + [rule for exceptions in shared for rule in exceptions]
    compared: list[set[type]] = [set() for _ in names]
    for part in parts:
        for test in part.tests:
            compared[test.column].add(type(test.value))
    kinds = ["float64" if str not in types else "text" if float not in types else "loose" for types in compared]
    atoms: dict[TableAtom, int] = {}

    def find_literal(test: _Test) -> int:
        name, value = names[test.column], test.value
        if isinstance(value, float):
            atom = TableAtom(test.column, name, test.operator, value)
            return atoms.setdefault(atom, len(atoms))
        atom = TableAtom(test.column, name, "in", (value,), missing=not value)
        index = atoms.setdefault(atom, len(atoms))
        return index if test.operator == "==" else ~index

    bodies = {part: tuple(dict.fromkeys(map(find_literal, part.tests))) for part in parts}

    def finish(part: _Default) -> tuple[int, ...]:
        return bodies[part] + ((~(len(atoms) + shared[part.exceptions]),) if part.exceptions else ())

    return Program(
        TableQuantiser(tuple(atoms), tuple(map(Column, names, kinds))),
        classes,
        tuple(ClassRule(head, finish(rule)) for head, rule in rules),
        tuple(Rule(len(atoms) + atom, finish(part)) for exceptions, atom in shared.items() for part in exceptions),
        derived=tuple(f"ab{atom + 1}" for atom in shared.values()),
    )


def _collect_exceptions(rule: _Default, shared: dict[tuple[_Default, ...], int]) -> None:
    if rule.exceptions:
        shared.setdefault(rule.exceptions, len(shared))
    for exception in rule.exceptions:
        _collect_exceptions(exception, shared)


def _matches(source: Any) -> bool:
    """Whether this is the package's own object."""
    return is_from(source, "foldrm") and type(source).__name__ == "Classifier"


FOLDRM = FrontEnd("FOLD-RM", _matches, from_foldrm)
