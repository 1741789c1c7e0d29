"""The inputs of an ONNX graph, and the truth of a program's comparisons of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eric_fast.errors import ProgramError
from eric_fast.program.atoms import InputAtom
from eric_fast.program.data import ProgramData
from eric_fast.program.printers.onnx_writer import DOUBLE, SINGLE, TEXT, TRUTH, GraphWriter
from eric_fast.program.table_atoms import TableAtom, TableQuantiser

_KINDS = {"float32": SINGLE, "float64": DOUBLE, "text": TEXT}
_NODES = {">": "Greater", "<=": "LessOrEqual", "<": "Less", ">=": "GreaterOrEqual", "==": "Equal", "!=": "Equal"}


class ColumnTest(NamedTuple):
    """One comparison: `value operator constant`; a set has several constants."""

    column: int
    operator: str
    constants: tuple[float | str, ...]
    missing: bool


def add_comparisons(writer: GraphWriter, program: ProgramData, *, named: bool) -> str:
    """The truth of the atoms of the lowest layer, bool `[n_rows, n_atoms]`.

    A column of numbers is missing where it is NaN, one of texts where it is empty.

    Args:
        named: whether each column becomes an input of its own, `[n_rows, 1]`; else there is one input `X`. Columns of
            several kinds always do.

    Raises:
        ProgramError: a column that is read as number and as text; a set with an empty text.
    """
    quantiser = program.quantiser
    tests = [_read_atom(atom) for atom in _list_atoms(program)]
    if isinstance(quantiser, TableQuantiser):
        names = [column.name for column in quantiser.columns]
        kinds = [_find_kind(column.kind, column.name, i, tests) for i, column in enumerate(quantiser.columns)]
    else:
        names, kinds = [], ["float32"] * len(tests)
        tests = [test._replace(column=place) for place, test in enumerate(tests)]
    tensors = _add_inputs(writer, names, kinds, named=named)
    groups: dict[tuple[str, str], list[int]] = {}
    for place, test in enumerate(tests):
        groups.setdefault((kinds[test.column], test.operator), []).append(place)
    blocks = []
    for (kind, operator), places in groups.items():
        wanted = [tensors[kind][1][tests[place].column] for place in places]
        values = writer.add("Gather", tensors[kind][0], writer.add_constant(wanted, np.int64), axis=1)
        blocks.append(_compare(writer, values, operator, kind, [tests[place] for place in places]))
    order = np.argsort([place for places in groups.values() for place in places])
    together = blocks[0] if len(blocks) == 1 else writer.add("Concat", *blocks, axis=1)
    if (order == np.arange(len(order))).all():
        return together
    return writer.add("Gather", together, writer.add_constant(order, np.int64), axis=1)


def _list_atoms(program: ProgramData) -> Sequence[InputAtom | TableAtom]:
    return [program.quantiser.atoms[i] for i in program.quantiser.rows_of_layer[program.layers[0]]]


def _read_atom(atom: InputAtom | TableAtom) -> ColumnTest:
    constants = atom.constant if isinstance(atom.constant, tuple) else (atom.constant,)
    if "" in constants:
        raise ProgramError(f"{atom.name}: ONNX can't tell an empty text from a missing one; write the program as asp")
    return ColumnTest(atom.column, atom.operator, constants, isinstance(atom, TableAtom) and atom.missing)


def _find_kind(kind: str, name: str, column: int, tests: Sequence[ColumnTest]) -> str:
    """What a column holds in the graph: a loose one, what it is compared with."""
    if kind != "loose":
        return kind
    types = {type(value) for test in tests if test.column == column for value in test.constants}
    if types == {str, float}:
        raise ProgramError(
            f"column '{name}' is compared with numbers and with texts, but a column of ONNX holds "
            "one of them; write asp, python or c"
        )
    return "text" if types == {str} else "float64"


def _add_inputs(
    writer: GraphWriter, names: Sequence[str], kinds: Sequence[str], *, named: bool
) -> dict[str, tuple[str, dict[int, int]]]:
    """For each kind the tensor `[n_rows, n_columns of it]`, and where each column stands there."""
    places: dict[str, list[int]] = {}
    for column, kind in enumerate(kinds):
        places.setdefault(kind, []).append(column)
    if len(places) == 1 and not (named and names):
        [kind] = places
        return {kind: (writer.add_input("X", _KINDS[kind], len(kinds)), {i: i for i in range(len(kinds))})}
    inputs = [writer.add_input(name, _KINDS[kind], 1) for name, kind in zip(names, kinds, strict=True)]
    return {
        kind: (writer.add("Concat", *(inputs[i] for i in columns), axis=1), {c: i for i, c in enumerate(columns)})
        for kind, columns in places.items()
    }


def _compare(writer: GraphWriter, values: str, operator: str, kind: str, tests: Sequence[ColumnTest]) -> str:
    """bool `[n_rows, n_tests]`, of values of the same shape."""
    dtype = {"float32": np.float32, "float64": np.float64, "text": object}[kind]
    if operator == "in":
        truth = _search_sets(writer, values, dtype, tests)
    else:
        constants = writer.add_constant([[test.constants[0] for test in tests]], dtype)
        truth = writer.add(_NODES[operator], values, constants)
    missing = np.array([test.missing for test in tests])
    if operator != "!=" and not missing.any():
        return truth
    if kind == "text":
        gone = writer.add("Equal", values, writer.add_constant([[""]], object))
    else:
        gone = writer.add("IsNaN", values)
    if operator == "!=":
        truth = writer.add("Not", writer.add("Or", truth, gone))
    if not missing.any():
        return truth
    return writer.add("Or", truth, writer.add("And", gone, writer.add_constant(missing[None])))


def _search_sets(writer: GraphWriter, values: str, dtype: type, tests: Sequence[ColumnTest]) -> str:
    """Each value beside each member of its set, and then whether there is one that is equal."""
    of_test = np.array([i for i, test in enumerate(tests) for _ in test.constants], np.int64)
    members = [value for test in tests for value in test.constants]
    if not members:
        return writer.add("Not", writer.add("Equal", values, values))
    writer.charge(4 * len(members) * len(tests))
    spread = writer.add("Gather", values, writer.add_constant(of_test), axis=1)
    equal = writer.add("Equal", spread, writer.add_constant([members], dtype))
    of_set = (of_test[:, None] == np.arange(len(tests))).astype(np.float32)
    found = writer.add("MatMul", writer.add("Cast", equal, to=SINGLE), writer.add_constant(of_set))
    return writer.add("Cast", found, to=TRUTH)
