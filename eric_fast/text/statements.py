"""What a program's text says, by kind, each with its place; and the pieces that its statements are made of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from eric_fast.errors import ProgramError
from eric_fast.text.files import find_place

SPACE = r"[ \t\r\n]"
STRING = r'"(?:[^"\\\n]++|\\[n"\\])*+"'
NUMBER = r"-?(?:0|[1-9][0-9]*)(?![0-9])"
NAME = r"[a-z][A-Za-z0-9_]*"
ARGUMENT = rf"(?:{STRING}|{NUMBER}|{NAME})"
LITERAL = rf"(?:not{SPACE}+)?{NAME}{SPACE}*\({SPACE}*X{SPACE}*\)"
START = rf"start{SPACE}*\({SPACE}*{NUMBER}{SPACE}*\)"
COMMA = rf"{SPACE}*,{SPACE}*"
TERM = rf"{NUMBER}{COMMA}{NUMBER}{SPACE}*:{SPACE}*{LITERAL}"  # weight, index, literal
SUM = rf"{NUMBER}{SPACE}*<={SPACE}*\#sum{SPACE}*\{{{SPACE}*{TERM}(?:{SPACE}*;{SPACE}*{TERM})*{SPACE}*\}}"
LITERALS = re.compile(rf"(not{SPACE}+)?({NAME}){SPACE}*\({SPACE}*X{SPACE}*\)")
TERMS = re.compile(
    rf"({NUMBER}){COMMA}({NUMBER}){SPACE}*:{SPACE}*(?P<not>not{SPACE}+)?(?P<name>{NAME}){SPACE}*\({SPACE}*X{SPACE}*\)"
)
BOUND = re.compile(rf"({NUMBER}){SPACE}*<={SPACE}*\#sum")
STARTS = re.compile(rf"(?<![A-Za-z0-9_])start{SPACE}*\({SPACE}*({NUMBER}){SPACE}*\)")
FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
REAL = re.compile(rf"{FLOAT.pattern}|[+-]?inf")

# name -> (kinds of its arguments, how many of them are the key that may occur once)
FACTS: dict[str, tuple[tuple[str, ...], int]] = {
    "format": (("number",), 0),
    "fingerprint": (("string",), 0),
    "trained_on": (("number",), 0),
    "setting": (("string", "string"), 1),
    "norm": (("string",), 0),
    "kernel": (("name", "string", "number", "string", "float"), 1),
    "region": (("name", "string"), 1),
    "column": (("number", "string", "string"), 1),
    "compare": (("name", "number", "string", "real"), 1),
    "among": (("name", "number"), 1),
    "value": (("name", "string"), 2),
    "missing": (("name",), 1),
    "derived": (("name", "string"), 1),
    "output": (("number", "string", "name"), 1),
    "label": (("name", "string"), 1),
    "classes": (("number", "string"), 1),
    "rule": (("number", "string", "weight"), 1),
    "also": (("number", "string", "weight"), 2),
    "support": (("number", "number", "number"), 1),
    "confidence": (("number", "float"), 1),
    "kernel_support": (("name", "number", "number", "number"), 2),
    "decision": (("string",), 0),
    "default": (("string",), 0),
    "base": (("string", "weight"), 1),
    "feeds": (("string", "string"), 2),
    "feeds_classes": (("string",), 1),
    "starts": (("number", "string"), 2),
    "start": (("number",), 0),
    "start_base": (("number", "string", "weight"), 2),
}

# What a large program has many of are plain tuples: those of numbers and strings are nothing to the garbage collector.
Fact = tuple[Any, ...]  # its arguments, then its place
Body = tuple[int, int]  # it is `text[start:end]`: bodies are most of a large text
KernelRule = tuple[str, int, Body]  # the head's predicate, its place, the body


@dataclass
class Statements:
    """Everything that a text says, by kind; filled by `read_statements`."""

    text: str
    source: str
    facts: dict[str, dict[tuple[Any, ...], Fact]] = field(default_factory=lambda: {name: {} for name in FACTS})
    class_bodies: dict[int, Body] = field(default_factory=dict)  # by the rule's number
    kernel_rules: list[KernelRule] = field(default_factory=list)
    other_rules: dict[str, int] = field(default_factory=dict)  # as written, without spaces -> place

    def error(self, at: int, message: str) -> ProgramError:
        """The error to raise about offset `at` of the text."""
        return ProgramError(f"{self.source}:{find_place(self.text, at)}: {shorten_message(message)}")

    def add_fact(self, name: str, values: list[Any], at: int) -> None:
        fact = (*values, at)
        key = fact[: FACTS[name][1]]
        if self.facts[name].setdefault(key, fact) is not fact:
            what = f"{name}({','.join(map(str, key))},...)" if key else name
            raise self.error(at, f"a second fact {what}; remove one")

    def find_only(self, name: str, default: Any) -> Any:
        """The argument of a fact that stands once at most."""
        fact = self.facts[name].get(())
        return default if fact is None else fact[0]

    def list_numbered(self, name: str, what: str) -> list[Fact]:
        """The facts of a kind in the order of their first argument, which numbers them from 0."""
        facts = self.facts[name]
        missing = next((number for number in range(len(facts)) if (number,) not in facts), None)
        if missing is not None:
            raise ProgramError(f"{self.source}: {what} must be numbered from 0 without gaps; {missing} is missing")
        return [facts[(number,)] for number in range(len(facts))]

    def add_class_body(self, number: int, at: int, body: Body) -> None:
        if number in self.class_bodies:
            raise self.error(at, f"a second body for class rule {number}; give it a number of its own")
        self.class_bodies[number] = body


def shorten_message(message: str) -> str:
    """One line that a terminal has room for, however long the names in it are; what to do stands at its end."""
    line = message.replace("\n", "\\n")
    return line if len(line) <= 500 else f"{line[:250]} ... {line[-200:]}"


def find_literals(said: Statements, body: Body) -> Iterator[tuple[bool, str, int]]:
    """Whether negated, predicate, and place of each literal of a body but `image(X)`."""
    for match in LITERALS.finditer(said.text, *body):
        if match[2] != "image" or match[1]:
            yield match[1] is not None, match[2], match.start(2)
