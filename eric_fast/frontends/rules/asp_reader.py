"""Rules of other tools, from text to clauses. All errors of a text are found, each with its place."""

import logging
import re
from bisect import bisect
from collections import Counter
from typing import cast

from eric_fast.errors import ProgramError
from eric_fast.frontends.rules.asp_sums import SUM_PATTERN, Clause, Sum, read_sum
from eric_fast.frontends.rules.asp_terms import (
    BLANK,
    CONSTANT,
    LITERAL_PATTERN,
    PREDICATE,
    QUOTED,
    Literal,
    Predicate,
    Variable,
    build_literal,
)

MOST_ERRORS = 20  # shown at most
_LONGEST = 60  # characters of the text that an error shows
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
    rf"{QUOTED}|(?P<open>(?<!\w)(?:not|\\\+){BLANK}*)\({BLANK}*(?P<literal>{PREDICATE}\((?:[^()'\"]|{QUOTED})*\)){BLANK}*\)"
    rf"|\[{BLANK}*confidence{BLANK}*:{BLANK}*(?P<confidence>[0-9.eE+-]+){BLANK}*\]"
)
_ARROW = re.compile(rf"{BLANK}*(?::-|<-){BLANK}*(?P<true>true{BLANK}*\.)?")
_TOKEN = re.compile(rf"{QUOTED}|\w+|:-|[^\w\s]")
_NAME = re.compile(rf"(?:not\s+|\\\+\s*)?(?:{PREDICATE}|{CONSTANT})")
_QUOTE = re.compile(r"[^'\"\n]{0,200}['\"]")
_QUOTED = re.compile(QUOTED)
_DIRECTIVE = re.compile(r"#[a-z_]*|\?-?|:-\s*[a-z_]*")
# Directives that change no answer: they show, explain, ask, load a library or declare.
_HARMLESS = re.compile(
    r"\?-?|#(?:compute|defined|heuristic|hide|pred|project|show|table)|(?:#|:- )(?:discontiguous|dynamic)"
    r"|:- (?:ensure_loaded|initialization|module|multifile|set_prolog_flag|style_check|table|use_module|use_package)"
)
_HINTS = (  # how unsupported syntax starts, and what to do
    (r"-\s*[a-z]", "classical negation is not supported; use a separate predicate"),
    (
        r"\{|#(?:count|sum|min|max)|\d+\s*\{",
        "only #sum, #count and { } with a bound are supported",
    ),
    (r"(?:not|\\\+)\s*\(", "write 'not name(X)'"),
    (r"!", "cuts are not supported; class rules are tried in order anyway"),
    (r"[;|]", "';' means 'and' to clingo and 'or' to Prolog: write ',', or several rules"),
)
_HINT = re.compile("|".join(f"({start})" for start, _ in _HINTS))

logger = logging.getLogger(__name__)


class Reader:
    """Reads a text, and collects its errors.

    Attributes:
        text: the text, with comments replaced by spaces.
        source: its name in errors.
        clauses: in order, without facts about single samples.
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
        at = self._skip(0)
        while at < len(self.text):
            at = self._skip(self._read_statement(at))
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
        lines = []
        for at, message in sorted(self._errors):
            line = self.text.count("\n", 0, at) + 1
            column = at - self.text.rfind("\n", 0, at)
            lines.append(f"{self.source}:{line}:{column}: {message}")
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
        match = LITERAL_PATTERN.match(self.text, start)
        head = build_literal(match) if match else None
        if match is None or not isinstance(head, Predicate) or head.negated:
            return self._fail(start, start, "a rule such as class(X,'a') :- not ab1(X).")
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
            match = LITERAL_PATTERN.match(self.text, at) or SUM_PATTERN.match(self.text, at)
            if not match:
                return self._fail(start, at, "a literal such as not ab1(X), age(X,N0) or N0>3.5")
            literal = self._build(match) if match.re is LITERAL_PATTERN else self._build_sum(match)
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
            literal = LITERAL_PATTERN.match(self.text, at) or SUM_PATTERN.match(self.text, at)
            stop = _STOP.match(self.text, literal.end()) if literal else None
            at = self._skip(stop.end()) if stop else at
        return at

    def _read_piece(self, piece: str) -> Literal | None:
        """The literal in this piece of text; None if it is invalid."""
        if (known := self.literals.get(piece)) is None and (match := LITERAL_PATTERN.fullmatch(piece)):
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
            found = read_sum(match)
        except ProgramError as error:
            self.add_error(match.start(), str(error))
            return None
        for _, literal in found.terms:
            self.literals.setdefault(f"{'not ' if literal.negated else ''}{literal[1:]}", literal)
        return found

    def _add_clause(self, clause: Clause) -> None:
        if clause.body or isinstance(clause.head.sample, Variable):
            self.clauses.append(clause)
        else:
            self._left_out["facts about single samples"] += 1

    def _fail(self, start: int, at: int, expected: str) -> int:
        """Add an error; returns where the statement ends."""
        at = self._skip(at)
        token = _TOKEN.match(self.text, at)
        found = "the end of the text" if token is None else f"'{_shorten(token[0])}'"
        reason = ""
        if hint := _HINT.match(self.text, at):
            reason = "; " + _HINTS[(hint.lastindex or 1) - 1][1]
        elif (quote := _QUOTE.match(self.text, at)) and not _QUOTED.match(self.text, quote.end() - 1):
            reason = "; a quote has no end on this line"
        elif name := _NAME.match(self.text, at):
            reason = f"; '{_shorten(name[0])}' takes a variable for the sample and one value at most, as in f(X,'a')"
        self.add_error(at, f"expected {expected}, got {found}{reason}")
        return max(self._end(start), at)

    def _read_directive(self, start: int) -> int:
        end = self._end(start)
        found = _DIRECTIVE.match(self.text, start)
        name = " ".join(found[0].replace(":-", ":- ").split()) if found else ""
        if _HARMLESS.fullmatch(name) or re.fullmatch(r"#program\s+base\s*\.", self.text[start:end]):
            self._left_out[f"'{name}'"] += 1
        elif name.startswith("#"):
            self.add_error(start, f"expected a rule, got '{name}', a directive that changes answers")
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


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
