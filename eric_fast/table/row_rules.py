"""Decision lists on a few rows, in plain Python: faster than packing bits where columns are no matrix of numbers.

The fewest rows are asked one at a time. Of more, a comparison's truth on all rows is one integer with a bit for each;
then columns are read when a rule first asks for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.program import Decision, Program
from eric_fast.program.table_atoms import TEXT_KINDS
from eric_fast.table.coded_rules import CodedRules
from eric_fast.table.column_names import bind_columns
from eric_fast.table.few_rows import FewRows, take_few_rows
from eric_fast.table.single_rows import SingleRows
from eric_fast.table.value_codes import NumberCodes, OddValueError

_MOST_LITERALS, _MOST_STRATA = 4096, 64  # of a program, as atoms; its strata are followed by recursion
_MOST_STEPS = 2**19  # of all rows that are asked one at a time, should each rule be asked: 50 milliseconds
_FEW_COLUMNS, _MOST_SINGLY = 8, 128  # rows for which so few columns are read as fast
# Beyond, packed bits are faster, which read columns of numbers of frames and tables at once
_MOST_ROWS, _MOST_ROWS_OF_NUMBERS = 4096, 128

Classes = list[int] | NDArray[np.int32]


class RowRules:
    """A decision list that answers a few rows.

    Args:
        program: see `make_row_rules`.
        rules: its rules.
        named: see `RuleModel`.
    """

    def __init__(self, program: Program, rules: CodedRules, *, named: bool) -> None:
        self.rules = rules
        self.columns = rules.columns
        n_numbers = sum(isinstance(column.codes, NumberCodes) for column in self.columns)
        self.most_rows = _MOST_ROWS if 2 * n_numbers <= len(self.columns) else _MOST_ROWS_OF_NUMBERS
        most = _MOST_ROWS if len(self.columns) > _FEW_COLUMNS else _MOST_SINGLY
        self._most_singly = min(most, _MOST_STEPS // max(1, rules.count_steps()))
        self._names = tuple(column.name for column in program.table_quantiser.columns)
        self._named = named
        self._bound: tuple[object, int, list[int]] = (self, -1, [])  # key, number of columns, places: the last ones
        self._by_place = SingleRows(rules, [column.column for column in self.columns])  # of rows in the program's order
        self._by_key: tuple[list[Any], SingleRows] = ([], self._by_place)  # the last keys

    def find_classes(self, data: object) -> Classes | None:
        """The class of each row, -1 where no rule fires; None for data that are not supported.

        Raises:
            DataError: a column is missing.
        """
        try:
            if type(data) is list and self._are_lists(data):
                return self._by_place.find_classes(data)
            rows = take_few_rows(data, _MOST_ROWS if type(data) is list else self.most_rows)
            if rows is None:
                return None
            places = self._bind(rows)
            if rows.rows is not None and rows.n_rows <= self._most_singly:
                return self._link(rows, places).find_classes(rows.rows)
            truths = _Truths(self.rules, rows, places)
            if self.rules.reads_all:
                truths.read_all()
            return truths.find_classes()
        except (OddValueError, TypeError):  # TypeError: a list or the like in place of a value, which has no hash
            return None

    def _are_lists(self, rows: list[Any]) -> bool:
        """Whether these are a few lists of the program's columns."""
        if not 0 < len(rows) <= self._most_singly:
            return False
        return set(map(type, rows)) == {list} and set(map(len, rows)) == {len(self._names)}

    def _bind(self, rows: FewRows) -> list[int]:
        """The place in the table of each of the program's columns."""
        key, n_columns, places = self._bound
        if not rows.has_columns_of(key, n_columns):
            names = rows.list_names() if self._named else None
            places = bind_columns({column.column for column in self.columns}, self._names, names, rows.n_columns)
            self._bound = (rows.key, rows.n_columns, places)
        return places

    def _link(self, rows: FewRows, places: Sequence[int]) -> SingleRows:
        """The rules for rows with these columns."""
        keys = [places[column.column] for column in self.columns]
        if rows.by_name:
            keys = [rows.key[place] for place in keys]
        known, linked = self._by_key  # read once, since other threads may write it meanwhile
        if known != keys:
            linked = SingleRows(self.rules, keys)
            self._by_key = (keys, linked)
        return linked


class _Truths:
    """The truths of a program's atoms on a few rows, each found when it is first asked for.

    Args:
        places: see `bind_columns`.
    """

    def __init__(self, rules: CodedRules, rows: FewRows, places: Sequence[int]) -> None:
        self._rules, self._rows, self._places = rules, rows, places
        self._all = (1 << rows.n_rows) - 1
        self._codes: list[bytes | None] = [None] * len(rules.columns)
        self._found: dict[int, int] = {}

    def find_classes(self) -> NDArray[np.int32]:
        left, n_rows = self._all, self._rows.n_rows
        fired: dict[int, int] = {}
        for head, body in self._rules.class_rules:
            fires = self._find_body(body, left)
            if fires:
                fired[head] = fired.get(head, 0) | fires
                left ^= fires
                if not left:
                    break
        classes = np.full(n_rows, self._rules.default, np.int32)
        for head, bits in fired.items():
            if bits == self._all:
                classes[:] = head
            else:  # the first row is the first digit
                classes[np.frombuffer(f"{bits:0{n_rows}b}".encode(), np.uint8) == ord("1")] = head
        return classes

    def read_all(self) -> None:
        """Raises OddValueError: a value that is not supported, in any column."""
        for place in range(len(self._codes)):
            self._read(place)

    def _find_body(self, body: Sequence[int], left: int) -> int:
        """The rows among those `left` where all literals of a body hold."""
        for literal in body:
            left &= self._find(literal) if literal >= 0 else ~self._find(~literal)
            if not left:
                break
        return left

    def _find(self, atom: int) -> int:
        found = self._found.get(atom)
        if found is None:
            test = self._rules.tests.get(atom)
            if test is None:
                found = self._follow_rules(atom)
            elif self._all == 1:  # a single row
                found = test.truths[self._read(test.place)[0]] & 1
            else:
                found = int(self._read(test.place).translate(test.truths), 2)
            self._found[atom] = found
        return found

    def _follow_rules(self, atom: int) -> int:
        found = 0
        for body in self._rules.bodies_of.get(atom, ()):
            found |= self._find_body(body, self._all & ~found)
        return found ^ self._all if atom in self._rules.negated else found

    def _read(self, place: int) -> bytes:
        codes = self._codes[place]
        if codes is None:
            column, code_of = self._rules.columns[place]
            codes = self._codes[place] = code_of.encode(self._rows.take(self._places[column]))
        return codes


def make_row_rules(
    program: Program, *, named: bool, values: str, categories: Mapping[str, object], optional: Sequence[str]
) -> RowRules | None:
    """What answers a few rows; None for programs that are not supported.

    Args:
        named, values, categories, optional: see `RuleModel`.
    """
    if program.decision is not Decision.FIRST or values != "any" or categories or optional:
        return None
    if program.starts or program.has_weight_bodies or not program.table_quantiser.atoms:
        return None
    if max(program.n_literals, len(program.atoms)) > _MOST_LITERALS or len(program.strata) > _MOST_STRATA:
        return None
    atoms, columns = program.table_quantiser.atoms, program.table_quantiser.columns
    used = {(columns[atom.column].kind, atom.operator == "in") for atom in atoms}
    if not all(kind in TEXT_KINDS if is_set else kind in ("loose", "float64") for kind, is_set in used):
        return None
    if any(head < len(atoms) for head in program.rules_of_atom):
        return None
    rules = CodedRules(program)
    return RowRules(program, rules, named=named) if rules.is_sound else None
