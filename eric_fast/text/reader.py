"""Text to `Statements`: facts, rules and directives; nothing here knows what they mean together."""

import re
from collections.abc import Callable
from typing import Any

from eric_fast.program.printers.names import unquote
from eric_fast.text.statements import FACTS, FLOAT, NAME, REAL, SPACE, STRING, Statements
from eric_fast.text.tokens import read_unusual

# What follows a quote that starts no string is not looked at: the quote itself will be refused.
_COMMENTS = re.compile(rf'{STRING}|"[^\n]*|%\*(?:[^*]|\*(?!%))*+(?:\*%)?|%[^\n]*')

# kind of argument -> how the printer writes it, and how that is read. Any other spelling is left to `read_unusual`.
_PRINTED_NUMBER = r"-?(?:0|[1-9][0-9]{0,8})"
_PRINTED_FLOAT = rf'"{FLOAT.pattern}"'
_PRINTED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "number": (_PRINTED_NUMBER, int),
    "string": (STRING, unquote),
    "name": (NAME, str),
    "float": (_PRINTED_FLOAT, lambda text: float(text[1:-1])),
    "real": (rf'"(?:{REAL.pattern})"', lambda text: float(text[1:-1])),
    "weight": (
        f"{_PRINTED_NUMBER}|{_PRINTED_FLOAT}",
        lambda text: float(text[1:-1]) if text[0] == '"' else int(text),
    ),
}
_PRINTED_FACTS = "|".join(
    rf"(?P<{name}>{name}\({','.join(f'({_PRINTED[kind][0]})' for kind in kinds)}\))\."
    for name, (kinds, _) in FACTS.items()
)
_PRINTED_LITERAL = rf"(?:not[ ])?{NAME}\(X\)"
_PRINTED_TERM = rf"[0-9]{{1,10}},[0-9]{{1,10}}[ ]:[ ]{_PRINTED_LITERAL}"
_PRINTED_SUM = rf"[0-9]{{1,10}}[ ]<=[ ]\#sum[ ]\{{[ ]{_PRINTED_TERM}(?:;[ ]{_PRINTED_TERM})*+[ ]\}}"  # bound, weights
_PRINTED_BODY = rf"image\(X\)(?:,[ ]start\({_PRINTED_NUMBER}\))?(?:,[ ]{_PRINTED_SUM}|(?:,[ ]{_PRINTED_LITERAL})*+)"
# One statement, read at the speed of this expression where it is spelled as the printer does: rules first, of which
# large programs have the most. Any other is `unusual`: all up to its full stop, to a quote that starts no string, or to
# the end of the text.
_STATEMENT = re.compile(
    rf"""{SPACE}*+(?:
       (?P<kernel_rule>({NAME})\(X\)[ ]:-[ ]({_PRINTED_BODY}))\.
      |(?P<class_rule>fires\(X,({_PRINTED_NUMBER})\)[ ]:-[ ]({_PRINTED_BODY}))\.
      |{_PRINTED_FACTS}
      |(?P<unusual>(?:[^".]++|{STRING})*+(?:\.|"|\Z))
    )""",
    re.VERBOSE,
)
# fact -> the group of each argument in `_STATEMENT`, and what reads it
_READERS = {
    name: tuple((_STATEMENT.groupindex[name] + i, _PRINTED[kind][1]) for i, kind in enumerate(kinds, 1))
    for name, (kinds, _) in FACTS.items()
}


def read_statements(text: str, source: str) -> Statements:
    """Split the text into statements and sort them by kind.

    Raises:
        ProgramError: a syntax error, or something said twice, with its line and column.
    """
    said = Statements(text, source)
    said.text = _blank_comments(said)
    for match in _STATEMENT.finditer(said.text):
        kind = match.lastgroup
        if kind in _READERS:
            said.add_fact(kind, [read(match[group]) for group, read in _READERS[kind]], match.start(kind))
        elif kind == "kernel_rule":
            first = _STATEMENT.groupindex[kind]
            said.kernel_rules.append((match[first + 1], match.start(kind), match.span(first + 2)))
        elif kind == "class_rule":
            first = _STATEMENT.groupindex[kind]
            said.add_class_body(int(match[first + 1]), match.start(kind), match.span(first + 2))
        else:
            read_unusual(said, *match.span())
    return said


def _blank_comments(said: Statements) -> str:
    """The text with spaces in the place of comments, so that what follows stays where it is; strings stay."""
    text = said.text
    parts, n_copied, at = [], 0, 0
    while (percent := text.find("%", at)) >= 0:
        # No string goes past the end of its line, so none is open where the line of a '%' begins.
        for match in _COMMENTS.finditer(text, max(at, text.rfind("\n", at, percent) + 1)):
            if (comment := match[0])[0] == "%":
                if comment.startswith("%*") and (
                    not comment.endswith("*%") or len(comment) < 4 or "%" in comment[2:-1]
                ):
                    raise said.error(
                        match.start(), "this comment has no end '*%', or holds another '%'; write lines with % instead"
                    )
                parts += [text[n_copied : match.start()], "\n".join([" " * len(line) for line in comment.split("\n")])]
                n_copied = match.end()
            if (at := match.end()) > percent:
                break
    return "".join([*parts, text[n_copied:]])
