"""Combinational circuits, AIGER and BLIF files, as programs that answer with the outputs' bits."""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from os import PathLike
from pathlib import Path
from typing import Any

from eric_fast.errors import ProgramError
from eric_fast.frontends.front_end import FrontEnd, peek_file
from eric_fast.frontends.gates.aiger import read_aiger
from eric_fast.frontends.gates.blif import read_blif
from eric_fast.frontends.gates.circuit_types import Circuit, Gate
from eric_fast.frontends.gates.netlist import FALSE, Netlist, answer_bits, compare_bits, negate_name
from eric_fast.program import atom_of
from eric_fast.program.data import map_literals
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file

MAGIC = (b"aag ", b"aig ")
MOST_SHOWN = 8  # gates of a cycle that an error names


def _matches(source: Any) -> bool:
    """Whether this is the path of a circuit, by its first bytes or its suffix, or a circuit's bytes."""
    is_blif = isinstance(source, str | PathLike) and Path(source).suffix.lower() == ".blif" and Path(source).is_file()
    head = source[:4096] if isinstance(source, bytes) else peek_file(source, 4096)
    return is_blif or head.startswith(MAGIC) or _has_model(head)


def _has_model(head: bytes) -> bool:
    """Whether the first statement is `.model`."""
    lines = (line.split(b"#")[0].split() for line in head.splitlines())
    return next((line[0] for line in lines if line), b"") == b".model"


def from_circuit(source: str | PathLike[str] | bytes) -> RuleModel:
    """A combinational circuit as a model from the bits of its inputs, 0 or 1, to those of its outputs.

    Supported are AIGER, ASCII and binary, versions 1 and 1.9, and BLIF with `.names` and `.subckt`: the first model is
    taken, with its instances of others replaced by their gates. `predict` answers bool `[n_rows, n_outputs]`. Names are
    the file's, else `i0`, `i1`, ... and `o0`, `o1`, ...

    Args:
        source: a path, or the contents of the file.

    Raises:
        ProgramError: a file that can't be read, or is invalid, and where; latches, a cycle.

    Examples:
        >>> model = ef.from_circuit(b"aag 3 2 0 1 1\\n2\\n4\\n6\\n6 2 4\\ni0 a\\ni1 b\\no0 both\\n")
        >>> model.predict([[1, 1], [1, 0]]).tolist()
        [[True], [False]]
    """
    name, content = ("circuit", source) if isinstance(source, bytes) else (str(source), read_file(source))
    read = read_aiger if content.startswith((b"aag", b"aig")) else read_blif
    return build_model(read(content, name))


def build_model(circuit: Circuit) -> RuleModel:
    """The model of a circuit, its gates folded and shared.

    Raises:
        ProgramError: a signal that is not defined, or depends on itself.
    """
    netlist = Netlist(*compare_bits([name for name, _ in circuit.inputs]))
    found = {FALSE: FALSE}
    for index, (_, signal) in enumerate(circuit.inputs):
        found[signal] = index + 1
    for gate in _sort_gates(circuit, found):
        cubes = [map_literals(cube, found) for cube in gate.cubes]
        value = netlist.add_cover(cubes, negate_name(gate.name) if gate.negated else gate.name)
        found[gate.signal] = ~value if gate.negated else value
    outputs = []
    for output, signal, place in circuit.outputs:
        if atom_of(signal) not in found:
            raise ProgramError(f"{place}: output '{output}' is not defined")
        outputs.append((output, map_literals([signal], found)[0]))
    return RuleModel(answer_bits(netlist, outputs), circuit.source, values="binary")


def _sort_gates(circuit: Circuit, known: dict[int, int]) -> Sequence[Gate]:
    """The gates, each after those that it uses; in the file's order if that will do."""
    gate_of = {gate.signal: gate for gate in circuit.gates}
    seen = set(known)
    in_order = True
    for gate in circuit.gates:
        for signal in _list_signals(gate):
            if signal not in seen:
                in_order = False
                if signal not in gate_of:
                    raise ProgramError(f"{gate.place}: '{gate.name}' uses a signal that is not defined")
        seen.add(gate.signal)
    if in_order:
        return circuit.gates
    graph = {gate.signal: [s for s in _list_signals(gate) if s in gate_of] for gate in circuit.gates}
    try:
        return [gate_of[signal] for signal in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        cycle = error.args[1][::-1]
        names = [gate_of[signal].name for signal in cycle]
        if len(names) > MOST_SHOWN:
            names = [*names[: MOST_SHOWN - 1], f"{len(names) - MOST_SHOWN:,} more", names[-1]]
        raise ProgramError(f"{gate_of[cycle[0]].place}: the circuit has a cycle: {' <- '.join(names)}") from error


def _list_signals(gate: Gate) -> Iterator[int]:
    return (atom_of(signal) for cube in gate.cubes for signal in cube)


CIRCUIT = FrontEnd("AIGER and BLIF circuits", _matches, from_circuit)
