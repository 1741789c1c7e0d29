"""What a file of a circuit says, whatever its format, and how it names things."""

from collections.abc import Sequence
from dataclasses import dataclass

from eric_fast.errors import ProgramError
from eric_fast.frontends.gates.gates import find_free_name


@dataclass(frozen=True, slots=True)
class Gate:
    """A signal of a file: true where all signals of some cube are, or `negated`. A cube holds signals of the file."""

    signal: int
    cubes: Sequence[Sequence[int]]
    negated: bool
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a file says. Signals are the file's own numbers, from 1 on; 0 is false, `~signal` is a negation.

    Attributes:
        source: what it is, for a person.
        inputs: name and signal of each input.
        outputs: name, signal and place in the file of each output.
        gates: in any order.
    """

    source: str
    inputs: Sequence[tuple[str, int]]
    outputs: Sequence[tuple[str, int, str]]
    gates: Sequence[Gate]


def name_all(given: dict[int, str], count: int, letter: str) -> list[str]:
    """The names of inputs or outputs; `i0`, `i1`, ..., with this letter, of those that have none."""
    taken = set(given.values())
    return [given[i] if i in given else find_free_name(f"{letter}{i}", taken) for i in range(count)]


def check_name(name: str, place: str) -> str:
    """The name, where a program's text can hold it."""
    if not name or any(c in "\0\r" or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        raise ProgramError(f"{place}: {name!r} is no name that can be kept; rename it")
    return name


def shorten(line: bytes) -> str:
    """Bytes of a file, as an error shows them."""
    text = line[:40].decode("utf-8", "backslashreplace")
    return repr(text + "..." * (len(line) > 40))
