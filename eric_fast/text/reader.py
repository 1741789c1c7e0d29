"""Text to facts, rules and directives, each with its place; nothing here knows what they mean together."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.program import INT32_MAX
from eric_fast.text.names import unquote

_SPACE = r"[ \t\r\n]"
_STRING = r'"(?:[^"\\\n]|\\[n"\\])*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?![0-9])"
_NAME = r"[a-z][A-Za-z0-9_]*"
_ARGUMENT = rf"(?:{_STRING}|{_NUMBER}|{_NAME})"
_LITERAL = rf"(?:not{_SPACE}+)?{_NAME}{_SPACE}*\({_SPACE}*X{_SPACE}*\)"
_COMMA = rf"{_SPACE}*,{_SPACE}*"
# Comments are blanked before. A whole fact and a whole body are one token each.
_TOKEN = re.compile(
    rf"""(?P<space>{_SPACE}+)
      |(?P<literals>{_LITERAL}(?:{_COMMA}{_LITERAL})*)
      |(?P<fires>fires{_SPACE}*\({_SPACE}*X{_COMMA}{_NUMBER}{_SPACE}*\))
      |(?P<fact>{_NAME}{_SPACE}*\({_SPACE}*{_ARGUMENT}(?:{_COMMA}{_ARGUMENT})*{_SPACE}*\))
      |(?P<string>{_STRING})
      |(?P<number>{_NUMBER})
      |(?P<name>{_NAME})
      |(?P<variable>[A-Z][A-Za-z0-9_]*|_)
      |(?P<directive>\#[a-z]+)
      |(?P<mark>:-|[.,;:(){{}}=<>+/-])""",
    re.VERBOSE,
)
_ARGUMENTS = re.compile(_ARGUMENT)
_LITERALS = re.compile(rf"(not{_SPACE}+)?({_NAME}){_SPACE}*\({_SPACE}*X{_SPACE}*\)")
# What follows a quote that starts no string is not looked at: the quote itself will be refused.
_COMMENTS = re.compile(rf'{_STRING}|"[^\n]*|%\*(?:[^*]|\*(?!%))*+(?:\*%)?|%[^\n]*')
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

# name -> (kinds of its arguments, how many of them are the key that may occur once)
_FACTS: dict[str, tuple[tuple[str, ...], int]] = {
    "format": (("number",), 0),
    "fingerprint": (("string",), 0),
    "trained_on": (("number",), 0),
    "setting": (("string", "string"), 1),
    "norm": (("string",), 0),
    "kernel": (("name", "string", "number", "string", "float"), 1),
    "label": (("name", "string"), 1),
    "classes": (("number", "string"), 1),
    "rule": (("number", "string", "weight"), 1),
    "also": (("number", "string", "weight"), 2),
    "support": (("number", "number", "number"), 1),
    "kernel_support": (("name", "number", "number", "number"), 2),
    "decision": (("string",), 0),
    "default": (("string",), 0),
    "base": (("string", "weight"), 1),
}

# kind of argument -> how the printer writes it, and how that is read. Any other spelling is left to `_read_argument`.
_PRINTED_NUMBER = r"-?(?:0|[1-9][0-9]{0,8})"
_PRINTED_FLOAT = rf'"{_FLOAT.pattern}"'
_PRINTED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "number": (_PRINTED_NUMBER, int),
    "string": (_STRING, unquote),
    "name": (_NAME, str),
    "float": (_PRINTED_FLOAT, lambda text: float(text[1:-1])),
    "weight": (
        f"{_PRINTED_NUMBER}|{_PRINTED_FLOAT}",
        lambda text: float(text[1:-1]) if text[0] == '"' else int(text),
    ),
}
_PRINTED_FACTS = "|".join(
    rf"(?P<{name}>{name}\({','.join(f'({_PRINTED[kind][0]})' for kind in kinds)}\))\."
    for name, (kinds, _) in _FACTS.items()
)
_PRINTED_BODY = rf"image\(X\)(?:,[ ](?:not[ ])?{_NAME}\(X\))*+"
# One statement, read at the speed of this expression where it is spelled as the printer does. Any other is `unusual`:
# all up to its full stop, to a quote that starts no string, or to the end of the text.
_STATEMENT = re.compile(
    rf"""{_SPACE}*+(?:
       {_PRINTED_FACTS}
      |(?P<class_rule>fires\(X,({_PRINTED_NUMBER})\)[ ]:-[ ]({_PRINTED_BODY}))\.
      |(?P<kernel_rule>({_NAME})\(X\)[ ]:-[ ]({_PRINTED_BODY}))\.
      |(?P<unusual>(?:[^".]++|{_STRING})*+(?:\.|"|\Z))
    )""",
    re.VERBOSE,
)
# fact -> the group of each argument in `_STATEMENT`, and what reads it
_READERS = {
    name: tuple((_STATEMENT.groupindex[name] + i, _PRINTED[kind][1]) for i, kind in enumerate(kinds, 1))
    for name, (kinds, _) in _FACTS.items()
}


class Token(NamedTuple):
    kind: str
    text: str
    at: int  # offset in the text


# What a large program has many of are plain tuples: those of numbers and strings are nothing to the garbage collector.
Fact = tuple[Any, ...]  # its arguments, then its place
Body = tuple[int, int]  # it is `text[start:end]`: bodies are most of a large text
KernelRule = tuple[str, int, Body]  # the head's predicate, its place, the body


@dataclass
class Statements:
    """Everything that a text says, by kind; filled by `read_statements`."""

    text: str
    source: str
    facts: dict[str, dict[tuple[Any, ...], Fact]] = field(default_factory=lambda: {name: {} for name in _FACTS})
    class_bodies: dict[int, Body] = field(default_factory=dict)  # by the rule's number
    kernel_rules: list[KernelRule] = field(default_factory=list)
    other_rules: dict[str, int] = field(default_factory=dict)  # as written, without spaces -> place

    def error(self, at: int, message: str) -> ProgramError:
        """The error to raise about what stands at offset `at`."""
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return ProgramError(f"{self.source}:{line}:{column}: {message}")

    def add_fact(self, name: str, values: list[Any], at: int) -> None:
        fact = (*values, at)
        key = fact[: _FACTS[name][1]]
        if self.facts[name].setdefault(key, fact) is not fact:
            what = f"{name}({','.join(map(str, key))},...)" if key else name
            raise self.error(at, f"a second fact {what}; only one can hold, remove the other")

    def add_class_body(self, number: int, at: int, body: Body) -> None:
        if number in self.class_bodies:
            raise self.error(at, f"a second body for class rule {number}; give it a number of its own")
        self.class_bodies[number] = body


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
            _read_unusual(said, list(_split_tokens(said, *match.span())))
    return said


def find_literals(said: Statements, body: Body) -> Iterator[tuple[bool, str, int]]:
    """Whether negated, predicate, and place of each literal of a body but `image(X)`."""
    for match in _LITERALS.finditer(said.text, *body):
        if match[2] != "image" or match[1]:
            yield match[1] is not None, match[2], match.start(2)


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
                blank = "\n".join(" " * len(line) for line in comment.split("\n"))
                parts += [text[n_copied : match.start()], blank]
                n_copied = match.end()
            if (at := match.end()) > percent:
                break
    return "".join([*parts, text[n_copied:]])


def _read_unusual(said: Statements, statement: list[Token]) -> None:
    """A statement that is not spelled as the printer does, or that is wrong."""
    if not statement:  # the end of the text
        return
    first = statement[0]
    if first.kind == "fact" and len(statement) == 2:
        _read_fact(said, first)
    elif first.kind in {"fires", "literals"}:
        _read_rule(said, statement)
    elif first.kind == "directive":
        _check_directive(said, statement)
    elif any(token.text == ":-" for token in statement) and first.text not in _FACTS:
        written = re.sub(_SPACE, "", said.text[first.at : statement[-1].at + 1])
        if written in said.other_rules:
            raise said.error(first.at, "this rule stands above already; remove one")
        said.other_rules[written] = first.at
    else:
        raise _explain_fact(said, statement)


def _split_tokens(said: Statements, at: int, end: int) -> Iterator[Token]:
    """The tokens of the statement that is `text[at:end]`, its full stop included."""
    text = said.text
    token = None
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            hint = '; a string ends on its line and knows \\\\, \\" and \\n alone' if text[at] == '"' else ""
            hint = "; save the file without a byte order mark" if text[at] == "\ufeff" else hint
            raise said.error(at, f"unexpected {text[at]!r}{hint}")
        kind = match.lastgroup or ""
        if kind != "space":
            token = Token(kind, match.group(), at)
            yield token
        at = match.end()
    if token is not None and token.text != ".":
        raise said.error(token.at, f"expected '.' after {_shorten(token)}, not the end of the text")


def _check_directive(said: Statements, statement: list[Token]) -> None:
    kinds = [token.kind for token in statement]
    if statement[0].text != "#defined" or kinds[1:] != ["name", "mark", "number", "mark"] or statement[2].text != "/":
        raise said.error(statement[0].at, "expected '#defined name/arity.'; no other directive is taken")


def _read_fact(said: Statements, fact: Token) -> None:
    name, _, _ = fact.text.partition("(")
    name = name.rstrip()
    if name not in _FACTS:
        raise said.error(fact.at, f"'{name}' is not a fact of a program{suggest_nearest(name, _FACTS)}")
    kinds, _ = _FACTS[name]
    given = list(_ARGUMENTS.finditer(fact.text, len(name)))
    if len(given) != len(kinds):
        raise said.error(fact.at, f"{name} takes {len(kinds)} arguments ({', '.join(kinds)}), not {len(given)}")
    values = [
        _read_argument(said, fact.at + match.start(), match[0], kind) for match, kind in zip(given, kinds, strict=True)
    ]
    said.add_fact(name, values, fact.at)


def _read_argument(said: Statements, at: int, text: str, kind: str) -> Any:
    """A weight is a whole number, or a string that holds a real one; a float is always such a string."""
    if kind == "weight":
        kind = "float" if text[0] == '"' else "number"
    given = "string" if text[0] == '"' else "name" if text[0].isalpha() else "number"
    if given != {"float": "string"}.get(kind, kind):
        raise said.error(at, f"expected a {kind}, not {text}")
    if kind == "string":
        return unquote(text)
    if kind == "float":
        if not _FLOAT.fullmatch(unquote(text)):
            raise said.error(at, f'{text} is not a number; write one such as "12.25"')
        return float(unquote(text))
    if kind == "number":
        if len(text) > 11 or abs(int(text)) > INT32_MAX:
            raise said.error(at, f"{text[:20]} is past 2^31 - 1, which clingo would wrap")
        return int(text)
    return text


def _read_rule(said: Statements, statement: list[Token]) -> None:
    """`head :- body.`"""
    head = statement[0]
    if statement[1].text != ":-":
        raise said.error(statement[1].at, f"expected ':-' after {_shorten(head)}, not {_shorten(statement[1])}")
    body, end = statement[2], statement[min(3, len(statement) - 1)]
    if body.kind != "literals":
        raise said.error(body.at, f"expected a literal such as 'image(X)', not {_shorten(body)}")
    if end.text == "," and len(statement) > 4:
        raise said.error(statement[4].at, f"expected a literal such as 'not k_f_7(X)', not {_shorten(statement[4])}")
    if end.text != ".":
        raise said.error(end.at, f"expected ',' or '.', not {_shorten(end)}")
    if not any(name == "image" and not negation for negation, name in _LITERALS.findall(body.text)):
        raise said.error(body.at, "this body lacks 'image(X)', which every body starts with")
    span = (body.at, body.at + len(body.text))
    if head.kind == "literals":
        heads = _LITERALS.findall(head.text)
        if len(heads) > 1 or heads[0][0]:
            raise said.error(head.at, f"the head of a rule is one kernel, not negated: {_shorten(head)}")
        said.kernel_rules.append((heads[0][1], head.at, span))
        return
    at = head.at + head.text.index(",") + 1
    number = _read_argument(said, at, head.text[head.text.index(",") + 1 : -1].strip(), "number")
    said.add_class_body(number, head.at, span)


def _explain_fact(said: Statements, statement: list[Token]) -> ProgramError:
    """Why this statement is neither a fact nor a rule."""
    first = statement[0]
    if first.kind == "fact":
        return said.error(
            statement[1].at, f"expected '.' or ':-' after {_shorten(first)}, not {_shorten(statement[1])}"
        )
    if first.kind != "name":
        return said.error(first.at, f"expected a fact or a rule, not {_shorten(first)}")
    for i, token in enumerate(statement[1:]):
        expected = "'('" if i == 0 else "an argument" if i % 2 else "',' or ')'"
        fits = (
            token.text == "(" if i == 0 else token.kind in {"string", "number", "name"} if i % 2 else token.text == ","
        )
        if not fits:
            return said.error(token.at, f"expected {expected}, not {_shorten(token)}")
    return said.error(first.at, f"expected a fact or a rule, not {_shorten(first)}")


def _shorten(token: Token) -> str:
    """The token in quotes, cut where it is long."""
    return repr(token.text if len(token.text) <= 60 else f"{token.text[:60]}...")
