"""The programs in ../shared/fixtures/foldrm, decision lists with exceptions over a table, and who else answers them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eric_fast.frontends.rules.asp import from_asp
from eric_fast.program import Program, Rule
from eric_fast.program.table_atoms import TableAtom
from eric_fast.table.model import RuleModel

NAMES = ("krkp", "nursery", "pendigits", "wall_robot")
ANSWER = "foldrm_prediction"  # the column that holds what FOLD-RM's own evaluator says
SCALE = 1000  # clingo knows no decimals, and the rules have at most three


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


def load_rules(path: Path, columns: Sequence[str] | None = None) -> RuleModel:
    return from_asp(path.read_text(encoding="utf-8"), columns=columns, source=path.name)


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan  # every comparison with it is false


def to_foldrm(program: Program, columns: Sequence[str]) -> list[object]:
    """The nested rules that FOLD-RM's own `predict` takes: (head, what must hold, exceptions, 0)."""

    def convert(rule: Rule, head: str) -> object:
        holds = []
        exceptions: list[object] = []
        for literal in rule.body:
            atom = program.atoms[literal if literal >= 0 else ~literal]
            if not isinstance(atom, TableAtom):
                assert literal < 0  # FOLD-RM never asks for an exception
                exceptions += (convert(exception, atom.name) for exception in program.rules_of_atom[~literal])
            elif isinstance(atom.constant, tuple):
                holds.append((columns.index(atom.feature), "==" if literal >= 0 else "!=", atom.constant[0]))
            else:
                operator = atom.operator if literal >= 0 else {"<=": ">", ">": "<="}[atom.operator]
                holds.append((columns.index(atom.feature), operator, atom.constant))
        return (-1, "==", head), tuple(holds), tuple(exceptions), 0

    return [convert(rule, program.classes[rule.head]) for rule in program.class_rules]


def to_rows(table: Table, program: Program) -> list[list[str | float]]:
    """The table as FOLD-RM reads it: numbers where a rule compares a column with one."""
    numeric = {column.name for column in program.table_quantiser.columns if column.kind == "float64"}
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
