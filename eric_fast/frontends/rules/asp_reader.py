"""Rules of other tools, from text to clauses. All errors of a text are found, each with its place."""

import logging
import re
from bisect import bisect
from collections import Counter
from typing import cast

from eric_fast.errors import ProgramError
from eric_fast.frontends.rules.asp_hints import explain_syntax, shorten_token
from eric_fast.frontends.rules.asp_sums import SUM_PATTERN, Clause, Sum, read_sum
from eric_fast.frontends.rules.asp_terms import (
    ATOM_PATTERN,
    BLANK,
    LITERAL_PATTERN,
    PREDICATE,
    QUOTED,
    SAMPLE_NAMES,
    Literal,
    Predicate,
    Variable,
    build_literal,
    spell_term,
)
from eric_fast.text.files import find_place

MOST_ERRORS = 20  # shown at most
# After an unclosed quote the rest of the line is skipped.
_UNCLOSED = r"['\"][^\n]*"
_COMMENTS = re.compile(rf"{QUOTED}|{_UNCLOSED}|%\*|/\*|%")
_BLANKS = re.compile(rf"{BLANK}*")
# A full stop ends a statement unless a letter or a digit follows it, as in capital.gain or 3.5; after ')' it does so
# before a letter too.
_STATEMENT = re.compile(rf"(?:[^.'\"]++|{QUOTED}|(?<!\))\.(?=\w)|(?<=\))\.(?=\d)|{_UNCLOSED})*+\.?")
_STOP = re.compile(rf"{BLANK}*(?:(?P<more>,)|\.(?!\d))")
# Prolog's not(p(X)), and what CON-FOLD writes behind a rule, [confidence: 0.73]
_BRACKETS = re.compile(
    rf"{QUOTED}|(?P<open>(?<!\w)(?:not|\\\+){BLANK}*)\({BLANK}*(?P<literal>{PREDICATE}\((?:[^()'\"]|{QUOTED})*\)|[a-z]\w*){BLANK}*\)"
    rf"|\[{BLANK}*confidence{BLANK}*:{BLANK}*(?P<confidence>[0-9.eE+-]+){BLANK}*\]"
)
_DIRECTIVES = re.compile(rf"(?:\A|(?<=\.)){BLANK}*(?:[#?]|:-)(?:[^.]|\.(?=\w))*")
_ARROW = re.compile(rf"{BLANK}*(?::-|<-){BLANK}*(?P<true>true{BLANK}*\.)?")
_TOKEN = re.compile(rf"{QUOTED}|\w+|:-|[^\w\s]")
_DIRECTIVE = re.compile(r"#[a-z_]*|\?-?|:-\s*[a-z_]*")
# Directives that change no answer: they show, explain, ask, load a library or declare.
_HARMLESS = re.compile(
    r"\?-?|#(?:compute|defined|heuristic|hide|pred|project|show|table)|(?:#|:- )(?:discontiguous|dynamic)"
    r"|:- (?:ensure_loaded|initialization|module|multifile|set_prolog_flag|style_check|table|use_module|use_package)"
)
_WEIGHT = re.compile(rf"{BLANK}*\[[^\]\n]*\]")  # behind a weak constraint

logger = logging.getLogger(__name__)


class Reader:
    """Reads a text, and collects its errors.

    Attributes:
        text: the text, with comments replaced by spaces.
        source: its name in errors.
        clauses: in order.
        is_propositional: whether its atoms have no arguments: `a :- b, not c.`; each is a predicate of the sample `X`.
        literals: the different literals of all bodies, by how they are written.
        confidences: index of a clause -> its confidence as the text states it, from 0 to 1.
        n_errors: the number of errors; the first `MOST_ERRORS` are kept.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.clauses: list[Clause] = []
        self.n_errors = 0
        self._errors: list[tuple[int, str]] = []
        self.literals: dict[str, Literal] = {}  # large programs repeat the same literals
        self._left_out: Counter[str] = Counter()
        self.text = text.removeprefix("\ufeff")
        self.text = self._blank_comments()
        stated: list[tuple[int, float]] = []
        if "not" in self.text or "\\+" in self.text or "[" in self.text:
            self.text = _BRACKETS.sub(lambda match: self._blank_brackets(match, stated), self.text)
        self.is_propositional = "(" not in _DIRECTIVES.sub("", self.text)
        self._pattern = ATOM_PATTERN if self.is_propositional else LITERAL_PATTERN
        self._facts: dict[str, list[Clause]] = {}  # about single samples
        at = self._skip(0)
        while at < len(self.text):
            at = self._skip(self._read_statement(at))
        for first, *others in self._facts.values():
            self._refuse_fact(first, len(others))
        starts = [clause.at for clause in self.clauses]
        self.confidences = {bisect(starts, place) - 1: confidence for place, confidence in stated}
        if self._left_out:
            shown = ", ".join(f"{what} ({count:,})" for what, count in self._left_out.items())
            logger.warning("%s: ignored, since they change no answer: %s", source, shown)

    def add_error(self, at: int, message: str) -> None:
        self.n_errors += 1
        if self.n_errors <= MOST_ERRORS:
            self._errors.append((at, message))

    def raise_errors(self) -> None:
        """Raises ProgramError if there are errors: the first ones, each with its place, and the number of others."""
        if not self.n_errors:
            return
        lines = [f"{self.source}:{find_place(self.text, at)}: {message}" for at, message in sorted(self._errors)]
        if self.n_errors > len(lines):
            lines.append(f"and {self.n_errors - len(lines):,} more")
        raise ProgramError("\n".join(lines))

    def _blank_comments(self) -> str:
        text = self.text
        if "%" not in text and "/*" not in text:
            return text
        parts, n_copied, at = [], 0, 0
        last_end = text.rfind("*%")  # after it, '%*' starts a comment of one line, as in Prolog
        while match := _COMMENTS.search(text, at):
            start, at = match.span()
            if match[0][0] in "'\"":
                continue
            if match[0] == "/*" or (match[0] == "%*" and at <= last_end):
                end = text.find("*%" if match[0] == "%*" else "*/", at)
                if end < 0:
                    self.add_error(start, "expected the end of this comment, '*/', got the end of the text")
                at = end + 2 if end >= 0 else len(text)
            else:
                end = text.find("\n", start)
                at = end if end >= 0 else len(text)
            parts += [text[n_copied:start], "\n".join([" " * len(line) for line in text[start:at].split("\n")])]
            n_copied = at
        return "".join([*parts, text[n_copied:]])

    def _blank_brackets(self, match: re.Match[str], stated: list[tuple[int, float]]) -> str:
        """`not p(X)` for `not(p(X))`, and spaces for a confidence, which is noted: every place in the text stays."""
        if match["literal"] is not None:
            first, last = match.start("literal") - match.start(), match.end("literal") - match.start()
            return match["open"].ljust(first) + match["literal"] + " " * (len(match[0]) - last)
        if match["confidence"] is None:
            return match[0]
        try:
            confidence = float(match["confidence"])
        except ValueError:
            confidence = -1.0
        if not 0 <= confidence <= 1:
            self.add_error(match.start(), f"expected a confidence from 0 to 1, got '{match['confidence']}'")
        stated.append((match.start(), confidence))
        return " " * len(match[0])

    def _read_statement(self, start: int) -> int:
        """Read the statement at `start`; returns where it ends."""
        if self.text[start] in "#?" or self.text.startswith(":-", start):
            return self._read_directive(start)
        match = self._pattern.match(self.text, start)
        head = build_literal(match) if match else None
        if match is None or not isinstance(head, Predicate) or head.negated:
            example = "a :- b, not c." if self.is_propositional else "class(X,'a') :- not ab1(X)."
            return self._fail(start, start, f"a rule such as {example}")
        arrow = _ARROW.match(self.text, match.end())
        if arrow is None or arrow["true"]:
            stop = None if arrow else _STOP.match(self.text, match.end())
            if arrow is None and (stop is None or stop["more"]):
                return self._fail(start, match.end(), "':-' or '.' after the head of a rule")
            self._add_clause(Clause(head, start, (), start))
            return (arrow or stop or match).end()
        return self._read_body(head, start, self._skip(arrow.end()))

    def _read_body(self, head: Predicate, start: int, body_at: int) -> int:
        """Read the body at `body_at` of the statement at `start`; returns where it ends."""
        end = self._end(body_at)
        pieces = self.text[body_at : end - 1].split(", ")  # as most tools write it
        literals = tuple(map(self.literals.get, pieces))
        if None in literals:
            literals = tuple(map(self._read_piece, pieces))
        if None not in literals and self.text[end - 1] == ".":
            self._add_clause(Clause(head, start, cast(tuple[Literal, ...], literals), body_at))
            return end
        body: list[Literal | Sum] = []
        at = body_at
        while True:
            match = self._pattern.match(self.text, at) or SUM_PATTERN.match(self.text, at)
            if not match:
                example = "b or not c" if self.is_propositional else "not ab1(X), age(X,N0) or N0>3.5"
                return self._fail(start, at, f"a literal such as {example}")
            literal = self._build(match) if match.re is self._pattern else self._build_sum(match)
            if literal is not None:
                body.append(literal)
            stop = _STOP.match(self.text, match.end())
            if not stop:
                return self._fail(start, match.end(), "',' or '.' after a literal")
            if not stop["more"]:
                self._add_clause(Clause(head, start, tuple(body), body_at))
                return stop.end()
            at = self._skip(stop.end())

    def find_literal(self, clause: Clause, number: int) -> int:
        """The offset of a literal in a clause."""
        at = clause.body_at
        for _ in range(number):
            literal = self._pattern.match(self.text, at) or SUM_PATTERN.match(self.text, at)
            stop = _STOP.match(self.text, literal.end()) if literal else None
            at = self._skip(stop.end()) if stop else at
        return at

    def _read_piece(self, piece: str) -> Literal | None:
        """The literal in this piece of text; None if it is invalid."""
        if (known := self.literals.get(piece)) is None and (match := self._pattern.fullmatch(piece)):
            literal = build_literal(match)
            if not isinstance(literal, str):
                known = self.literals[piece] = literal
        return known

    def _build(self, match: re.Match[str]) -> Literal | None:
        """The literal; None if it is invalid, which adds an error."""
        literal = build_literal(match)
        if isinstance(literal, str):
            self.add_error(match.start(), literal)
            return None
        return self.literals.setdefault(match[0], literal)

    def _build_sum(self, match: re.Match[str]) -> Sum | None:
        """The sum; None if it can't be taken, which adds an error."""
        try:
            found = read_sum(match, self._pattern)
        except ProgramError as error:
            self.add_error(match.start(), str(error))
            return None
        for _, literal in found.terms:
            self.literals.setdefault(f"{'not ' if literal.negated else ''}{literal[1:]}", literal)
        return found

    def _add_clause(self, clause: Clause) -> None:
        if clause.body or isinstance(clause.head.sample, Variable):
            self.clauses.append(clause)
        elif clause.head.name in SAMPLE_NAMES:
            self._left_out["facts that name samples"] += 1
        else:
            self._facts.setdefault(clause.head.name, []).append(clause)

    def _refuse_fact(self, fact: Clause, n_others: int) -> None:
        name, sample, value = fact.head[1:]
        terms = ",".join(spell_term(term) for term in (sample, value) if term is not None)
        others = f", and {n_others:,} more of its kind" if n_others else ""
        self.add_error(
            fact.at,
            f"'{name}({terms})' is a fact about one sample, and rules here are for the rows of any table: "
            f"put it into the column '{name}' of your table and remove it{others}",
        )

    def _fail(self, start: int, at: int, expected: str) -> int:
        """Add an error; returns where the statement ends."""
        at = self._skip(at)
        token = _TOKEN.match(self.text, at)
        found = "the end of the text" if token is None else f"'{shorten_token(token[0])}'"
        reason = explain_syntax(self.text, at, is_head=at == start, is_propositional=self.is_propositional)
        self.add_error(at, f"expected {expected}, got {found}{reason}")
        end = max(self._end(start), at)
        weight = _WEIGHT.match(self.text, end) if self.text.startswith(":~", start) else None
        return weight.end() if weight else end

    def _read_directive(self, start: int) -> int:
        end = self._end(start)
        found = _DIRECTIVE.match(self.text, start)
        name = " ".join(found[0].replace(":-", ":- ").split()) if found else ""
        if _HARMLESS.fullmatch(name) or re.fullmatch(r"#program\s+base\s*\.", self.text[start:end]):
            self._left_out[f"'{name}'"] += 1
        elif name.startswith("#"):
            reason = "; weigh literals by #sum in a rule's body" if name in ("#minimize", "#maximize") else ""
            self.add_error(start, f"expected a rule, got '{name}', a directive that changes answers{reason}")
        else:
            self.add_error(
                start, "expected a rule, got ':-', a constraint: it rules answers out, which is not supported"
            )
        return end

    def _skip(self, at: int) -> int:
        """The offset after white space."""
        match = _BLANKS.match(self.text, at)
        return match.end() if match else at

    def _end(self, start: int) -> int:
        """The offset after the statement at `start` and its full stop."""
        match = _STATEMENT.match(self.text, start)
        return max(match.end() if match else 0, start + 1)
