"""Sums and counts in bodies of answer set programs, as clingo has them: from text to weights and bounds."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from eric_fast.errors import ProgramError
from eric_fast.frontends.rules.asp_terms import BLANK, OPERATOR, QUOTED, Literal, Predicate, build_literal
from eric_fast.program.rules import INT32_MAX

_GAP = rf"{BLANK}*"
_BOUND = r"[-+]?[\w.]*\w"
SUM_PATTERN = re.compile(
    rf"""(?P<negation>not{BLANK}+)?
    (?:(?P<left>{_BOUND}){_GAP}(?P<left_operator>{OPERATOR})?{_GAP})?
    (?P<kind>\#sum\+?|\#count)?{_GAP}\{{(?P<elements>(?:[^{{}}'"]|{QUOTED})*)\}}
    (?:{_GAP}(?P<right_operator>{OPERATOR})?{_GAP}(?P<right>{_BOUND}))?""",
    re.VERBOSE,
)
_ELEMENT = re.compile(rf"(?:[^;'\"]|{QUOTED})+")
_TEXT = rf"(?:[^:'\"]|{QUOTED})*"
_PARTS = re.compile(rf"(?:(?P<terms>{_TEXT}):)?(?P<literal>{_TEXT})")
_WHOLE = re.compile(r"[-+]?\d+")
_VARIABLE = re.compile(r"(?<![\w'\"])[A-Z_]\w*")
_EXAMPLE = "3 <= #sum { 2,1 : p(X); 1,2 : not q(X) }"
_DIFFERS = frozenset({"!=", "<>"})
_TURNED = {"<": ">", ">": "<", "<=": ">=", "=<": ">=", ">=": "<="}


class Sum(NamedTuple):
    """A sum or count of a body, true where `least <= sum <= most` or, if negated, where that is false.

    Attributes:
        terms: pairs (weight, literal), weights of any sign.
        least, most: None for no bound.
    """

    negated: bool
    terms: tuple[tuple[int, Predicate], ...]
    least: int | None
    most: int | None

    def list_halves(self) -> list[tuple[list[tuple[int, Predicate]], int]]:
        """What must be reached, a pair (terms, bound) for each bound, with weights from 1.

        A negative weight is a positive one on the negation.
        """
        halves = []
        for sign, bound in ((1, self.least), (-1, self.most)):
            if bound is not None:
                terms = [(sign * weight, literal) for weight, literal in self.terms if weight]
                turned = [
                    (abs(weight), literal if weight > 0 else literal._replace(negated=not literal.negated))
                    for weight, literal in terms
                ]
                halves.append((turned, sign * bound - sum(weight for weight, _ in terms if weight < 0)))
        return halves


class Clause(NamedTuple):
    """`head :- body.`, with the offsets of the head and of the body."""

    head: Predicate
    at: int
    body: tuple[Literal | Sum, ...]
    body_at: int


def read_sum(match: re.Match[str], literals: re.Pattern[str]) -> Sum:
    """The sum that `SUM_PATTERN` matched, over literals that this pattern matches.

    Raises:
        ProgramError: what clingo has and weights of literals don't.
    """
    least: int | None = None
    most: int | None = None
    operators = [match[f"{side}_operator"] or "<=" for side in ("left", "right") if match[side]]  # `2 { ... } 3`
    if match["left"]:
        operator = match["left_operator"] or "<="
        least, most = _find_range(_TURNED.get(operator, operator), _read_whole(match["left"], "bound"))
    if match["right"]:
        low, high = _find_range(match["right_operator"] or "<=", _read_whole(match["right"], "bound"))
        least, most = (least if low is None else low), (most if high is None else high)
    if not operators:
        raise ProgramError(f"expected a bound beside the sum, such as {_EXAMPLE}, got none")
    if len(operators) == 2 and (least is None or most is None or {"=", "==", *_DIFFERS}.intersection(operators)):
        raise ProgramError("expected one lower and one upper bound; write two sums")
    negated = (match["negation"] is not None) != (not _DIFFERS.isdisjoint(operators))
    return Sum(negated, tuple(_read_terms(match["kind"], match["elements"], literals)), least, most)


def _find_range(operator: str, bound: int) -> tuple[int | None, int | None]:
    """The least and the most that a sum may be, by `sum operator bound`."""
    if operator in {"=", "==", *_DIFFERS}:
        return bound, bound
    if operator in (">=", ">"):
        return bound + (operator == ">"), None
    if operator in ("<=", "=<", "<"):
        return None, bound - (operator == "<")
    raise ProgramError(f"expected '<=', '<', '>=', '>', '=' or '!=' beside a sum, got '{operator}'")


def _read_terms(kind: str | None, text: str, literals: re.Pattern[str]) -> Iterator[tuple[int, Predicate]]:
    """The weight and the literal of each element; a count's weigh 1, and `#sum+` leaves negative ones out."""
    seen: set[tuple[str, ...] | Predicate] = set()
    for element in _ELEMENT.findall(text):
        parts = _PARTS.fullmatch(element)
        if parts is None or (parts["terms"] is None) != (kind is None):
            raise ProgramError(f"expected a literal for each weight, such as {_EXAMPLE}, got '{element.strip()}'")
        found = literals.fullmatch(parts["literal"].strip())
        literal = build_literal(found) if found else None
        if not isinstance(literal, Predicate):
            raise ProgramError(
                f"expected one literal such as p(X) or not p(X,'a'), got '{parts['literal'].strip()}'; give any other "
                "condition a rule of its own"
            )
        if kind is None:
            if literal not in seen:  # clingo counts a literal once
                yield 1, literal
            seen.add(literal)
            continue
        terms = tuple(term.strip() for term in parts["terms"].split(","))
        variable = next((term for term in terms if _VARIABLE.match(term) and term != literal.sample), None)
        if variable is not None:
            raise ProgramError(
                f"expected numbers before ':', got the variable '{variable}'; give each value an element of its own, "
                "such as 3,1 : p(X,3)"
            )
        if terms in seen:
            raise ProgramError(f"two terms are '{','.join(terms)}', which clingo takes for one; number them")
        seen.add(terms)
        weight = 1 if kind == "#count" else _read_whole(terms[0], "weight")
        yield (max(weight, 0) if kind == "#sum+" else weight), literal


def _read_whole(text: str, what: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ProgramError(f"expected a whole number as the {what} of a sum, got '{text}'; write the number itself")
    if len(text) > 11 or abs(int(text)) > INT32_MAX:
        raise ProgramError(f"the {what} {text[:20]} is past 2^31 - 1, where clingo wraps")
    return int(text)
