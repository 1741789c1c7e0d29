"""Text to facts, rules and directives, each with its place; nothing here knows what they mean together."""

import re
from collections.abc import Iterator
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
# Comments are blanked before. A whole fact and a whole body are one token each: a large program is read at the speed
# of this expression.
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
_COMMENTS = re.compile(rf'{_STRING}|"|%\*(?:[^*]|\*(?!%))*(?:\*%)?|%[^\n]*')
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

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


class Token(NamedTuple):
    kind: str
    text: str
    at: int  # offset in the text


class Fact(NamedTuple):
    values: tuple[Any, ...]
    at: int


@dataclass
class Statements:
    """Everything that a text says, by kind; filled by `read_statements`."""

    text: str
    source: str
    facts: dict[str, dict[tuple[Any, ...], Fact]] = field(default_factory=lambda: {name: {} for name in _FACTS})
    class_bodies: dict[int, Token] = field(default_factory=dict)  # by the rule's number
    kernel_bodies: list[tuple[Token, Token]] = field(default_factory=list)  # the head's predicate, the body
    other_rules: dict[str, int] = field(default_factory=dict)  # as written, without spaces -> place

    def error(self, at: int, message: str) -> ProgramError:
        """The error to raise about what stands at offset `at`."""
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return ProgramError(f"{self.source}:{line}:{column}: {message}")


def read_statements(text: str, source: str) -> Statements:
    """Split the text into statements and sort them by kind.

    Raises:
        ProgramError: a syntax error, or something said twice, with its line and column.
    """
    said = Statements(text, source)
    said.text = _COMMENTS.sub(lambda match: _blank_comment(said, match), text)
    for statement in _split_statements(said):
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
    return said


def find_literals(body: Token) -> Iterator[tuple[bool, str, int]]:
    """Whether negated, predicate, and place of each literal of a body but `image(X)`."""
    for match in _LITERALS.finditer(body.text):
        if match[2] != "image" or match[1]:
            yield match[1] is not None, match[2], body.at + match.start(2)


def _blank_comment(said: Statements, match: re.Match[str]) -> str:
    """Spaces in the place of a comment, so that what follows stays where it is; strings stay."""
    text = match[0]
    if text[0] == '"':
        return text
    if text.startswith("%*") and (not text.endswith("*%") or len(text) < 4 or "%" in text[2:-1]):
        raise said.error(
            match.start(), "this comment has no end '*%', or holds another '%'; write lines with % instead"
        )
    return re.sub(r"[^\n]", " ", text)


def _split_statements(said: Statements) -> Iterator[list[Token]]:
    """The tokens of each statement, its full stop included."""
    text, at = said.text, 0
    statement: list[Token] = []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = '; a string ends on its line and knows \\\\, \\" and \\n alone' if text[at] == '"' else ""
            hint = "; save the file without a byte order mark" if text[at] == "\ufeff" else hint
            raise said.error(at, f"unexpected {text[at]!r}{hint}")
        kind = match.lastgroup or ""
        if kind != "space":
            token = Token(kind, match.group(), at)
            statement.append(token)
            if token.text == ".":
                yield statement
                statement = []
        at = match.end()
    if statement:
        last = statement[-1]
        raise said.error(last.at, f"expected '.' after {_shorten(last)}, not the end of the text")


def _check_directive(said: Statements, statement: list[Token]) -> None:
    kinds = [token.kind for token in statement]
    if statement[0].text != "#defined" or kinds[1:] != ["name", "mark", "number", "mark"] or statement[2].text != "/":
        raise said.error(statement[0].at, "expected '#defined name/arity.'; no other directive is taken")


def _read_fact(said: Statements, fact: Token) -> None:
    name, _, _ = fact.text.partition("(")
    name = name.rstrip()
    if name not in _FACTS:
        raise said.error(fact.at, f"'{name}' is not a fact of a program{suggest_nearest(name, _FACTS)}")
    kinds, n_keys = _FACTS[name]
    given = list(_ARGUMENTS.finditer(fact.text, len(name)))
    if len(given) != len(kinds):
        raise said.error(fact.at, f"{name} takes {len(kinds)} arguments ({', '.join(kinds)}), not {len(given)}")
    values = tuple(
        _read_argument(said, fact.at + match.start(), match[0], kind) for match, kind in zip(given, kinds, strict=True)
    )
    key = values[:n_keys]
    if key in said.facts[name]:
        what = f"{name}({','.join(map(str, key))},...)" if key else name
        raise said.error(fact.at, f"a second fact {what}; only one can hold, remove the other")
    said.facts[name][key] = Fact(values, fact.at)


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
    if head.kind == "literals":
        heads = _LITERALS.findall(head.text)
        if len(heads) > 1 or heads[0][0]:
            raise said.error(head.at, f"the head of a rule is one kernel, not negated: {_shorten(head)}")
        said.kernel_bodies.append((Token("name", heads[0][1], head.at), body))
        return
    at = head.at + head.text.index(",") + 1
    number = _read_argument(said, at, head.text[head.text.index(",") + 1 : -1].strip(), "number")
    if number in said.class_bodies:
        raise said.error(head.at, f"a second body for class rule {number}; give it a number of its own")
    said.class_bodies[number] = body


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
