"""What is wrong with unsupported syntax of other tools' rules, and what to write instead."""

import re

from eric_fast.frontends.rules.asp_terms import CONSTANT, PREDICATE, QUOTED

_LONGEST = 60  # characters of the text that an error shows
_NAME = re.compile(rf"(?:not\s+|\\\+\s*)?(?:{PREDICATE}|{CONSTANT})")
_QUOTE = re.compile(r"[^'\"\n]{0,200}['\"]")
_QUOTED = re.compile(QUOTED)
_HINTS = (  # how unsupported syntax starts, and what to do
    (r"-\s*[a-z]", "classical negation is not supported; use a separate predicate"),
    (r":~", "weak constraints rank several answers: weigh literals by #sum in a rule's body"),
    (r"#(?:min|max)\b", "#min and #max are not supported: write a rule for each value, or p(X,N), N>3"),
    (
        r"\{|#(?:count|sum)|\d+\s*\{",
        "only #sum, #count and { } with a bound are supported",
    ),
    (r"(?:not|\\\+)\s*\(", "write 'not name(X)'"),
    (r"!", "cuts are not supported; class rules are tried in order anyway"),
    (r"[;|]", "';' means 'and' to clingo and 'or' to Prolog: write ',', or several rules"),
)
_CHOICE = re.compile(r"[-+\w\s<=>!]*\{")
_HINT = re.compile("|".join(f"({start})" for start, _ in _HINTS))


def explain_syntax(text: str, at: int, *, is_head: bool, is_propositional: bool) -> str:
    """The rest of an error at this offset: `; ` and the remedy, or nothing.

    Args:
        is_head: whether a statement starts there.
        is_propositional: see `Reader`.
    """
    if is_head and _CHOICE.match(text, at):
        return "; choices in heads have several answers: write rules that say when each atom is true"
    if hint := _HINT.match(text, at):
        return "; " + _HINTS[(hint.lastindex or 1) - 1][1]
    if (quote := _QUOTE.match(text, at)) and not _QUOTED.match(text, quote.end() - 1):
        return "; a quote has no end on this line"
    if not is_propositional and (name := _NAME.match(text, at)):
        return f"; '{shorten_token(name[0])}' takes a variable for the sample and one value at most, as in f(X,'a')"
    return ""


def shorten_token(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
