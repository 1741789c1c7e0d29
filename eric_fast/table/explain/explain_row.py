"""`RowExplanation`: why a model answers as it does about one row of a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.bits import BitMatrix
from eric_fast.errors import DataError, ModelError, say_count
from eric_fast.evaluator import NO_RULE
from eric_fast.explain.check import check_proof
from eric_fast.explain.proof import Proof, prove_answers
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import ClassRule, Program
from eric_fast.program.table_atoms import TABLE
from eric_fast.results.described import Described
from eric_fast.table.explain.changes import ColumnReach, RowCounterfactual, RowSearch
from eric_fast.table.explain.choices import list_choices
from eric_fast.table.explain.conditions import RowCondition, list_conditions
from eric_fast.table.explain.contributions import Contributions, find_contributions
from eric_fast.table.explain.rows import Row, read_row
from eric_fast.table.model import RuleModel
from eric_fast.table.table import as_table

MOST_PROVED = 1_000  # class rules of a vote, up to which each that doesn't fire is proved, too


class FiredRule(NamedTuple):
    """A class rule that fires.

    Attributes:
        number: counted from 1, as in the program's text.
        rule: the rule.
        conditions: its comparisons with the row's values.
        derived: its literals about derived atoms, such as exceptions.
    """

    number: int
    rule: ClassRule
    conditions: tuple[RowCondition, ...]
    derived: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class RowExplanation(Described, PickledByFields):
    """Why a model answers as it does about one row.

    Attributes:
        model: the model.
        row: what the row is called: `row 17`.
        values: the model's columns -> the row's values; None where missing.
        answer: what `model.predict` gives for the row: a label, None where no rule fires, or a number.
        shares: class label -> probability, where the model has probabilities.
        fired: the class rules that decide: the first that fires, or under a vote all that fire, the largest weights
            first.
        proof: of a list of rules, and of a vote with derived atoms: the whole proof, checked; else None.
        counterfactuals: for each other class the nearest row that is answered so; empty without classes.
        reaches: of a regression, what each column alone could make of the answer.
        contributions: what each column adds to the sums; None without a table to compare with.
        n_seen: the rows of the table that ranges and contributions are taken from; None if none was given.
    """

    model: RuleModel
    row: str
    values: Mapping[str, Any]
    answer: Any
    shares: Mapping[Any, float]
    fired: tuple[FiredRule, ...]
    proof: Proof | None
    counterfactuals: tuple[RowCounterfactual, ...]
    reaches: tuple[ColumnReach, ...]
    contributions: Contributions | None
    n_seen: int | None

    def list_facts(self) -> Iterator[str]:
        yield self.row
        yield f"the answer is {self.answer}"
        yield f"{say_count(len(self.fired), 'rule')} decided"
        found = [one for one in self.counterfactuals if one.changes is not None]
        if found:
            changes = ", ".join(f"{change.column} {change.words}" for change in found[0].changes or ())
            yield f"{self.model.program.classes[found[0].target]} with {changes}"

    @property
    def program(self) -> Program:
        return self.model.program


def explain_row(
    model: RuleModel | Program | Any, row: Any, *, data: Any = None, name: str = "the row"
) -> RowExplanation:
    """Explain what a model answers about one row of a table.

        model = eric_fast.load(forest)
        eric_fast.explain_row(model, {"age": 31, "job": "none"}, data=X_train)

    The explanation holds the rules that decided, with the row's values; for each other class the nearest
    counterfactual, which is the fewest columns to change and of those the least change, within the values seen in
    `data`; and for sums of trees and other votes what each column adds (see `Contributions`).

    Args:
        model: what `load` gives, a program over a table, or a fitted `EricClassifier` or `FoldClassifier`.
        row: values by the names of columns (a dict or a pandas Series), in their order, or a table of one row.
        data: a table with rows to compare with, such as the training set: it gives each column's range and the
            background of contributions. Without it, ranges are those of the program's own constants.
        name: what the row is called.

    Raises:
        ModelError: something that is no model over a table; a circuit, which answers with bits.
        DataError: it is no row; or `row` or `data` lacks a column, or `data` has no rows.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> rows, labels = load_iris(return_X_y=True)
        >>> model = ef.load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(rows, labels))
        >>> ef.explain_row(model, rows[0], data=rows)
        <RowExplanation: the row, the answer is 0, 1 rule decided, 1 with x3 more than 0.8>
    """
    model = _take_rule_model(model)
    program = model.program
    if program.decision.gives_bits:
        raise ModelError(f"{model.source} answers with bits: explain_row takes models with classes or sums")
    if program.decision.gives_labels:
        raise ModelError(f"{model.source} answers with several labels: explain one, with program.select_label(NAME)")
    read = read_row(model, row)
    seen = None if data is None else as_table(data)
    if seen is not None and not seen.n_rows:
        raise DataError("data has no rows to compare with; leave it out, or give some")
    choices = list_choices(model, read, seen)
    search = RowSearch(model, read, choices)
    bits = model.pack(read.table)
    proof, index = None, NO_RULE
    if program.decision.gives_class:
        index = int(model.predict_indices(read.table)[0])
        proof = _prove(program, bits)
    return RowExplanation(
        model,
        name,
        dict(zip((column.name for column in program.table_quantiser.columns), read.values, strict=True)),
        model.predict(read.table)[0],
        _list_shares_of_classes(model, read),
        _list_fired(model, bits, proof, read.values, index),
        proof,
        search.find_counterfactuals(index) if program.decision.gives_class else (),
        () if program.decision.gives_class else search.find_reaches(),
        None if seen is None else find_contributions(model, read, seen),
        None if seen is None else seen.n_rows,
    )


def _take_rule_model(model: Any) -> RuleModel:
    if isinstance(model, RuleModel):
        return model
    program = getattr(model, "program_", model)
    if isinstance(program, Program):
        return RuleModel.from_program(program)
    if hasattr(model, "fit") and type(model).__module__.startswith("eric_fast."):
        raise ModelError(f"this {type(model).__name__} isn't fitted yet; call fit first")
    raise ModelError(f"a {type(model).__name__} is no model over a table; load it first: explain_row(load(model), row)")


def _prove(program: Program, bits: BitMatrix) -> Proof | None:
    """The proof, checked; None for votes whose rules are all there is to show."""
    if not program.decision.takes_first and not (program.kernel_rules and len(program.class_rules) <= MOST_PROVED):
        return None
    if not program.layers:
        return None
    (proof,) = prove_answers(program, bits)
    truth = bits.to_bools()[0].tolist()
    check_proof(program, {atom for atom in program.quantiser.rows_of_layer[TABLE] if truth[atom]}, proof)
    return proof


def _list_shares_of_classes(model: RuleModel, row: Row) -> dict[Any, float]:
    if not hasattr(model, "predict_proba"):
        return {}
    return dict(zip(model.classes_.tolist(), model.predict_proba(row.table)[0].tolist(), strict=True))


def _list_fired(
    model: RuleModel, bits: BitMatrix, proof: Proof | None, values: list[Any], answer: int
) -> tuple[FiredRule, ...]:
    """The rules that decide, the largest weights first."""
    program = model.program
    if proof is not None:
        numbers, literals = list(proof.fired), list(proof.literals)
    else:
        numbers = np.flatnonzero(_find_firing(model, bits)).tolist()
        literals = [program.class_rules[number].body for number in numbers]
    fired = []
    for number, needed in zip(numbers, literals, strict=True):
        conditions = tuple(list_conditions(program, needed, values))
        n_compared = len(program.quantiser.atoms)
        derived = tuple(literal for literal in needed if not -n_compared <= literal < n_compared)
        fired.append(FiredRule(number + 1, program.class_rules[number], conditions, derived))
    return tuple(sorted(fired, key=lambda one: -_weigh(one.rule, answer, len(program.classes))))


def _weigh(rule: ClassRule, answer: int, n_classes: int) -> float:
    """What a rule adds to the answer, of two classes to its lead, or the largest size of what it adds to any sum."""
    votes = dict(rule.votes)
    if answer < 0:
        return max(map(abs, votes.values()))
    against = votes.get(1 - answer, 0.0) if n_classes == 2 else 0.0  # two classes may share one sum
    return votes.get(answer, 0.0) - against


def _find_firing(model: RuleModel, bits: BitMatrix) -> NDArray[np.bool_]:
    """bool `[n_class_rules]`: which fire."""
    evaluator, rules = model.evaluator, model.program.class_arrays
    truth = np.zeros(len(model.program.atoms), np.bool_)
    derived = evaluator.truth(bits)
    truth[np.flatnonzero(evaluator.row_of_atom >= 0)] = derived.to_bools()[0].numpy()
    weights = rules.weights if len(rules.bounds) else np.zeros(len(rules.literals), np.int32)
    lengths = np.diff(rules.offsets)
    bounds = rules.bounds if len(rules.bounds) else np.zeros(len(lengths), np.int32)
    weighed = np.where(np.repeat(bounds > 0, lengths), weights, 1) * (truth[rules.atoms] == (rules.literals >= 0))
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(weighed)])
    points: NDArray[np.bool_] = sums[rules.offsets[1:]] - sums[rules.offsets[:-1]] >= np.where(
        bounds > 0, bounds, lengths
    )
    return points
