"""Combinational circuits, AIGER and BLIF files, as programs whose answer is the outputs' bits."""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from os import PathLike
from pathlib import Path
from typing import Any

from eric_fast.errors import ProgramError
from eric_fast.frontends.files import read_head
from eric_fast.frontends.gates import aiger, blif
from eric_fast.frontends.gates.circuit_parts import Circuit, Gate
from eric_fast.frontends.gates.gates import FALSE, Netlist, answer_bits, compare_bits, negate_name
from eric_fast.program import atom_of
from eric_fast.table.model import RuleModel

MAGIC = (b"aag ", b"aig ")
SHOWN = 8  # gates of a cycle that an error names


def matches(source: Any) -> bool:
    """Whether this is the path of a circuit, by its first bytes or its suffix, or a circuit's bytes."""
    if isinstance(source, bytes):
        return source.startswith(MAGIC) or _has_model(source[:4096])
    if not isinstance(source, str | PathLike):
        return False
    head = read_head(Path(source), 4096)
    return head is not None and (head.startswith(MAGIC) or _has_model(head) or Path(source).suffix.lower() == ".blif")


def _has_model(head: bytes) -> bool:
    """Whether the first statement is `.model`."""
    lines = (line.split(b"#")[0].split() for line in head.splitlines())
    return next((line[0] for line in lines if line), b"") == b".model"


def load_source(source: Any) -> RuleModel:
    """See `from_circuit`."""
    return from_circuit(source)


def from_circuit(source: str | PathLike[str] | bytes) -> RuleModel:
    """A combinational circuit as a model: bits in, 0 or 1 each, and the bits of its outputs out.

    AIGER, ASCII or binary, versions 1 and 1.9, and BLIF of one model with `.names` alone. `predict` answers bool
    `[n_rows, n_outputs]`; names are the file's, else `i0`, `i1`, ... and `o0`, `o1`, ...

    Args:
        source: a path, or what the file holds.

    Raises:
        ProgramError: a file that can't be read, or is wrong, and where; latches, a hierarchy, a cycle.
    """
    if isinstance(source, bytes):
        name, content = "circuit", source
    else:
        name = str(source)
        try:
            content = Path(source).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ProgramError(f"{name} can't be read: {reason}; give the path of an AIGER or BLIF file") from error
    read = aiger.read_circuit if content.startswith((b"aag", b"aig")) else blif.read_circuit
    return build_model(read(content, name))


def build_model(circuit: Circuit) -> RuleModel:
    """The model of a circuit, its gates folded and shared.

    Raises:
        ProgramError: a signal that nothing defines, or two things define, or that depends on itself.
    """
    netlist = Netlist(len(circuit.inputs))
    found = {FALSE: FALSE}
    for index, (_, signal) in enumerate(circuit.inputs):
        found[signal] = index + 1
    for gate in _sort_gates(circuit, found):
        cubes = [[found[s] if s >= 0 else ~found[~s] for s in cube] for cube in gate.cubes]
        value = netlist.add_cover(cubes, negate_name(gate.name) if gate.negated else gate.name)
        found[gate.signal] = ~value if gate.negated else value
    outputs = []
    for output, signal, place in circuit.outputs:
        if atom_of(signal) not in found:
            raise ProgramError(f"{place}: output '{output}' is a signal that nothing defines")
        outputs.append((output, found[signal] if signal >= 0 else ~found[~signal]))
    columns, comparisons = compare_bits([input_name for input_name, _ in circuit.inputs])
    program = answer_bits(netlist, columns, comparisons, outputs)
    return RuleModel(program, circuit.source, values="binary")


def _sort_gates(circuit: Circuit, known: dict[int, int]) -> Sequence[Gate]:
    """The gates, each after those that it mentions: as the file has them where that will do."""
    gate_of = {gate.signal: gate for gate in circuit.gates}
    seen = set(known)
    in_order = True
    for gate in circuit.gates:
        for signal in _list_signals(gate):
            if signal not in seen:
                in_order = False
                if signal not in gate_of:
                    raise ProgramError(f"{gate.place}: '{gate.name}' uses a signal that nothing defines")
        seen.add(gate.signal)
    if in_order:
        return circuit.gates
    graph = {gate.signal: [s for s in _list_signals(gate) if s in gate_of] for gate in circuit.gates}
    try:
        return [gate_of[signal] for signal in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        cycle = error.args[1][::-1]
        names = [gate_of[signal].name for signal in cycle]
        if len(names) > SHOWN:
            names = [*names[: SHOWN - 1], f"{len(names) - SHOWN:,} more", names[-1]]
        raise ProgramError(
            f"{gate_of[cycle[0]].place}: a cycle, which can't be converted: {' <- '.join(names)}"
        ) from error


def _list_signals(gate: Gate) -> Iterator[int]:
    return (atom_of(signal) for cube in gate.cubes for signal in cube)
