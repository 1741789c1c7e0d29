"""Statements in other spellings than the printer's, read token by token; errors say what is wrong and where."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.program.printers.names import unquote
from eric_fast.program.rules import INT32_MAX
from eric_fast.text.statements import (
    ARGUMENT,
    COMMA,
    FACTS,
    FLOAT,
    LITERAL,
    LITERALS,
    NAME,
    NUMBER,
    REAL,
    SPACE,
    START,
    STRING,
    SUM,
    Statements,
)

# Comments are blanked before. A whole fact and a whole body are one token each.
_TOKEN = re.compile(
    rf"""(?P<space>{SPACE}+)
      |(?P<sum>{SUM})
      |(?P<literals>{LITERAL}(?:{COMMA}(?:{LITERAL}|{START}))*)
      |(?P<fires>fires{SPACE}*\({SPACE}*X{COMMA}{NUMBER}{SPACE}*\))
      |(?P<fact>{NAME}{SPACE}*\({SPACE}*{ARGUMENT}(?:{COMMA}{ARGUMENT})*{SPACE}*\))
      |(?P<string>{STRING})
      |(?P<number>{NUMBER})
      |(?P<name>{NAME})
      |(?P<variable>[A-Z][A-Za-z0-9_]*|_)
      |(?P<directive>\#[a-z]+)
      |(?P<mark>:-|[.,;:(){{}}=<>+/-])""",
    re.VERBOSE,
)
RULED = ("base",)  # facts that may be derived by a rule, too
_ARGUMENTS = re.compile(ARGUMENT)


class Token(NamedTuple):
    kind: str
    text: str
    at: int  # offset in the text


def read_unusual(said: Statements, at: int, end: int) -> None:
    """Read the statement `text[at:end]`: not spelled as the printer does, or wrong; empty at the end of the text.

    Raises:
        ProgramError: what is wrong with it.
    """
    statement = list(_split_tokens(said, at, end))
    if not statement:
        return
    first = statement[0]
    if first.kind == "fact" and len(statement) == 2:
        _read_fact(said, first)
    elif first.kind in {"fires", "literals"}:
        _read_rule(said, statement)
    elif first.kind == "directive":
        _check_directive(said, statement)
    elif any(token.text == ":-" for token in statement) and (first.text not in FACTS or first.text in RULED):
        written = re.sub(SPACE, "", said.text[first.at : statement[-1].at + 1])
        if written in said.other_rules:
            raise said.error(first.at, "this rule is already given above; remove one")
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
        raise said.error(statement[0].at, "expected '#defined name/arity.'; other directives are not supported")


def _read_fact(said: Statements, fact: Token) -> None:
    name, _, _ = fact.text.partition("(")
    name = name.rstrip()
    if name not in FACTS:
        raise said.error(fact.at, f"'{name}' is not a fact of a program{suggest_nearest(name, FACTS)}")
    kinds, _ = FACTS[name]
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
    if given != {"float": "string", "real": "string"}.get(kind, kind):
        raise said.error(at, f"expected a {kind}, not {text}")
    if kind == "string":
        return unquote(text)
    if kind in {"float", "real"}:
        if not (FLOAT if kind == "float" else REAL).fullmatch(unquote(text)):
            raise said.error(at, f'{text} is not a number; write one such as "12.25"')
        return float(unquote(text))
    if kind == "number":
        if len(text) > 11 or abs(int(text)) > INT32_MAX:
            raise said.error(at, f"{text[:20]} is larger than 2^31 - 1, so clingo would wrap it")
        return int(text)
    return text


def _read_rule(said: Statements, statement: list[Token]) -> None:
    """`head :- body.`"""
    head = statement[0]
    if statement[1].text != ":-":
        raise said.error(statement[1].at, f"expected ':-' after {_shorten(head)}, not {_shorten(statement[1])}")
    body = last = statement[2]
    if body.kind != "literals":
        raise said.error(body.at, f"expected a literal such as 'image(X)', not {_shorten(body)}")
    rest = statement[3:]
    if len(rest) > 2 and rest[0].text == "," and rest[1].kind == "sum":
        last, rest = rest[1], rest[2:]
        if [name for _, name in LITERALS.findall(body.text)] != ["image"]:
            raise said.error(body.at, "next to a sum a body has 'image(X)' alone; put the literals into the sum")
    end = rest[0] if rest else last
    if end.text == "," and len(rest) > 1:
        hint = _explain_sum(rest[1:]) if last is body else "a body holds one sum, and nothing after it"
        raise said.error(rest[1].at, hint or f"expected a literal such as 'not k_f_7(X)', not {_shorten(rest[1])}")
    if end.text != ".":
        raise said.error(end.at, f"expected ',' or '.', not {_shorten(end)}")
    if not any(name == "image" and not negation for negation, name in LITERALS.findall(body.text)):
        raise said.error(body.at, "expected a body that starts with 'image(X)'")
    span = (body.at, last.at + len(last.text))
    if head.kind == "literals":
        heads = LITERALS.findall(head.text)
        if len(heads) > 1 or heads[0][0]:
            raise said.error(head.at, f"expected one kernel, not negated, as the head of a rule, not {_shorten(head)}")
        said.kernel_rules.append((heads[0][1], head.at, span))
        return
    at = head.at + head.text.index(",") + 1
    number = _read_argument(said, at, head.text[head.text.index(",") + 1 : -1].strip(), "number")
    said.add_class_body(number, head.at, span)


def _explain_sum(tokens: list[Token]) -> str:
    """What a sum is to look like, if these tokens are meant as an aggregate; else nothing."""
    if not any(token.text.startswith("#") for token in tokens[:4]):
        return ""
    return "a sum must look like '5 <= #sum { 3,1 : k_f_7(X); 2,2 : not k_f_8(X) }', with whole weights and indices"


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
