"""ONNX graphs of rules, as `Program.to_onnx` writes them: comparisons, and products of matrices and truth values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.fields import NUMBERS, check_claim
from eric_fast.frontends.rules.onnx_truths import (
    AnyTrue,
    ChosenPlace,
    GivenColumns,
    LinearBody,
    MissingBits,
    SignedAtom,
    TruthValues,
    WeightedSums,
    as_bits,
    find_sum,
    make_rules,
)
from eric_fast.frontends.trees.onnx_attributes import read_attributes
from eric_fast.frontends.trees.onnx_graph import locate_errors, read_constant
from eric_fast.frontends.trees.onnx_values import UnsupportedError
from eric_fast.frontends.trees.tree_model import name_columns
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.model import RuleModel

_KINDS = {1: "float32", 8: "text", 11: "float64"}
_OPERATORS = {"Greater": ">", "LessOrEqual": "<=", "Less": "<", "GreaterOrEqual": ">=", "Equal": "=="}


def compares_columns(graph: Any) -> bool:
    """Whether this may be a graph of rules."""
    return any(node.op_type in _OPERATORS and not node.domain for node in graph.node)


def read_matrices(graph: Any, size: int, name: str) -> RuleModel:
    """The graph as rules.

    Args:
        size: of the file in bytes.
        name: what errors call it.

    Raises:
        ModelError: a node that is not supported here. ProgramError: tensors that don't fit together.
    """
    reader = _Reader(graph, size, name)
    for node in graph.node:
        with locate_errors(node, name):
            reader.run(node)
    answers = [reader.tensors.get(value.name) for value in graph.output]
    try:
        program = make_rules(reader.columns, reader.derived, answers)
    except UnsupportedError as error:
        raise ModelError(f"{name}: an output of the graph {error}") from error
    return RuleModel(program, "ONNX rules", named=reader.named)


class _Reader:
    """Runs nodes on what tensors stand for.

    Attributes:
        columns: of the graph's inputs.
        named: whether these have names: each is an input of its own, and not called `X`.
        derived: the bodies of derived atoms.
    """

    def __init__(self, graph: Any, size: int, name: str) -> None:
        self.size, self.name = size, name
        self.derived: list[list[LinearBody]] = []
        self.n_numbers = 0
        self.tensors: dict[str, Any] = {each.name: read_constant(each, name) for each in graph.initializer}
        self.columns: list[Column] = []
        inputs = [value for value in graph.input if value.name not in self.tensors]
        self.named = len(inputs) > 1
        for value in inputs:
            kind = _KINDS.get(value.type.tensor_type.elem_type)
            dims = value.type.tensor_type.shape.dim
            width = int(dims[1].dim_value) if len(dims) == 2 else 0
            if kind is None or width < 1 or (len(inputs) > 1 and width != 1):
                raise ModelError(f"{name}: input '{value.name}' must be columns of float32, float64 or text")
            self.named |= width == 1 and value.name != "X"
            names = [value.name] if self.named else name_columns([], width, size, name)
            first = len(self.columns)
            self.columns += [Column(each, kind) for each in names]
            self.tensors[value.name] = GivenColumns(tuple(range(first, len(self.columns))))

    def run(self, node: Any) -> None:
        missing = next((each for each in node.input if each not in self.tensors), None)
        if missing is not None:
            raise UnsupportedError(f"takes '{missing}', which no node makes")
        given = [self.tensors[each] for each in node.input]
        settings = read_attributes(node, f"{self.name}: {node.op_type}").value
        made = self._run(node.op_type, given, settings)
        self.n_numbers += max(len(getattr(made, "literals", ())), len(getattr(made, "places", ())))
        check_claim(self.n_numbers, self.size, "truth values", self.name, NUMBERS)
        self.tensors[node.output[0]] = made

    def _run(self, operator: str, given: list[Any], settings: dict[str, Any]) -> Any:
        match operator, given:
            case "Identity", [value]:
                return value
            case "Cast", [value]:
                is_sum = isinstance(value, WeightedSums) and settings.get("to") == 9
                return self._compare_sums(value, np.ones(1)) if is_sum else value
            case "Concat", values:
                return self._join(values)
            case "Gather", [value, places]:
                return self._take(value, places, settings.get("axis", 0))
            case "IsNaN", [GivenColumns(places)]:
                return MissingBits(places, (True,) * len(places))
            case ("Equal", [GivenColumns(places), np.ndarray() as constants]) if constants.reshape(-1).tolist() == [""]:
                return MissingBits(places, (True,) * len(places))
            case "Equal", [GivenColumns(places), GivenColumns()]:
                return TruthValues(tuple(self._compare(place, "in", ()).negate() for place in places))
            case (_, [GivenColumns(places), np.ndarray() as constants]) if operator in _OPERATORS:
                values = np.broadcast_to(constants, (1, len(places)))[0].tolist()
                found = zip(places, values, strict=True)
                return TruthValues(tuple(self._compare(place, _OPERATORS[operator], value) for place, value in found))
            case "GreaterOrEqual", [WeightedSums() as sums, np.ndarray() as bounds]:
                return self._compare_sums(sums, bounds)
            case ("Greater", [WeightedSums() as sums, np.ndarray() as zero]) if not zero.any():
                return ChosenPlace(sums)  # the labels whose sums are above 0
            case "And", [MissingBits(places), np.ndarray() as mask]:
                return MissingBits(places, tuple(np.broadcast_to(mask, (1, len(places)))[0].tolist()))
            case "Or", [TruthValues(literals), MissingBits(places, mask)]:
                return self._add_missing(literals, places, mask)
            case "Not", [TruthValues() as bits]:
                return self._negate(bits)
            case "MatMul", [value, np.ndarray() as weights] if weights.ndim == 2:
                literals = as_bits(value).literals
                if len(weights) != len(literals):
                    raise UnsupportedError("multiplies matrices whose sizes don't match")
                return WeightedSums(literals, weights.astype(np.float64), np.zeros(weights.shape[1]))
            case "Mul", [value, np.ndarray() as factors]:
                literals = as_bits(value).literals
                weights = np.diag(np.broadcast_to(factors, (1, len(literals)))[0].astype(np.float64))
                return WeightedSums(literals, weights, np.zeros(len(literals)))
            case "Add", [WeightedSums(literals, weights, base), np.ndarray() as more]:
                return WeightedSums(literals, weights, base + np.broadcast_to(more, (1, len(base)))[0])
            case "ArgMax", [TruthValues() | WeightedSums() as value]:
                return ChosenPlace(value)
            case "ReduceMax", [TruthValues(literals), _]:
                return AnyTrue(literals)
            case "Where", [AnyTrue(), ChosenPlace() as place, np.ndarray() as default]:
                return place._replace(default=int(default.item()))
        raise UnsupportedError(
            "is not supported in a graph of rules, which has only the operators that Program.to_onnx writes"
        )

    def _compare(self, place: int, operator: str, value: Any) -> SignedAtom:
        column = self.columns[place]
        if column.kind == "text" or operator == "in":
            operator, value = "in", value if isinstance(value, tuple) else (value,)
        return SignedAtom(TableAtom(place, column.name, operator, value))

    def _join(self, values: Sequence[Any]) -> Any:
        if all(isinstance(value, GivenColumns) for value in values):
            return GivenColumns(tuple(place for value in values for place in value.places))
        return TruthValues(tuple(literal for value in values for literal in as_bits(value).literals))

    def _take(self, value: Any, places: Any, axis: int) -> Any:
        if isinstance(places, ChosenPlace) and isinstance(value, np.ndarray) and axis == 0:
            return places._replace(table=value) if value.dtype.kind == "i" else places._replace(names=value)
        if axis != 1 or not isinstance(places, np.ndarray):
            raise UnsupportedError("takes elements at places that are not constant")
        chosen = places.reshape(-1).tolist()
        if isinstance(value, GivenColumns):
            return GivenColumns(tuple(value.places[i] for i in chosen))
        literals = as_bits(value).literals
        return TruthValues(tuple(literals[i] for i in chosen))

    def _add_missing(self, literals: Sequence[SignedAtom], places: Sequence[int], mask: Sequence[bool]) -> TruthValues:
        found = []
        for literal, place, keep in zip(literals, places, mask, strict=True):
            atom = literal.atom
            if not isinstance(atom, TableAtom) or literal.negated or atom.column != place:
                raise UnsupportedError("joins the missing values of another column")
            found.append(SignedAtom(TableAtom(place, atom.feature, atom.operator, atom.constant, keep or atom.missing)))
        return TruthValues(tuple(found), or_missing=False)

    def _negate(self, bits: TruthValues) -> TruthValues:
        found = []
        for literal in bits.literals:
            atom = literal.atom
            if isinstance(atom, TableAtom) and (atom.operator, atom.missing) == ("==", True):  # not equal, nor missing
                found.append(SignedAtom(TableAtom(atom.column, atom.feature, "!=", atom.constant)))
            else:
                found.append(literal.negate())
        return TruthValues(tuple(found))

    def _compare_sums(self, sums: WeightedSums, bounds: Any) -> TruthValues:
        bounds = np.broadcast_to(bounds, (1, len(sums.base)))[0] - sums.base
        found = []
        for weights, bound in zip(sums.weights.T, bounds.tolist(), strict=True):
            body = find_sum(sums.literals, weights, bound)
            found.append(self._find_set(body) or self._derive(body))
        return TruthValues(tuple(found))

    def _derive(self, body: LinearBody | None) -> SignedAtom:
        """A derived atom; an alternative has a body for each literal."""
        if body is None:
            bodies = []
        elif body.bound == 1 and set(body.weights) == {1}:
            bodies = [LinearBody((literal,)) for literal in body.literals]
        else:
            bodies = [body]
        self.derived.append(bodies)
        self.n_numbers += sum(len(each.literals) for each in bodies)
        return SignedAtom(len(self.derived) - 1)

    def _find_set(self, body: LinearBody | None) -> SignedAtom | None:
        """The membership in a set that these alternatives are; None if they are something else."""
        if body is None or not body.literals or (len(body.literals) > 1 and body.bound != 1):
            return None
        atoms = [literal.atom for literal in body.literals if not literal.negated]
        first = atoms[0] if len(atoms) == len(body.literals) else None
        if not isinstance(first, TableAtom):
            return None
        values: list[Any] = []
        for atom in atoms:
            equal = isinstance(atom, TableAtom) and atom.operator in ("==", "in") and not atom.missing
            if not isinstance(atom, TableAtom) or not equal or atom.column != first.column:
                return None
            values += atom.constant if isinstance(atom.constant, tuple) else (atom.constant,)
        return SignedAtom(TableAtom(first.column, first.feature, "in", tuple(dict.fromkeys(values))))
