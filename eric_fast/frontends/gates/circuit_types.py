"""Circuits as files of any format describe them, and checks of their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from eric_fast.errors import ProgramError
from eric_fast.frontends.gates.netlist import find_free_name


@dataclass(frozen=True, slots=True)
class Gate:
    """A signal that is true if all signals of some cube are; or false then, if `negated`."""

    signal: int
    cubes: Sequence[Sequence[int]]
    negated: bool
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Circuit:
    """The contents of a file. Signals are the file's own numbers, from 1; 0 is false, `~signal` is a negation.

    Attributes:
        source: see `RuleModel`.
        inputs: name and signal of each input.
        outputs: name, signal and place in the file of each output.
        gates: in any order.
    """

    source: str
    inputs: Sequence[tuple[str, int]]
    outputs: Sequence[tuple[str, int, str]]
    gates: Sequence[Gate]


def name_all(given: dict[int, str], count: int, letter: str) -> list[str]:
    """The names of all inputs or outputs; those without one are called `i0`, `i1` and so on, with this letter."""
    taken = set(given.values())
    return [given[i] if i in given else find_free_name(f"{letter}{i}", taken) for i in range(count)]


def check_name(name: str, place: str) -> str:
    """The name. Raises ProgramError if a program's text can't hold it."""
    if not name or any(c in "\0\r" or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        raise ProgramError(f"{place}: the name {name!r} has characters that are not supported; rename it")
    return name


def shorten(line: bytes) -> str:
    """The start of a line, for errors."""
    text = line[:40].decode("utf-8", "backslashreplace")
    return repr(text + "..." * (len(line) > 40))
