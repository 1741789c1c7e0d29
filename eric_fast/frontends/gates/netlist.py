"""`Netlist`: the gates of any circuit, simplified and shared as they are added, then made derived atoms with rules.

A signal is an integer: 0 is false, `1 .. n_inputs` are the inputs, the gates follow in the order in which they came,
and `~signal` is the negation of a signal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eric_fast.program import Decision, Program, Rule, atom_of
from eric_fast.program.data import map_literals
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser

FALSE, TRUE = 0, ~0

Cube = tuple[int, ...]  # a conjunction of signals


class Netlist:
    """Gates, each a disjunction of cubes over signals that were added before.

    Constants are folded, equal gates are shared, and a gate that only passes on or negates a signal is left out. A
    gate keeps the first of its names.

    Args:
        columns: of the table.
        comparisons: the inputs, in order.
    """

    def __init__(self, columns: Sequence[Column], comparisons: Sequence[TableAtom]) -> None:
        self.columns, self.comparisons = columns, comparisons
        self.n_inputs = len(comparisons)
        self.covers: list[tuple[Cube, ...]] = []
        self.names: list[str] = []
        self._signal_of_cover: dict[tuple[Cube, ...], int] = {}

    def add_all(self, signals: Iterable[int], name: str) -> int:
        """The signal that is true if all of these are."""
        kept = _fold_cube(signals)
        return FALSE if kept is None else self._add_cube(kept, name)

    def add_any(self, signals: Iterable[int], name: str) -> int:
        """The signal that is true if one of these is."""
        return ~self.add_all([~signal for signal in signals], negate_name(name))

    def add_cover(self, cubes: Iterable[Iterable[int]], name: str) -> int:
        """The signal that is true if all signals of some cube are."""
        kept = set()
        for cube in cubes:
            signals = _fold_cube(cube)
            if signals is not None:
                kept.add(signals)
        if () in kept:
            return TRUE
        if len(kept) < 2:
            return self._add_cube(kept.pop(), name) if kept else FALSE
        if all(len(cube) == 1 for cube in kept):
            return self.add_any((cube[0] for cube in kept), name)
        return self._add_gate(tuple(sorted(kept)), name)

    def add_table(self, table: int, signals: Sequence[int], name: str) -> int:
        """The signal of a truth table.

        Args:
            table: bit `e` is the answer if input `i` is bit `i` of `e`, for every `e < 2 ** len(signals)`.
            signals: the inputs, at most 6.
        """
        negated, cubes = choose_cover(table, len(signals))
        cover = [map_literals(cube, signals) for cube in cubes]
        return ~self.add_cover(cover, negate_name(name)) if negated else self.add_cover(cover, name)

    def _add_cube(self, cube: Cube, name: str) -> int:
        if len(cube) < 2:
            return cube[0] if cube else TRUE
        return self._add_gate((cube,), name)

    def _add_gate(self, cover: tuple[Cube, ...], name: str) -> int:
        signal = self._signal_of_cover.get(cover)
        if signal is None:
            self.covers.append(cover)
            self.names.append(name)
            signal = self._signal_of_cover[cover] = self.n_inputs + len(self.covers)
        return signal

    def find_needed(self, wanted: Iterable[int]) -> list[bool]:
        """Whether each signal, from false on, is one of `wanted`, or one of them is built on it."""
        needed = [False] * (1 + self.n_inputs + len(self.covers))
        for signal in wanted:
            needed[atom_of(signal)] = True
        for gate in range(len(needed) - 1, self.n_inputs, -1):
            if needed[gate]:
                for cube in self.covers[gate - self.n_inputs - 1]:
                    for signal in cube:
                        needed[atom_of(signal)] = True
        return needed


def negate_name(name: str) -> str:
    """The name of a gate that negates a signal of this name."""
    return name.removeprefix("not ") if name.startswith("not ") else f"not {name}"


def _fold_cube(signals: Iterable[int]) -> Cube | None:
    """Each signal once, sorted, without constants; None if they can't all be true."""
    kept = set(signals)
    kept.discard(TRUE)
    if FALSE in kept:
        return None
    for signal in kept:
        if ~signal in kept:
            return None
    return tuple(sorted(kept))


@lru_cache(maxsize=2**16)
def choose_cover(table: int, n_inputs: int) -> tuple[bool, tuple[Cube, ...]]:
    """Whether it is of the negation, and a small cover of a truth table or its negation; literals are `i` or `~i`."""
    everything = (1 << (1 << n_inputs)) - 1
    covers = [find_cover(part, part, n_inputs)[0] for part in (table, everything ^ table)]
    sizes = [sum(map(len, cover)) for cover in covers]
    if sizes[0] == sizes[1]:  # so that XOR and its negation are one gate
        return bool(table & 1), covers[table & 1]
    return sizes[1] < sizes[0], covers[sizes[1] < sizes[0]]


def find_cover(least: int, most: int, n_inputs: int) -> tuple[tuple[Cube, ...], int]:
    """See `_find_cover`; covers of up to 3 inputs are cached."""
    return _find_small_cover(least, most, n_inputs) if n_inputs <= 3 else _find_cover(least, most, n_inputs)


def _find_cover(least: int, most: int, n_inputs: int) -> tuple[tuple[Cube, ...], int]:
    """An irredundant sum of products between two truth tables, `least` within `most`, and its own table.

    By Minato's and Morreale's recursion on the last input: cubes that need it false, cubes that need it true, and
    cubes for the rest, which don't mention it.
    """
    if least == 0:
        return (), 0
    if most == (1 << (1 << n_inputs)) - 1:
        return ((),), most
    last = n_inputs - 1
    half = 1 << last
    low = (1 << half) - 1
    least_0, least_1, most_0, most_1 = least & low, least >> half, most & low, most >> half
    cubes_0, table_0 = find_cover(least_0 & ~most_1, most_0, last)
    cubes_1, table_1 = find_cover(least_1 & ~most_0, most_1, last)
    cubes, table = find_cover((least_0 & ~table_0) | (least_1 & ~table_1), most_0 & most_1, last)
    joined = (*((*cube, ~last) for cube in cubes_0), *((*cube, last) for cube in cubes_1), *cubes)
    return joined, (table_0 | table) | (table_1 | table) << half


_find_small_cover = lru_cache(maxsize=None)(_find_cover)


@dataclass(frozen=True, eq=False)
class ProgramPart:
    """Some signals of a netlist and all that they are built on, as parts of a program.

    Attributes:
        quantiser: the comparisons of the inputs.
        derived: the names of the gates.
        rules: the gates.
        atoms: the atom of each signal, from false on; -1 if it isn't needed.
    """

    quantiser: TableQuantiser
    derived: tuple[str, ...]
    rules: tuple[Rule, ...]
    atoms: tuple[int, ...]

    def to_literal(self, signal: int) -> int:
        return self.atoms[signal] if signal >= 0 else ~self.atoms[~signal]


def build_part(netlist: Netlist, wanted: Sequence[int]) -> ProgramPart:
    """The part of a netlist that these signals are built on."""
    needed = netlist.find_needed(wanted)
    n_inputs = netlist.n_inputs
    kept = tuple(comparison for comparison, keep in zip(netlist.comparisons, needed[1:], strict=False) if keep)
    atoms, count = [-1] * len(needed), 0
    for signal in range(1, len(needed)):
        if needed[signal]:
            atoms[signal] = count
            count += 1
    literals = [*atoms, *[~atom for atom in reversed(atoms)]]  # a negative index counts from the end: `~signal`
    gates = [gate for gate in range(len(netlist.covers)) if needed[gate + n_inputs + 1]]
    rules = [
        Rule(atoms[gate + n_inputs + 1], tuple([literals[signal] for signal in cube]))
        for gate in gates
        for cube in netlist.covers[gate]
    ]
    names = tuple(netlist.names[gate] for gate in gates)
    return ProgramPart(TableQuantiser(kept, tuple(netlist.columns)), names, tuple(rules), tuple(atoms))


def answer_bits(netlist: Netlist, outputs: Sequence[tuple[str, int]]) -> Program:
    """The program that answers with these signals, pairs of name and signal.

    Raises:
        ProgramError: two outputs, or two gates, with the same name.
    """
    part = build_part(netlist, [signal for _, signal in outputs])
    taken = {*part.derived, *(atom.name for atom in part.quantiser.atoms)}
    derived, rules, answers = list(part.derived), list(part.rules), []
    first = len(part.quantiser.atoms)
    for name, signal in outputs:
        if signal > 0:
            answers.append((name, part.to_literal(signal)))
            continue
        # A constant or a negation is an atom of its own; one without rules is false.
        atom = first + len(derived)
        answers.append((name, atom))
        derived.append(find_free_name(name, taken))
        if signal != FALSE:
            rules.append(Rule(atom, () if signal == TRUE else (part.to_literal(signal),)))
    return Program(
        part.quantiser, (), (), tuple(rules), decision=Decision.BITS, derived=tuple(derived), outputs=tuple(answers)
    )


def find_free_name(name: str, taken: set[str]) -> str:
    """`name`, numbered if it is taken; the result is added to `taken`."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def compare_bits(names: Sequence[str]) -> tuple[tuple[Column, ...], tuple[TableAtom, ...]]:
    """Columns that hold 0 or 1, and the comparisons that they are 1."""
    columns = tuple(Column(name, "float32") for name in names)
    return columns, tuple(TableAtom(index, name, ">", 0.5) for index, name in enumerate(names))
