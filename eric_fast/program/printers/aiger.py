"""`Program` to AIGER: and-inverter graphs, which model checkers and synthesis tools read."""

from collections.abc import Iterable

from eric_fast.errors import ProgramError
from eric_fast.program.data import ProgramData, atom_of
from eric_fast.program.decision import Decision
from eric_fast.program.rules import Rule
from eric_fast.program.table_atoms import TableAtom, TableQuantiser

_FALSE, _TRUE = 0, 1  # literals of AIGER: twice the variable, plus 1 if it is negated


def print_aiger(program: ProgramData) -> str:
    """The program as an ASCII AIGER file (Biere, The AIGER And-Inverter Graph Format, version 20070427).

    Inputs are the columns of a circuit, else the program's comparisons, by their names. Outputs are the program's own,
    or one for each class: true where the program answers with it.

    Raises:
        ProgramError: the program adds weights, or a name holds a line break.
    """
    if program.decision.adds_weights or program.has_weight_bodies:
        raise ProgramError("AIGER has no numbers, but this program adds weights; write it as asp, python or c")
    graph = _Graph(program)
    for stratum in program.strata:
        for atom in stratum:
            graph.literals[atom] = graph.define(atom)
    outputs = graph.list_outputs()
    n_inputs, n_gates = len(graph.inputs), len(graph.gates)
    lines = [f"aag {n_inputs + n_gates} {n_inputs} 0 {len(outputs)} {n_gates}"]
    lines += [str(2 * (i + 1)) for i in range(n_inputs)]
    lines += [str(literal) for _, literal in outputs]
    lines += [f"{2 * (n_inputs + 1 + i)} {right} {left}" for i, (left, right) in enumerate(graph.gates)]
    lines += [f"i{i} {name}" for i, name in enumerate(graph.inputs)]
    lines += [f"o{i} {name}" for i, (name, _) in enumerate(outputs)]
    if any(len(line.splitlines()) != 1 for line in lines):
        raise ProgramError("a name of the program holds a line break, which AIGER doesn't allow; rename it")
    return "\n".join(lines) + "\n"


class _Graph:
    """And gates, each once.

    Attributes:
        inputs: their names.
        literals: of each atom of the program.
        gates: pairs of literals, the lower first.
    """

    def __init__(self, program: ProgramData) -> None:
        self.program = program
        self.gates: list[tuple[int, int]] = []
        self.known: dict[tuple[int, int], int] = {}
        self.literals: dict[int, int] = {}
        given = [i for i in range(program.n_given) if i not in program.rules_of_atom]
        quantiser = program.quantiser
        bits = [program.atoms[i] for i in given]
        if isinstance(quantiser, TableQuantiser) and all(
            isinstance(atom, TableAtom) and (atom.operator, atom.constant) == (">", 0.5) for atom in bits
        ):  # a circuit: its columns are bits
            self.inputs = [column.name for column in quantiser.columns]
            places = [atom.column for atom in bits if isinstance(atom, TableAtom)]
        else:
            self.inputs = [atom.name for atom in bits]
            places = list(range(len(bits)))
        self.literals.update((i, 2 * (place + 1)) for i, place in zip(given, places, strict=True))

    def define(self, atom: int) -> int:
        """The literal of an atom that has rules."""
        found = self.add_any(self.add_body(rule) for rule in self.program.rules_of_atom[atom])
        return found ^ 1 if atom in self.program.negated else found

    def find(self, literal: int) -> int:
        """AIGER's literal of one of the program's. An atom that is neither given nor defined is false."""
        atom = atom_of(literal)
        found = self.literals.get(atom, _TRUE if atom in self.program.negated else _FALSE)
        return found ^ 1 if literal < 0 else found

    def add_body(self, rule: Rule) -> int:
        return self.add_all(self.find(literal) for literal in rule.body)

    def add_all(self, literals: Iterable[int]) -> int:
        found = _TRUE
        for literal in literals:
            found = self._add(found, literal)
        return found

    def add_any(self, literals: Iterable[int]) -> int:
        return self.add_all(literal ^ 1 for literal in literals) ^ 1

    def _add(self, first: int, second: int) -> int:
        low, high = sorted((first, second))
        if low == _FALSE or low ^ 1 == high:
            return _FALSE
        if low in (_TRUE, high):
            return high
        if (low, high) not in self.known:
            self.gates.append((low, high))
            self.known[(low, high)] = 2 * (len(self.inputs) + len(self.gates))
        return self.known[(low, high)]

    def list_outputs(self) -> list[tuple[str, int]]:
        """Names and literals."""
        if self.program.decision is Decision.BITS:
            return [(name, self.find(atom)) for name, atom in self.program.outputs]
        none_yet = _TRUE  # no rule before this one fires
        fired: list[list[int]] = [[] for _ in self.program.classes]
        for rule in self.program.class_rules:
            body = self.add_body(rule)
            fired[rule.head].append(self._add(none_yet, body))
            none_yet = self._add(none_yet, body ^ 1)
        if self.program.default is not None:
            fired[self.program.default].append(none_yet)
        return [(name, self.add_any(literals)) for name, literals in zip(self.program.classes, fired, strict=True)]
