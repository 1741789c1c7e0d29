"""BLIF: models of logic given by covers, `.names`, and by instances of other models in the file, `.subckt`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.frontends.fields import NUMBERS, check_claim
from eric_fast.frontends.gates.circuit_types import Circuit, Gate, check_name, shorten
from eric_fast.program.data import map_literals

_GATE = 64  # numbers that a gate or an instance counts as
MOST_LEVELS = 200  # of instances within instances
_REFUSED = {
    ".latch": "a latch holds state; only combinational circuits can be converted",
    ".mlatch": "a latch holds state; only combinational circuits can be converted",
    ".search": "it refers to another file; flatten the circuit first",
    ".gate": "it refers to a gate library; map the circuit to '.names' first",
    ".blackbox": "the model has no logic",
    ".exdc": "don't-cares of the outputs are not supported; leave this network out",
}
# Statements about time, load, area, or where something comes from, of Berkeley's BLIF and of Yosys.
_IGNORED = frozenset(
    (
        *(".area", ".attr", ".clock", ".cname", ".cycle", ".delay", ".param", ".wire", ".wire_load_slope"),
        *(".default_input_arrival", ".default_input_drive", ".default_max_input_load", ".default_output_load"),
        *(".default_output_required", ".input_arrival", ".input_drive", ".max_input_load", ".output_load"),
        ".output_required",
    )
)
_BUFFERS = (".conn", ".barbuf")  # of Yosys: the second signal is the first

Statement = tuple[str, list[bytes]]  # its place in the file, and its words


def read_blif(content: bytes, source: str) -> Circuit:
    """The circuit in a BLIF file: its first model.

    Raises:
        ProgramError: latches, a library's gates, too many gates, or an invalid file: `source:line: what`.
    """
    models: dict[str, _Model] = {}
    model: _Model | None = None
    cover: list[Statement] = []  # a `.names` and the lines of its cover
    for place, words in _list_statements(content, source):
        if not words[0].startswith(b"."):
            if not cover:
                raise ProgramError(f"{place}: expected a statement such as '.names', got {shorten(words[0])}")
            cover.append((place, words))
            continue
        if cover and model:
            model.add_cover(cover)
        cover = [(place, words)] if words[0] == b".names" else []
        if words[0] == b".model":
            model = _Model(" ".join(_read_names(words, place)), place)
            if model.name in models:
                raise ProgramError(f"{place}: two models are called '{model.name}'")
            models[model.name] = model
        elif model is None:
            raise ProgramError(f"{place}: expected '.model', got {shorten(words[0])}")
        else:
            model.read_statement(place, words)
    if cover and model:
        model.add_cover(cover)
    if model is None:
        raise ProgramError(f"{source}: neither AIGER nor BLIF: no '.model' found")
    return _Flattener(models, len(content)).make_circuit(next(iter(models.values())))


def _read_names(words: Sequence[bytes], place: str) -> list[str]:
    return [check_name(word.decode("utf-8", "surrogateescape"), place) for word in words[1:]]


class _Cover(NamedTuple):
    """A `.names`: the signal is true, or false if `negated`, if all literals `i` or `~i` of a cube are."""

    place: str
    inputs: list[str]
    name: str
    cubes: list[list[int]]
    negated: bool


class _Instance(NamedTuple):
    """A `.subckt`: a model, and the signal of each of its inputs and outputs."""

    place: str
    model: str
    signals: dict[str, str]


class _Parts(NamedTuple):
    """What an instance of a model adds: numbers, and names of signals, each with the instance's prefix."""

    n_numbers: int
    n_names: int


@dataclass
class _Model:
    """The statements of a model."""

    name: str
    place: str
    inputs: dict[str, str] = field(default_factory=dict)  # name -> place
    outputs: dict[str, str] = field(default_factory=dict)
    covers: list[_Cover] = field(default_factory=list)
    instances: list[_Instance] = field(default_factory=list)
    ended: bool = False

    def read_statement(self, place: str, words: list[bytes]) -> None:
        """Any statement; the cover of `.names` follows."""
        keyword = words[0].decode("utf-8", "backslashreplace")
        if self.ended:
            raise ProgramError(f"{place}: '{keyword}' after the end of the model '{self.name}'")
        if keyword == ".end":
            self.ended = True
            return
        if keyword in _IGNORED:
            return
        names = _read_names(words, place)
        if keyword in (".inputs", ".outputs"):
            known = self.inputs if keyword == ".inputs" else self.outputs
            for name in names:
                if name in known:
                    raise ProgramError(f"{place}: two {keyword[1:]} are called '{name}'")
                known[name] = place
        elif keyword == ".subckt":
            self._add_instance(place, names)
        elif keyword in _BUFFERS and len(names) == 2:
            self.covers.append(_Cover(place, names[:1], names[1], [[0]], negated=False))
        elif keyword != ".names":
            raise ProgramError(f"{place}: '{keyword}': {_REFUSED.get(keyword, 'statement not supported')}")

    def add_cover(self, cover: Sequence[Statement]) -> None:
        """Define the signal of a `.names` by the lines after it."""
        (place, words), *lines = cover
        *inputs, name = [word.decode() for word in words[1:]] or [""]
        if not name:
            raise ProgramError(f"{place}: '.names' needs the name of a signal")
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
            cubes.append([i if c == 49 else ~i for i, c in enumerate(literals) if c != 45])
        self.covers.append(_Cover(place, inputs, name, cubes, values == {b"0"}))

    def count_parts(self) -> "_Parts":
        """What an instance adds."""
        names = [name for cover in self.covers for name in (cover.name, *cover.inputs)]
        names += [name for instance in self.instances for name in instance.signals.values()]
        n_literals = sum(len(cube) for cover in self.covers for cube in cover.cubes)
        n_numbers = _GATE * (1 + len(self.covers)) + len(names) + n_literals + sum(map(len, names)) // 8
        return _Parts(n_numbers, len(names))

    def _add_instance(self, place: str, names: list[str]) -> None:
        signals = {}
        for pair in names[1:]:
            formal, equals, actual = pair.partition("=")
            if not (formal and equals and actual):
                raise ProgramError(f"{place}: expected INPUT=SIGNAL or OUTPUT=SIGNAL, got '{pair}'")
            if formal in signals:
                raise ProgramError(f"{place}: '{formal}' is connected twice")
            signals[formal] = actual
        if not names:
            raise ProgramError(f"{place}: '.subckt' needs the name of a model")
        self.instances.append(_Instance(place, names[0], signals))


class _Flattener:
    """The gates of a model and of all instances in it, with signals numbered from 1."""

    def __init__(self, models: Mapping[str, _Model], size: int) -> None:
        self.models, self.size = models, size
        self.parts = {name: model.count_parts() for name, model in models.items()}
        self.signals: dict[str, int] = {}
        self.defined: set[int] = set()
        self.gates: list[Gate] = []
        self.n_numbers = 0

    def make_circuit(self, model: _Model) -> Circuit:
        inputs = [(name, self._define(name, place)) for name, place in model.inputs.items()]
        self._add_model(model, {}, "", 0)
        outputs = [(name, self._find_signal(name), place) for name, place in model.outputs.items()]
        return Circuit(f"BLIF circuit {model.name}".rstrip(), inputs, outputs, self.gates)

    def _add_model(self, model: _Model, actual: Mapping[str, str], prefix: str, level: int) -> None:
        """Add the gates of an instance.

        Args:
            actual: its inputs and outputs -> the names of the signals that they are connected with.
            prefix: of the names of its other signals.
        """

        def spell(name: str) -> str:
            return actual[name] if name in actual else prefix + name

        if level:
            parts = self.parts[model.name]
            self.n_numbers += parts.n_numbers + parts.n_names * len(prefix) // 8
            check_claim(self.n_numbers, self.size, "numbers of flattened gates", model.place, NUMBERS)
        for cover in model.covers:
            signals = [self._find_signal(spell(name)) for name in cover.inputs]
            cubes = [map_literals(cube, signals) for cube in cover.cubes]
            name = spell(cover.name)
            self.gates.append(Gate(self._define(name, cover.place), cubes, cover.negated, name, cover.place))
        for number, instance in enumerate(model.instances, 1):
            inner = self.models.get(instance.model)
            if inner is None:
                known = suggest_nearest(instance.model, list(self.models))
                raise ProgramError(f"{instance.place}: the file has no model '{instance.model}'{known}")
            if level >= MOST_LEVELS:
                raise ProgramError(
                    f"{instance.place}: models are nested more than {MOST_LEVELS} levels deep; check that none "
                    "contains itself"
                )
            for formal in instance.signals:
                if formal not in inner.inputs and formal not in inner.outputs:
                    raise ProgramError(f"{instance.place}: '{instance.model}' has no input or output '{formal}'")
            connected = {formal: spell(name) for formal, name in instance.signals.items()}
            self._add_model(inner, connected, f"{prefix}{instance.model}.{number}/", level + 1)

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
