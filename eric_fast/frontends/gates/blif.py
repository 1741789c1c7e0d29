"""BLIF: one model of logic given by covers, `.names`."""

from collections.abc import Iterator, Sequence

from eric_fast.errors import ProgramError
from eric_fast.frontends.gates.circuit_types import Circuit, Gate, check_name, shorten

REFUSED = {
    ".latch": "a latch holds state; only combinational circuits can be converted",
    ".mlatch": "a latch holds state; only combinational circuits can be converted",
    ".subckt": "it refers to another model; flatten the circuit first",
    ".search": "it refers to another file; flatten the circuit first",
    ".gate": "it refers to a gate library; map the circuit to '.names' first",
}

Statement = tuple[str, list[bytes]]  # its place in the file, and its words


def read_blif(content: bytes, source: str) -> Circuit:
    """The circuit in a BLIF file.

    Raises:
        ProgramError: latches, a hierarchy, or an invalid file: `source:line: what`.
    """
    reader = _Reader()
    cover: list[Statement] = []  # a `.names` and the lines of its cover
    for place, words in _list_statements(content, source):
        if not words[0].startswith(b"."):
            if not cover:
                raise ProgramError(f"{place}: expected a statement such as '.names', got {shorten(words[0])}")
            cover.append((place, words))
            continue
        if cover:
            reader.add_gate(cover)
        cover = [(place, words)] if words[0] == b".names" else []
        reader.read_statement(place, words)
    if cover:
        reader.add_gate(cover)
    if reader.model is None:
        raise ProgramError(f"{source}: neither AIGER nor BLIF: no '.model' found")
    return reader.make_circuit()


class _Reader:
    """The statements read so far."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.ended = False
        self.signals: dict[str, int] = {}
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, str] = {}  # name -> place
        self.gates: list[Gate] = []
        self.defined: set[int] = set()

    def read_statement(self, place: str, words: list[bytes]) -> None:
        """Any statement; the cover of `.names` follows."""
        keyword = words[0].decode("utf-8", "backslashreplace")
        if self.ended or (keyword == ".model" and self.model is not None):
            raise ProgramError(f"{place}: '{keyword}' after the model; flatten the circuit to one first")
        if keyword != ".model" and self.model is None:
            raise ProgramError(f"{place}: expected '.model', got {shorten(words[0])}")
        names = [check_name(word.decode("utf-8", "surrogateescape"), place) for word in words[1:]]
        if keyword == ".model":
            self.model = " ".join(names)
        elif keyword == ".inputs":
            for name in names:
                self.inputs[name] = self._define(name, place)
        elif keyword == ".outputs":
            for name in names:
                if name in self.outputs:
                    raise ProgramError(f"{place}: two outputs are called '{name}'")
                self.outputs[name] = place
        elif keyword == ".end":
            self.ended = True
        elif keyword != ".names":
            raise ProgramError(f"{place}: '{keyword}': {REFUSED.get(keyword, 'statement not supported')}")

    def add_gate(self, cover: Sequence[Statement]) -> None:
        """Define the signal of a `.names` by the lines after it."""
        (place, words), *lines = cover
        *inputs, name = [word.decode() for word in words[1:]] or [""]
        if not name:
            raise ProgramError(f"{place}: '.names' needs the name of a signal")
        signals = [self._find_signal(each) for each in inputs]
        cubes, values = [], set()
        for line_place, (*pattern, value) in lines:
            literals = b"".join(pattern)
            if len(literals) != len(inputs) or literals.strip(b"01-") or value not in (b"0", b"1"):
                raise ProgramError(
                    f"{line_place}: expected {len(inputs)} of '0', '1' and '-', then '0' or '1', "
                    f"got {shorten(b' '.join((*pattern, value)))}"
                )
            values.add(value)
            if len(values) > 1:
                raise ProgramError(f"{line_place}: the cover of '{name}' has lines for both 1 and 0")
            cubes.append([s if c == 49 else ~s for s, c in zip(signals, literals, strict=True) if c != 45])
        self.gates.append(Gate(self._define(name, place), cubes, values == {b"0"}, name, place))

    def make_circuit(self) -> Circuit:
        return Circuit(
            f"BLIF circuit {self.model}".rstrip(),
            list(self.inputs.items()),
            [(name, self._find_signal(name), place) for name, place in self.outputs.items()],
            self.gates,
        )

    def _find_signal(self, name: str) -> int:
        return self.signals.setdefault(name, len(self.signals) + 1)

    def _define(self, name: str, place: str) -> int:
        signal = self._find_signal(name)
        if signal in self.defined:
            raise ProgramError(f"{place}: '{name}' is defined twice")
        self.defined.add(signal)
        return signal


def _list_statements(content: bytes, source: str) -> Iterator[Statement]:
    """Lines that are not empty, without comments; a backslash at the end joins a line and the next."""
    joined: list[bytes] = []
    first = 1
    for number, line in enumerate(content.split(b"\n"), 1):
        line = line.partition(b"#")[0].rstrip()
        goes_on = line.endswith(b"\\")
        joined += line.removesuffix(b"\\").split()
        if goes_on:
            continue
        if joined:
            yield f"{source}:{first}", joined
        joined, first = [], number + 1
    if joined:
        yield f"{source}:{first}", joined
