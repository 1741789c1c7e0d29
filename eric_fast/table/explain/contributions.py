"""What each column of a row adds to the sums of a vote: exact Shapley values against rows of a table."""

from dataclasses import dataclass
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.bits import unpack_words
from eric_fast.program import Program
from eric_fast.program.class_rules import ClassRules
from eric_fast.table.explain.rows import Row
from eric_fast.table.model import RuleModel
from eric_fast.table.table import Table

MOST_BACKGROUND = 100
_MOST_TESTS = 2 * 10**7  # (rule, column) pairs times background rows


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each column adds to a sum of votes.

    The Shapley values of Lundberg and Lee (2017): let the row's values replace those of a background row, column by
    column in any order; a column's contribution is what its turn adds to the sum, averaged over all orders and all
    background rows. Each is computed exactly, rule by rule.

    Attributes:
        columns: the program's columns that some rule compares, their indices.
        values: float64 `[n_columns, n_outputs]`: with `start` they add up to `sums`.
        start: float64 `[n_outputs]`: the mean of the sums of the background rows.
        sums: float64 `[n_outputs]`: those of the row.
        n_background: the number of background rows, evenly spread over the table.
    """

    columns: tuple[int, ...]
    values: NDArray[np.float64]
    start: NDArray[np.float64]
    sums: NDArray[np.float64]
    n_background: int


class _Boxes(NamedTuple):
    """The bodies of rules, column by column.

    Attributes:
        firsts: int64 `[n_sides + 1]`: where the literals of each (rule, column) pair begin in `order`.
        order: int64 `[n_literals]`: the literals, those of a pair together.
        rules, columns: int64 `[n_sides]`, ascending by rule.
    """

    firsts: NDArray[np.int64]
    order: NDArray[np.int64]
    rules: NDArray[np.int64]
    columns: NDArray[np.int64]

    def find_true(self, rules: ClassRules, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool `[n_sides]`: whether all literals of a pair are true of a row with these bits."""
        holds = bits[rules.atoms[self.order]] == (rules.literals[self.order] >= 0)
        return np.logical_and.reduceat(holds, self.firsts[:-1]) if len(holds) else holds


def find_contributions(model: RuleModel, row: Row, data: Table) -> Contributions | None:
    """The contributions of a row's columns against rows of `data`.

    None if the model adds nothing up, or if rules build on derived atoms or weights, where a column has no share of its
    own.
    """
    program = model.program
    if not program.decision.adds_weights or program.kernel_rules or program.has_weight_bodies or not data.n_rows:
        return None
    rules, boxes = program.class_arrays, _split_bodies(program)
    n_background = min(MOST_BACKGROUND, data.n_rows, max(1, _MOST_TESTS // max(1, len(boxes.rules))))
    others = [i * data.n_rows // n_background for i in range(n_background)]
    own = _find_bits(model, row.table)[0]
    mine = boxes.find_true(rules, own)
    sums = np.zeros((len(program.table_quantiser.columns), len(program.classes)))
    start = np.zeros(len(program.classes))
    for other in others:
        bits = _find_bits(model, data.take_rows(other, other + 1))[0]
        sums += _share_votes(program, boxes, mine, boxes.find_true(rules, bits))
        start += _add_votes(program, boxes, boxes.find_true(rules, bits))
    columns = np.unique(boxes.columns)
    factor = model.scale / model.divisor
    return Contributions(
        tuple(columns.tolist()),
        sums[columns] / n_background * factor,
        start / n_background * factor,
        _add_votes(program, boxes, mine) * factor,
        n_background,
    )


def _find_bits(model: RuleModel, table: Table) -> NDArray[np.bool_]:
    """bool `[n_rows, n_atoms]`."""
    bits: NDArray[np.bool_] = unpack_words(model.pack(table).words, table.n_rows).cpu().numpy()
    return bits


def _split_bodies(program: Program) -> _Boxes:
    rules = program.class_arrays
    atoms = program.quantiser.atoms
    column_of = np.array([atom.column for atom in atoms], np.int64) if len(atoms) else np.zeros(0, np.int64)
    rule_of = np.repeat(np.arange(len(rules)), np.diff(rules.offsets))
    keys = rule_of * max(1, len(program.table_quantiser.columns)) + column_of[rules.atoms]
    order = np.argsort(keys, kind="stable")
    found, firsts = np.unique(keys[order], return_index=True)
    n_columns = max(1, len(program.table_quantiser.columns))
    return _Boxes(np.append(firsts, len(keys)), order, found // n_columns, found % n_columns)


def _add_votes(program: Program, boxes: _Boxes, holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The sums of a row, float64 `[n_outputs]`."""
    rules = program.class_arrays
    fires = np.bincount(boxes.rules[~holds], minlength=len(rules)) == 0
    votes = np.repeat(fires, np.diff(rules.vote_offsets))
    sums = np.bincount(rules.vote_classes[votes], rules.vote_weights[votes], len(program.classes))
    return sums + (np.array(program.base) if program.base else 0.0)


def _share_votes(
    program: Program, boxes: _Boxes, mine: NDArray[np.bool_], others: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """float64 `[n_columns, n_outputs]`: what replacing one row's values by mine adds, column by column.

    A rule whose body needs my values in `a` columns and the other's in `b`, and takes either in the rest, fires for
    those orders in which the `a` come before the `b`. So each of the `a` is given (a-1)! b! / (a+b)! of its votes, and
    from each of the `b` as many are taken, with a! (b-1)!.
    """
    rules, n_rules = program.class_arrays, len(program.class_arrays)
    dead = np.bincount(boxes.rules[~mine & ~others], minlength=n_rules) > 0
    a = np.bincount(boxes.rules[mine & ~others], minlength=n_rules)
    b = np.bincount(boxes.rules[~mine & others], minlength=n_rules)
    sides = np.flatnonzero((mine != others) & ~dead[boxes.rules])
    of_side = boxes.rules[sides]
    weights = _list_shares(a[of_side], b[of_side], mine[sides])
    n_votes = np.diff(rules.vote_offsets)[of_side]
    firsts = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_votes)])
    votes = np.arange(firsts[-1]) + np.repeat(rules.vote_offsets[of_side] - firsts[:-1], n_votes)
    shape = len(program.table_quantiser.columns), len(program.classes)
    cells = np.repeat(boxes.columns[sides], n_votes) * shape[1] + rules.vote_classes[votes]
    added = np.repeat(weights, n_votes) * rules.vote_weights[votes]
    shared: NDArray[np.float64] = np.bincount(cells, added, shape[0] * shape[1]).astype(np.float64).reshape(shape)
    return shared


def _list_shares(a: NDArray[np.int64], b: NDArray[np.int64], is_mine: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each side gets of a rule's votes, float64 `[n]`; negative for the other row's sides."""
    table = np.zeros((2, int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1))
    for x in range(table.shape[1]):
        for y in range(table.shape[2]):
            whole = factorial(x + y)
            table[1, x, y] = factorial(x - 1) * factorial(y) / whole if x else 0.0
            table[0, x, y] = -factorial(x) * factorial(y - 1) / whole if y else 0.0
    return table[is_mine.astype(np.int64), a, b]
