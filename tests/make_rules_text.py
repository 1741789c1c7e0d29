"""Random decision lists with exceptions, and how each tool writes them."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Literal = tuple[bool, tuple[Any, ...]]  # positive, what: see `make_rules`
Body = list[Literal]
DIALECTS = ("simple", "full", "fold-se", "prolog", "scasp", "clingo")
CLASSES = ("a", "b c", "it's", "2")
TEXTS = ("low", "very high", "50%", "0")
COLUMNS = {"n0": "number", "n.1": "number", "hours-per-week": "number", "c0": "text", "c1": "text", "7": "truth"}


@dataclass(frozen=True)
class Rules:
    """Class rules (class, body) in order, and exceptions (body); a literal is (positive, what), see `make_rules`."""

    class_rules: list[tuple[str, Body]]
    exceptions: list[Body]


def make_rules(rng: random.Random) -> Rules:
    """A literal's `what`: ("ab", number), ("text", column, text), ("truth", column), ("number", column, sign, x)."""

    def draw_body(n_exceptions: int) -> Body:
        body: Body = []
        for _ in range(rng.randint(0, 3)):
            column = rng.choice(list(COLUMNS))
            kind = COLUMNS[column]
            if kind == "number":
                body.append((True, (kind, column, rng.choice(("=<", ">", "<", ">=")), rng.randint(-3, 3))))
            else:
                what: tuple[Any, ...] = (kind, column, rng.choice(TEXTS)) if kind == "text" else (kind, column)
                body.append((rng.random() < 0.6, what))
        body += [(rng.random() < 0.1, ("ab", rng.randrange(n_exceptions))) for _ in range(2) if n_exceptions]
        return body

    n_exceptions = rng.randint(0, 4)
    exceptions = [draw_body(i) for i in range(n_exceptions)]
    class_rules = [(rng.choice(CLASSES), draw_body(n_exceptions)) for _ in range(rng.randint(1, 6))]
    return Rules(class_rules, exceptions)


def make_rules_text(rng: random.Random, dialect: str) -> str:
    return write_rules(make_rules(rng), dialect)


def write_rules(rules: Rules, dialect: str) -> str:
    """The text of one of `DIALECTS`; clingo's is safe, and guarded so that one class at most holds."""
    negation = "\\+ " if dialect == "prolog" else "not "
    guarded = dialect in ("full", "clingo")

    def quote(text: str) -> str:
        if dialect == "clingo":
            return f'"{text}"'
        if dialect in ("prolog", "scasp"):
            return "'" + text.replace("'", "''") + "'"
        return f"'{text}'"  # FOLD-RM escapes nothing

    def call(name: str, value: str | None = None) -> str:
        if dialect == "clingo":
            name = "p" + "".join(c if c.isalnum() else "_" for c in name)
        return f"{name}(X)" if value is None else f"{name}(X,{value})"

    def write_literal(positive: bool, what: tuple[Any, ...]) -> str:
        kind, *rest = what
        sign = "" if positive else negation
        if kind == "ab":
            return sign + call(f"ab{rest[0] + 1}", quote("True") if dialect == "fold-se" else None)
        if kind == "truth":
            return sign + call(rest[0])
        if kind == "text":
            return sign + call(rest[0], quote(rest[1]))
        column, operator, number = rest
        variable = f"N{list(COLUMNS).index(column)}"
        operator = operator.replace("=<", "<=") if dialect == "clingo" else operator
        return f"{call(column, variable)}, {variable}{operator}{number if dialect == 'clingo' else float(number)}"

    def write(head: str, literals: Iterable[str]) -> str:
        body = list(dict.fromkeys(literals))
        if dialect == "clingo":
            body = ["row(X)", *body]
        return f"{head} :- {', '.join(body)}." if body else f"{head}."

    lines = ["% learned"]
    for number, (name, body) in enumerate(rules.class_rules, 1):
        literals = [write_literal(*literal) for literal in body]
        if guarded:
            lines.append(write(call(f"rule{number}"), literals))
            literals = [call(f"rule{number}"), *(f"{negation}{call(f'rule{i}')}" for i in range(1, number))]
        lines.append(write(call("class", quote(name)), literals))
    for number, body in enumerate(rules.exceptions, 1):
        head = call(f"ab{number}", quote("True") if dialect == "fold-se" else None)
        lines.append(write(head, [write_literal(*literal) for literal in body]))
    if dialect == "scasp":
        lines += ["#pred class(X,Y) :: 'sample @(X) is a @(Y)'.", "?- class(X, Y)."]
    if dialect == "clingo":
        lines += ["#show pclass/2."]
    return "\n".join(lines) + "\n"


def make_rows(rng: random.Random, n_rows: int) -> dict[str, list[Any]]:
    """Values of all columns: integers, texts, truths as 1 and 0, and none."""
    values = {"number": (-3, -2, -1, 0, 1, 2, 3, None), "text": (*TEXTS, "other", None), "truth": (1, 0)}
    return {name: [rng.choice(values[kind]) for _ in range(n_rows)] for name, kind in COLUMNS.items()}


def write_facts(rows: dict[str, list[Any]]) -> str:
    """clingo's facts of the rows."""
    lines = [f"row({i})." for i in range(len(next(iter(rows.values()))))]
    for name, column in rows.items():
        plain = "p" + "".join(c if c.isalnum() else "_" for c in name)
        for i, value in enumerate(column):
            if COLUMNS[name] == "truth":
                lines += [f"{plain}({i})."] if value else []
            elif value is not None:
                lines.append(f'{plain}({i},"{value}").' if COLUMNS[name] == "text" else f"{plain}({i},{value}).")
    return "\n".join(lines)
