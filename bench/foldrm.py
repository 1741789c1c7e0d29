"""The programs in ../shared/fixtures/foldrm: decision lists with exceptions over the columns of a table.

A clause is `class(X,'a') :- age(X,N0), N0>3.5, not job(X,'none'), not ab1(X).`; names and values are in lower case.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.bits import BitMatrix
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.quantiser import InputAtom, Quantiser

NAMES = ("krkp", "nursery", "pendigits", "wall_robot")
ANSWER = "foldrm_prediction"  # the column that holds what FOLD-RM's own evaluator says
SCALE = 1000  # clingo knows no decimals, and the rules have at most three

_LITERAL = re.compile(
    r"\s*(?:(?P<negated>not )?(?P<name>\w+)\(X(?:,(?:'(?P<value>[^']*)'|(?P<variable>N\d+)))?\)"
    r"|(?P<compared>N\d+)(?P<operator>=<|>)(?P<number>[-\d.]+))"
)


class Comparison(NamedTuple):
    """`column == value` of a text, `column > value` or `column <= value` of a number."""

    column: str
    operator: str
    value: str | float


class Clause(NamedTuple):
    """`head` is an answer or the name of an exception; each literal says whether it is what it names that must hold."""

    head: str
    is_answer: bool
    body: tuple[tuple[bool, Comparison | str], ...]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of text by column, spelt as FOLD-RM's rules spell them, and the answers that FOLD-RM gave."""

    columns: dict[str, list[str]]
    answers: list[str]


def load_table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {_spell(name): [_spell(row[name]) for row in rows] for name in rows[0]}
    return Table(columns, columns.pop(ANSWER))


def _spell(text: str) -> str:
    return text.lower().replace(" ", "_")


def read_clauses(path: Path) -> list[Clause]:
    return [parse_clause(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def parse_clause(line: str) -> Clause:
    """One line of a `simple` file.

    Raises:
        ValueError: anything that such a line doesn't hold.
    """
    head, arrow, rest = line.strip().partition(" :- ")
    found = _LITERAL.fullmatch(head)
    if not found or not arrow or not rest.rstrip().endswith("."):
        raise ValueError(f"not a clause: {line!r}")
    rest = rest.rstrip()[:-1].rstrip()
    column_of: dict[str, str] = {}
    body: list[tuple[bool, Comparison | str]] = []
    place = 0
    while place < len(rest):
        literal = _LITERAL.match(rest, place)
        if not literal:
            raise ValueError(f"not a literal: {rest[place:]!r}")
        place = literal.end() + rest[literal.end() :].startswith(",")
        if literal["variable"]:
            column_of[literal["variable"]] = literal["name"]
        elif literal["compared"]:
            operator = {"=<": "<=", ">": ">"}[literal["operator"]]
            body.append((True, Comparison(column_of[literal["compared"]], operator, float(literal["number"]))))
        elif literal["value"] is None:
            body.append((not literal["negated"], literal["name"]))
        else:
            body.append((not literal["negated"], Comparison(literal["name"], "==", literal["value"])))
    is_answer = found["value"] is not None
    return Clause(found["value"] if is_answer else found["name"], is_answer, tuple(body))


def clauses_to_program(clauses: Sequence[Clause]) -> tuple[Program, list[Comparison]]:
    """A program whose inputs are the comparisons, in order; exceptions are atoms of the layer above."""
    comparisons = list(dict.fromkeys(what for c in clauses for _, what in c.body if isinstance(what, Comparison)))
    exceptions = list(dict.fromkeys(c.head for c in clauses if not c.is_answer))
    classes = list(dict.fromkeys(c.head for c in clauses if c.is_answer))
    named: list[Comparison | str] = [*comparisons, *exceptions]
    index_of = {what: i for i, what in enumerate(named)}
    # A column of these atoms is the comparison itself, 0 or 1
    atoms = [InputAtom("comparison", i, ">", 0.5) for i in range(len(comparisons))]
    atoms += [InputAtom("exception", i, ">", 0.5) for i in range(len(exceptions))]
    class_rules, kernel_rules = [], []
    for clause in clauses:
        body = tuple(index_of[what] if holds else ~index_of[what] for holds, what in clause.body)
        if clause.is_answer:
            class_rules.append(ClassRule(classes.index(clause.head), body))
        else:
            kernel_rules.append(Rule(index_of[clause.head], body))
    program = Program(Quantiser(tuple(atoms)), tuple(classes), tuple(class_rules), tuple(kernel_rules))
    return program, comparisons


def compare_columns(table: Table, comparisons: Sequence[Comparison]) -> BitMatrix:
    """The truth of each comparison on each row; one with a number is false where the table holds none."""
    bits = np.stack([_compare(table.columns[c.column], c) for c in comparisons], axis=1)
    return BitMatrix.from_bools(torch.from_numpy(bits), [f"comparison:{i}" for i in range(len(comparisons))])


def _compare(column: Sequence[str], comparison: Comparison) -> NDArray[np.bool_]:
    if comparison.operator == "==":
        return np.array([text == comparison.value for text in column])
    numbers = np.array([_to_number(text) for text in column])
    limit = float(comparison.value)
    return numbers > limit if comparison.operator == ">" else numbers <= limit


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan  # every comparison with it is false


def to_foldrm(clauses: Sequence[Clause], columns: Sequence[str]) -> list[object]:
    """The nested rules that FOLD-RM's own `predict` takes: (head, what must hold, exceptions, 0)."""
    of_exception: dict[str, list[Clause]] = {}
    for clause in clauses:
        if not clause.is_answer:
            of_exception.setdefault(clause.head, []).append(clause)

    def convert(clause: Clause) -> object:
        holds = []
        exceptions: list[object] = []
        for positive, what in clause.body:
            if isinstance(what, str):
                assert not positive  # FOLD-RM never asks for an exception
                exceptions += map(convert, of_exception[what])
            else:
                operator = what.operator if positive else {"==": "!="}[what.operator]
                holds.append((columns.index(what.column), operator, what.value))
        return (-1, "==", clause.head), tuple(holds), tuple(exceptions), 0

    return [convert(clause) for clause in clauses if clause.is_answer]


def to_rows(table: Table, comparisons: Sequence[Comparison]) -> list[list[str | float]]:
    """The table as FOLD-RM reads it: numbers where a rule compares a column with one."""
    numeric = {c.column for c in comparisons if c.operator != "=="}
    columns: list[list[str | float]] = [
        [text if name not in numeric or np.isnan(_to_number(text)) else float(text) for text in column]
        for name, column in table.columns.items()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def to_clingo(text: str, table: Table, rows: Sequence[int]) -> str:
    """A `full` file and these rows of its table in clingo's language: numbers in thousandths."""
    rules = []
    for line in text.splitlines():
        rule = re.sub(r"'([^']*)'", r'"\1"', line.rstrip().rstrip(".")).replace("=<", "<=")
        rule = re.sub(r"(N\d+)(<=|>)([-\d.]+)", lambda m: f"{m[1]}{m[2]}{round(float(m[3]) * SCALE)}", rule)
        rules.append(f"{rule}, row(X).")
    facts = [f"row({row})." for row in rows]
    numeric = {name for name in table.columns if re.search(rf"\b{name}\(X,N\d+\)", text)}
    for name, column in table.columns.items():
        for row in rows:
            if name in numeric and not np.isnan(number := _to_number(column[row])):
                facts.append(f"{name}({row},{round(number * SCALE)}).")
            else:
                facts.append(f'{name}({row},"{column[row]}").')
    return "\n".join([*rules, *facts])


def run_clingo(text: str, n_rows: int) -> list[str]:
    """The answer on each row, from the one stable model."""
    import clingo

    control = clingo.Control(["0"])
    control.add("base", [], text)
    control.ground([("base", [])])
    models: list[Sequence[clingo.Symbol]] = []
    control.solve(on_model=lambda model: models.append(model.symbols(atoms=True)))
    assert len(models) == 1
    answers = [""] * n_rows
    for symbol in models[0]:
        if symbol.name in ("class", "label"):
            answers[symbol.arguments[0].number] = symbol.arguments[1].string
    return answers
