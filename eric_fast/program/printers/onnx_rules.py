"""`Program` to ONNX: plain operators. A body is a column of a matrix, and a product counts its true literals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program.data import ProgramData, atom_of
from eric_fast.program.decision import Decision
from eric_fast.program.printers.onnx_comparisons import add_comparisons
from eric_fast.program.printers.onnx_writer import DOUBLE, SINGLE, TEXT, TRUTH, GraphWriter
from eric_fast.program.rules import Rule

_EXACT = 2**24  # integers up to here are exact in float32


def print_onnx(program: ProgramData, *, named: bool = True) -> bytes:
    """The program as an ONNX model of plain operators, whose answers are its own.

    Inputs are the columns, one each, or `X` where they have no names; or `X`, the norms of the kernels of the lowest
    layer that the program mentions, in their order. Outputs are `label`, the class as a text that is empty where no
    rule fires, and `scores`, the sums, if classes have them; `scores` of a regression; `truths` of a circuit, or of
    several labels.

    Args:
        named: see `add_comparisons`.

    Raises:
        ProgramError: the package `onnx` is missing; a column of numbers and texts; a program of more than a GiB, or
            without rules.
    """
    n_given = len(program.quantiser.rows_of_layer[program.layers[0]]) if program.layers else 0
    if not n_given or not (program.class_rules or program.outputs):
        raise ProgramError("a program without rules or comparisons can't be a graph of ONNX")
    writer = GraphWriter()
    bits = writer.add("Cast", add_comparisons(writer, program, named=named), to=SINGLE)
    known = _Truths(writer, bits, {atom: atom for atom in range(n_given)})
    without_rules = [atom for atom in range(n_given, len(program.atoms)) if atom not in program.rules_of_atom]
    for stratum in (without_rules, *program.strata):
        known = known.add_atoms(program, [atom for atom in stratum if atom >= n_given])
    if program.decision.gives_bits:
        found = known.take([atom for _, atom in program.outputs])
        writer.add_output(writer.add("Cast", found, to=TRUTH), "truths", TRUTH, len(program.outputs))
        return writer.write()
    fired = known.find_bodies(program.class_rules)
    if program.decision is Decision.FIRST:
        _take_first(writer, program, fired)
    else:
        _add_votes(writer, program, fired)
    return writer.write()


class _Truths(NamedTuple):
    """The truth of atoms, 0 or 1 in float32, `[n_rows, n_atoms]`, and where each atom stands."""

    writer: GraphWriter
    tensor: str
    places: dict[int, int]

    def add_atoms(self, program: ProgramData, atoms: Sequence[int]) -> "_Truths":
        """With these atoms; one without rules is false."""
        if not atoms:
            return self
        writer = self.writer
        never = (0, ~0)
        rules = [rule for atom in atoms for rule in program.rules_of_atom.get(atom, (Rule(atom, never),))]
        found = self.find_bodies(rules)
        if len(rules) > len(atoms):
            place = {atom: i for i, atom in enumerate(atoms)}
            heads = np.array([place[rule.head] for rule in rules])
            writer.charge(4 * len(rules) * len(atoms))
            of_head = (heads[:, None] == np.arange(len(atoms))).astype(np.float32)
            counts = writer.add("MatMul", found, writer.add_constant(of_head))
            found = writer.add("Cast", writer.add("GreaterOrEqual", counts, _one(writer)), to=SINGLE)
        negated = np.isin(atoms, program.negated)
        if negated.any():  # 1 - truth where it is negated, else truth
            signs = writer.add_constant(np.where(negated, -1, 1)[None], np.float32)
            shifts = writer.add_constant(negated[None], np.float32)
            found = writer.add("Add", writer.add("Mul", found, signs), shifts)
        n_known = len(self.places)
        places = self.places | {atom: n_known + i for i, atom in enumerate(atoms)}
        return _Truths(writer, writer.add("Concat", self.tensor, found, axis=1), places)

    def take(self, atoms: Sequence[int]) -> str:
        return self.writer.add(
            "Gather", self.tensor, self.writer.add_constant([self.places[atom] for atom in atoms], np.int64), axis=1
        )

    def find_bodies(self, rules: Sequence[Rule]) -> str:
        """The truth of bodies, float32 `[n_rows, n_rules]`: the weights of true literals, at least the bound.

        A literal `not a` of weight `w` is `w - w * a`: the weight is negative, and the bound smaller by `w`.
        """
        used = sorted({atom_of(literal) for rule in rules for literal in rule.body})
        place = {atom: i for i, atom in enumerate(used)}
        self.writer.charge(8 * max(1, len(used)) * len(rules))
        weights = np.zeros((max(1, len(used)), len(rules)), np.int64)
        bounds = np.zeros(len(rules), np.int64)
        for i, rule in enumerate(rules):
            body = rule.body if rule.bound else tuple(dict.fromkeys(rule.body))
            bounds[i] = rule.bound or len(body)
            for literal, weight in zip(body, rule.weights or [1] * len(body), strict=True):
                bounds[i] -= weight if literal < 0 else 0
                weights[place[atom_of(literal)], i] += -weight if literal < 0 else weight
        largest = max(np.abs(weights).sum(axis=0).max(initial=0), np.abs(bounds).max(initial=0))
        kind, dtype = (SINGLE, np.float32) if largest < _EXACT else (DOUBLE, np.float64)
        values = self.take(used or [0])
        values = values if kind == SINGLE else self.writer.add("Cast", values, to=kind)
        sums = self.writer.add("MatMul", values, self.writer.add_constant(weights, dtype))
        truth = self.writer.add("GreaterOrEqual", sums, self.writer.add_constant(bounds[None], dtype))
        return self.writer.add("Cast", truth, to=SINGLE)


def _one(writer: GraphWriter) -> str:
    return writer.add_constant([[1]], np.float32)


def _take_first(writer: GraphWriter, program: ProgramData, fired: str) -> None:
    """The class of the first rule that fires."""
    heads = writer.add_constant([rule.head for rule in program.class_rules], np.int64)
    first = writer.add("Gather", heads, writer.add("ArgMax", fired, axis=1, keepdims=0), axis=0)
    _add_label(writer, program, first, fired)


def _add_votes(writer: GraphWriter, program: ProgramData, fired: str) -> None:
    rules, n_classes = program.class_arrays, len(program.classes)
    writer.charge(8 * len(rules) * n_classes)
    weights = np.zeros((len(rules), n_classes))
    of_vote = np.repeat(np.arange(len(rules)), np.diff(rules.vote_offsets))
    np.add.at(weights, (of_vote, rules.vote_classes), rules.vote_weights)
    sums = writer.add("MatMul", writer.add("Cast", fired, to=DOUBLE), writer.add_constant(weights))
    base = np.array(program.full_base)[None]
    sums = writer.add("Add", sums, writer.add_constant(base))
    if program.decision is Decision.LABELS:
        zero = writer.add_constant(np.zeros((1, 1)))
        writer.add_output(writer.add("Greater", sums, zero), "truths", TRUTH, n_classes)
    if program.decision is Decision.VOTE:
        _add_label(writer, program, writer.add("ArgMax", sums, axis=1, keepdims=0), fired)
    writer.add_output(sums, "scores", DOUBLE, n_classes)


def _add_label(writer: GraphWriter, program: ProgramData, place: str, fired: str) -> None:
    """The name of the class at a place, or of the default where no rule fires."""
    most = writer.add("ReduceMax", fired, writer.add_constant([1], np.int64), keepdims=0)
    default = len(program.classes) if program.default is None else program.default
    place = writer.add("Where", writer.add("Cast", most, to=TRUTH), place, writer.add_constant([default], np.int64))
    names: NDArray[Any] = np.array([*program.classes, ""], object)
    writer.add_output(writer.add("Gather", writer.add_constant(names), place, axis=0), "label", TEXT)
