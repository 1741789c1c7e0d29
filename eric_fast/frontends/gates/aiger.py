"""AIGER: and-inverter graphs, as ASCII (`aag`) and binary (`aig`), of version 1 or 1.9."""

import re
from typing import NamedTuple

from eric_fast.errors import ProgramError
from eric_fast.frontends.fields import check_claim
from eric_fast.frontends.gates.circuit_types import Circuit, Gate, check_name, name_all, shorten

_FIELDS = ("M", "I", "L", "O", "A", "B", "C", "J", "F")
PROPERTIES = {"L": "latches", "B": "bad states", "C": "constraints", "J": "justice", "F": "fairness"}
_NUMBER = re.compile(rb"[0-9]{1,10}")
_SYMBOL = re.compile(rb"([iolbcjf])([0-9]{1,10}) (.*)")


class AigerHeader(NamedTuple):
    most: int
    n_inputs: int
    n_outputs: int
    n_gates: int


class _Lines:
    """The lines of a file, in turn, each with its number."""

    def __init__(self, content: bytes, source: str) -> None:
        self.content = content
        self.source = source
        self.start = 0  # of the next line
        self.number = 0  # of the last

    @property
    def place(self) -> str:
        return f"{self.source}:{self.number}"

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def is_over(self) -> bool:
        return self.start >= len(self.content)

    def read(self, what: str) -> bytes:
        """The next line, without its end."""
        self.number += 1
        if self.is_over():
            raise self.fail(f"the file ends, expected {what}")
        end = self.content.find(b"\n", self.start)
        end = len(self.content) if end < 0 else end
        line = self.content[self.start : end]
        self.start = end + 1
        return line.removesuffix(b"\r")

    def read_numbers(self, count: int, what: str, most: int) -> list[int]:
        """A line of this many literals, of variables up to `most`."""
        words = self.read(what).split()
        if len(words) != count or not all(map(_NUMBER.fullmatch, words)):
            raise self.fail(f"expected {count} number{'s' * (count > 1)} for {what}, got {shorten(b' '.join(words))}")
        numbers = [int(word) for word in words]
        for number in numbers:
            if number > 2 * most + 1:
                raise self.fail(f"literal {number} is out of range: the header says {most} variables")
        return numbers


def read_aiger(content: bytes, source: str) -> Circuit:
    """The circuit in an AIGER file.

    Raises:
        ProgramError: latches or properties to check, or an invalid file: `source:line: what`.
    """
    lines = _Lines(content, source)
    binary, header = _read_header(lines)
    inputs, outputs, gates = (_read_binary if binary else _read_ascii)(lines, header)
    given = _read_symbols(lines, header)
    names = name_all(given["i"], header.n_inputs, "i")
    output_names = name_all(given["o"], header.n_outputs, "o")
    return Circuit(
        "AIGER circuit",
        list(zip(names, inputs, strict=True)),
        [(name, signal, place) for name, (signal, place) in zip(output_names, outputs, strict=True)],
        gates,
    )


def _read_header(lines: _Lines) -> tuple[bool, AigerHeader]:
    kind, *words = lines.read("the header").split()
    if kind not in (b"aag", b"aig"):
        raise lines.fail(f"expected 'aag' or 'aig', got {shorten(kind)}")
    if not 5 <= len(words) <= 9 or not all(map(_NUMBER.fullmatch, words)):
        raise lines.fail(f"expected the header '{kind.decode()} M I L O A', all numbers, then at most B C J F")
    counts = dict(zip(_FIELDS, map(int, words), strict=False))
    for field, what in PROPERTIES.items():
        if counts.get(field):
            raise lines.fail(f"{field} is {counts[field]}: the circuit has {what}, but only gates can be converted")
    header = AigerHeader(counts["M"], counts["I"], counts["O"], counts["A"])
    binary = kind == b"aig"
    needed = header.n_inputs + header.n_gates
    if header.most < needed or (binary and header.most != needed):
        raise lines.fail(f"M is {header.most}, but I + A is {needed}")
    size = len(lines.content)
    least = 2 * (header.n_outputs + header.n_gates) + (0 if binary else 2 * header.n_inputs)  # bytes that they take
    if least > size:
        raise lines.fail(f"the header's counts are too large for a file of {size:,} bytes")
    check_claim(header.n_inputs, size, "inputs", lines.source)  # those of a binary file take no space
    return binary, header


_Body = tuple[list[int], list[tuple[int, str]], list[Gate]]  # signals of inputs, signals and places of outputs, gates


def _read_ascii(lines: _Lines, header: AigerHeader) -> _Body:
    defined: set[int] = set()

    def define(literal: int) -> int:
        if literal & 1 or literal < 2:
            raise lines.fail(f"literal {literal} can't be defined; expected an even number above 0")
        if literal in defined:
            raise lines.fail(f"literal {literal} is defined twice")
        defined.add(literal)
        return literal >> 1

    inputs = [define(lines.read_numbers(1, "an input", header.most)[0]) for _ in range(header.n_inputs)]
    outputs = _read_outputs(lines, header)
    gates = []
    for _ in range(header.n_gates):
        left, *right = lines.read_numbers(3, "an and gate", header.most)
        gates.append(_make_gate(define(left), right, lines.place))
    return inputs, outputs, gates


def _read_binary(lines: _Lines, header: AigerHeader) -> _Body:
    outputs = _read_outputs(lines, header)
    content, at = lines.content, lines.start
    gates = []
    for signal in range(header.n_inputs + 1, header.n_inputs + header.n_gates + 1):
        place = f"{lines.source}: byte {at}"
        literal = 2 * signal
        right = []
        for _ in range(2):
            delta, at = _read_delta(content, at, place)
            literal -= delta
            right.append(literal)
        if literal < 0 or right[0] == 2 * signal:
            raise ProgramError(f"{place}: gate {signal} must be built on lower literals")
        gates.append(_make_gate(signal, right, place))
    lines.start = at
    lines.number = content.count(b"\n", 0, at)
    return list(range(1, header.n_inputs + 1)), outputs, gates


def _read_delta(content: bytes, at: int, place: str) -> tuple[int, int]:
    """A number stored as 7 bits per byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(content):
            raise ProgramError(f"{place}: the file ends, expected an and gate")
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ProgramError(f"{place}: a number takes more than 5 bytes")


def _read_outputs(lines: _Lines, header: AigerHeader) -> list[tuple[int, str]]:
    return [
        (_to_signal(*lines.read_numbers(1, "an output", header.most)), lines.place) for _ in range(header.n_outputs)
    ]


def _to_signal(literal: int) -> int:
    return ~(literal >> 1) if literal & 1 else literal >> 1


def _make_gate(signal: int, right: list[int], place: str) -> Gate:
    return Gate(signal, (tuple(map(_to_signal, right)),), False, f"n{signal}", place)


def _read_symbols(lines: _Lines, header: AigerHeader) -> dict[str, dict[int, str]]:
    """The names of inputs (`i`) and outputs (`o`), up to the comments."""
    given: dict[str, dict[int, str]] = {"i": {}, "o": {}}
    counts = {"i": header.n_inputs, "o": header.n_outputs}
    taken: dict[str, set[str]] = {"i": set(), "o": set()}
    while not lines.is_over():
        line = lines.read("a symbol")
        if line.rstrip() == b"c":
            break
        found = _SYMBOL.fullmatch(line)
        letter, index = (found[1].decode(), int(found[2])) if found else ("", 0)
        if not found or index >= counts.get(letter, 0):
            raise lines.fail(f"expected a symbol such as 'i0 NAME', or 'c' before comments, got {shorten(line)}")
        if index in given[letter]:
            raise lines.fail(f"'{letter}{index}' has a name already")
        name = check_name(found[3].decode("utf-8", "surrogateescape"), lines.place)
        if name in taken[letter]:
            raise lines.fail(f"two {'inputs' if letter == 'i' else 'outputs'} are called '{name}'")
        taken[letter].add(name)
        given[letter][index] = name
    return given
