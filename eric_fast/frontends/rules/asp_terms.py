"""Terms, literals and clauses of other tools' rules, and how they are read from text."""

import re
from typing import NamedTuple

BLANK = r"[ \t\r\n]"
VARIABLE = r"[A-Z_]\w*"
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w)|[+-]inf(?!\w)"
# FOLD-RM writes 'it's' unescaped, so a quote before a letter closes nothing.
QUOTED = r"""(?:'(?:[^'\\\n]++|\\.|''|'(?=\w))*+'|"(?:[^"\\\n]++|\\.)*+")"""
CONSTANT = r"(?![A-Z_])\w+"
_REST = r"""[^\s()'",;:{}|%]*"""  # FOLD-RM keeps column names as they are: capital.gain(X,N0), width_(cm)(X,N1)
PREDICATE = rf"""(?:(?![A-Z_])\w{_REST}(?:\([^()\s'"]*\){_REST})*(?=\()|{QUOTED}(?=\())"""
_TERM = rf"(?:{_NUMBER}|{VARIABLE}|{QUOTED}|{CONSTANT})"
OPERATOR = r"(?:=:=|=\\=|\\==|\\=|==|=<|>=|<=|!=|<>|\#=<|\#>=|\#<>|\#=|\#<|\#>|<|>|=)"
LITERAL_PATTERN = re.compile(
    rf"""(?P<negation>not{BLANK}+|\\\+{BLANK}*)?
    (?:(?P<name>{PREDICATE})\({BLANK}*(?P<sample>{_TERM}){BLANK}*(?:,{BLANK}*(?P<value>{_TERM}){BLANK}*)?\)
      |(?P<left>{_TERM}){BLANK}*(?P<operator>{OPERATOR}){BLANK}*(?P<right>{_TERM}))""",
    re.VERBOSE,
)
# An atom of a propositional program, which answers itself; `true` is one to clingo, but not to Prolog.
ATOM_PATTERN = re.compile(
    rf"(?P<negation>not{BLANK}+|\\\+{BLANK}*)?(?P<name>(?!(?:not|true|false|fail)\b)(?![A-Z_\d])\w+)"
)
# Predicates that bind X for clingo; they say nothing about a sample.
SAMPLE_NAMES = frozenset({"example", "id", "image", "instance", "row", "sample"})
_OPERATORS = {
    **dict.fromkeys(("=", "==", "=:=", "#="), "=="),
    **dict.fromkeys(("!=", "\\=", "\\==", "=\\=", "<>", "#<>"), "!="),
    **dict.fromkeys(("=<", "<=", "#=<"), "<="),
    **dict.fromkeys((">=", "#>="), ">="),
    **dict.fromkeys(("<", "#<"), "<"),
    **dict.fromkeys((">", "#>"), ">"),
}
_TURNED = {"==": "==", "!=": "!=", "<=": ">=", ">=": "<=", "<": ">", ">": "<"}
_ESCAPES = {"n": "\n", "t": "\t"}
_ESCAPE = re.compile(r"\\([\\'\"nt])|''")


class Variable(str):
    """A name that starts with a capital letter, or `_`."""

    __slots__ = ()


class Bare(str):
    """A constant without quotes."""

    __slots__ = ()


class Number(NamedTuple):
    """A number and how it was written."""

    value: float
    text: str


Term = Variable | Number | str  # the last is a text


class Predicate(NamedTuple):
    """`name(sample)` or `name(sample,value)`, perhaps negated."""

    negated: bool
    name: str
    sample: Term
    value: Term | None


class VariableTest(NamedTuple):
    """`variable operator constant`, perhaps negated; the operator is one of `TABLE_OPERATORS`."""

    negated: bool
    variable: Variable
    operator: str
    constant: Number | str


Literal = Predicate | VariableTest


Head = tuple[str, str | None]  # name, and the value where there is one


def key_predicate(fact: Predicate) -> Head:
    return fact.name, None if fact.value is None else spell_term(fact.value)


def spell_term(value: Term) -> str:
    return value.text if isinstance(value, Number) else str(value)


def build_literal(match: re.Match[str]) -> Literal | str:
    """The literal that `LITERAL_PATTERN` or `ATOM_PATTERN` matched, or an error message.

    An atom is a predicate of one sample, as rules without variables hold for each row.
    """
    negated = match["negation"] is not None
    if match.re is ATOM_PATTERN:
        return Predicate(negated, match["name"], Variable("X"), None)
    if match["name"] is not None:
        value = None if match["value"] is None else read_term(match["value"])
        return Predicate(negated, read_name(match["name"]), read_term(match["sample"]), value)
    left, right = read_term(match["left"]), read_term(match["right"])
    operator = _OPERATORS[match["operator"]]
    if not isinstance(left, Variable):
        left, right, operator = right, left, _TURNED[operator]
    if not isinstance(left, Variable):
        return "expected a variable on one side of the comparison, not two constants"
    if isinstance(right, Variable):
        return f"expected '{left}' to be compared with a constant, not with another variable, '{right}'"
    if isinstance(right, Bare) and right == "inf":
        right = Number(float("inf"), "inf")
    if operator not in ("==", "!=") and not isinstance(right, Number):
        return f"expected a number after '{match['operator']}', not the text '{right}'"
    return VariableTest(negated, left, operator, right)


def read_name(text: str) -> str:
    return _unquote(text) if text[0] in "'\"" else text


def read_term(text: str) -> Term:
    first = text[0]
    if first in "'\"":
        return _unquote(text)
    if first.isdigit() or first in "+-.":
        try:
            return Number(float(text) + 0.0, text)  # -0.0 compares as 0.0 does
        except ValueError:
            return Bare(text)
    return Variable(text) if first == "_" or (first.isascii() and first.isupper()) else Bare(text)


def _unquote(text: str) -> str:
    r"""Resolve escapes of Prolog and clingo, `''` included; other backslashes stand for themselves, as in FOLD-RM."""
    inner = text[1:-1]
    if "\\" not in inner and "''" not in inner:
        return inner
    double = text[0] == '"'

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return "''" if double else "'"
        return _ESCAPES.get(match[1], match[1])

    return _ESCAPE.sub(replace, inner)
