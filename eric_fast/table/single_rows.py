"""A decision list on one row at a time, in plain Python: for the fewest rows, above all where they are lists already.

A literal takes a row's value, looks up its code, and whether it holds for that. No value is read that isn't asked for,
unless `CodedRules.reads_all` says so.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from eric_fast.table.coded_rules import CodedRules

# By whether a literal should hold: from the truths of a comparison, as digits, to whether the literal does
_DOES_HOLD = {True: bytes.maketrans(b"01", b"\0\1"), False: bytes.maketrans(b"01", b"\1\0")}
# Of a comparison: what a row gives its value by, the codes of the column, for each code whether the literal holds, and
# None. Of a derived atom: None twice, whether it should hold, and the bodies of its rules. Python unpacks plain tuples
# sooner than named ones.
_Literal = tuple[Any, Any, Any, Any]


class SingleRows:
    """A decision list, ready to be asked for single rows.

    Args:
        rules: of few steps; see `CodedRules.count_steps`.
        keys: what a row gives the values of each of `rules.columns` by: `row[key]`.
    """

    def __init__(self, rules: CodedRules, keys: Sequence[Any]) -> None:
        @cache
        def link_literal(literal: int) -> _Literal:
            atom, wish = max(literal, ~literal), literal >= 0
            test = rules.tests.get(atom)
            if test is None:
                bodies = tuple(tuple(map(link_literal, body)) for body in rules.bodies_of.get(atom, ()))
                return None, None, wish != (atom in rules.negated), bodies
            return keys[test.place], rules.columns[test.place].codes, test.truths.translate(_DOES_HOLD[wish]), None

        self._rules = [(head, tuple(map(link_literal, body))) for head, body in rules.class_rules]
        self._default = rules.default
        columns = zip(keys, rules.columns, strict=True)
        self._read_first = [(key, column.codes) for key, column in columns] if rules.reads_all else []

    def find_classes(self, rows: Sequence[Any]) -> list[int]:
        """The class of each row, -1 where no rule fires.

        Raises:
            OddValueError: a value that is not supported. TypeError: one that has no hash.
        """
        for key, codes in self._read_first:
            for row in rows:
                codes[row[key]]
        return [self._find_class(row) for row in rows]

    def _find_class(self, row: Any) -> int:
        for head, body in self._rules:
            if _holds(body, row):
                return head
        return self._default


def _holds(body: Iterable[_Literal], row: Any) -> bool:
    """Whether all literals hold."""
    for key, codes, wish, bodies in body:
        if bodies is None:
            if not wish[codes[row[key]]]:
                return False
            continue
        holds = False
        for other in bodies:
            if _holds(other, row):
                holds = True
                break
        if holds != wish:
            return False
    return True
