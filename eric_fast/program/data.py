"""`ProgramData`: the fields of a program and what is derived from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.class_rules import ClassRules
from eric_fast.program.decision import Decision
from eric_fast.program.layer_graph import Edge, LayerGraph, find_edge_fault
from eric_fast.program.rules import INT32_MAX, ClassRule, Rule, RuleArrays
from eric_fast.program.table_atoms import TableAtom, TableQuantiser


@dataclass(frozen=True, slots=True)
class DerivedAtom:
    """An atom that is true where its rules say so and compares nothing itself: an exception, the gate of a circuit."""

    name: str

    @property
    def layer(self) -> str:
        return ""


Atom = InputAtom | TableAtom | DerivedAtom


@dataclass(frozen=True)
class ProgramData:
    """Everything that a program's text file holds. `Program` is this, validated, and with methods.

    Attributes:
        quantiser: the atoms that compare something: the norms of a network's kernels, or the columns of a table. A
            literal is an index into `atoms`, or its complement. A table without columns becomes `Quantiser(())`.
        classes: class names, all different; under `sum` the names of the outputs.
        class_rules: in order; under `first` the first that fires wins. A tuple, or `ClassRules`, which equals it.
        kernel_rules: rules for atoms above the lowest layer; several for one head are alternatives.
        negated: derived atoms whose rules say where they are *false*: such an atom is true exactly where none of its
            rules fires, so everywhere if it has none. Ascending.
        decision: how class rules, or outputs, become an answer; its name as a string is taken too.
        default: the class where no class rule fires, or None.
        base: under `vote` and `sum`, where each class's sum starts; empty for zeros.
        labels: names that a person gave to atoms: pairs (atom index, label), ascending.
        fingerprint: of the model that the program was extracted from; empty where there is none.
        n_images: how many training images `covered` and `correct` count; None where unknown.
        settings: how it was made, as (key, value) texts.
        derived: names of atoms that compare nothing; their indices follow those of the quantiser's atoms.
        outputs: under `bits`, what is answered: pairs (name, atom).
        starts: if there are class rules for one start alone, the starts that the program can be run from: for each the
            layers that are given. The lowest layers are one of them.
        start_bases: under `vote` and `sum`, for each start where each class's sum starts, in place of `base`; or empty.
        edges: which layers feed which; see `LayerGraph`. Empty for a straight pipe. A kernel's rules mention the layers
            that feed its own, and no others. Layers that none feeds stand first.

    Raises:
        ProgramError: anything that the text format can't hold or that has no meaning, a cycle included.
    """

    quantiser: Quantiser | TableQuantiser
    classes: tuple[str, ...]
    class_rules: tuple[ClassRule, ...] | ClassRules
    kernel_rules: tuple[Rule, ...] = ()
    negated: tuple[int, ...] = ()
    decision: Decision = Decision.FIRST
    default: int | None = None
    base: tuple[float, ...] = ()
    labels: tuple[tuple[int, str], ...] = ()
    fingerprint: str = ""
    n_images: int | None = None
    settings: tuple[tuple[str, str], ...] = ()
    derived: tuple[str, ...] = ()
    outputs: tuple[tuple[str, int], ...] = ()
    starts: tuple[tuple[str, ...], ...] = ()
    start_bases: tuple[tuple[float, ...], ...] = ()
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "class_rules", "kernel_rules", "settings", "derived", "outputs"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if isinstance(value, ClassRules) else tuple(value))
        for name in ("starts", "start_bases", "edges"):
            object.__setattr__(self, name, tuple(map(tuple, getattr(self, name))))
        if not any(map(any, self.start_bases)):
            object.__setattr__(self, "start_bases", ())
        object.__setattr__(self, "negated", tuple(sorted(self.negated)))
        object.__setattr__(self, "labels", tuple(sorted(self.labels)))
        object.__setattr__(self, "base", tuple(self.base) if any(self.base) else ())
        if self.decision not in tuple(Decision):
            raise ProgramError(f"decision '{self.decision}' is not one of {', '.join(Decision)}")
        object.__setattr__(self, "decision", Decision(self.decision))
        if isinstance(self.quantiser, TableQuantiser) and not self.quantiser.columns:
            object.__setattr__(self, "quantiser", Quantiser(()))  # it compares nothing, of a table or a network
        if self.edges:
            fault = next(filter(None, (find_edge_fault(self.layers, edge) for edge in self.edges)), None)
            if fault is not None:
                raise ProgramError(fault)
            object.__setattr__(self, "edges", LayerGraph.from_edges(self.layers, self.edges).edges)

    @cached_property
    def atoms(self) -> Sequence[Atom]:
        """The quantiser's atoms, then those that are only derived."""
        derived = tuple(map(DerivedAtom, self.derived))
        return (*self.quantiser.atoms, *derived) if derived else self.quantiser.atoms

    def atom_named(self, name: str) -> int:
        """The index of an atom, by its name: `features.19:17`, `features_19_17`, `k_features_19_17`, or its label.

        Raises:
            ProgramError: no atom has this name, or several do.
        """
        spelling = name.removeprefix("k_")
        found = [atom for atom, label in self.labels if label == name] or [
            i
            for i, atom in enumerate(self.atoms)
            if name == atom.name or (isinstance(atom, InputAtom) and spelling == plain_identifier(atom.name))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = " or ".join(f"'{self.atoms[i].name}'" for i in found)
            raise ProgramError(f"'{name}' could be {names}; write the one that you mean")
        raise ProgramError(
            f"'{name}' is not an atom of this program{suggest_nearest(name, (atom.name for atom in self.atoms))}"
        )

    @cached_property
    def class_arrays(self) -> ClassRules:
        """The class rules as arrays."""
        rules = self.class_rules
        return rules if isinstance(rules, ClassRules) else ClassRules.from_rules(rules)

    @cached_property
    def kernel_arrays(self) -> RuleArrays:
        """The kernel rules as arrays."""
        return RuleArrays.from_rules(self.kernel_rules)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers, the lowest first; each behind those that feed it."""
        return self.quantiser.layers

    @cached_property
    def graph(self) -> LayerGraph:
        """Which layers feed which."""
        return LayerGraph(self.layers, self.edges)

    @property
    def n_given(self) -> int:
        """How many atoms the lowest layers have; they are the first."""
        rows = self.quantiser.rows_of_layer
        return rows[self.graph.lowest[-1]].stop if self.layers else 0

    @property
    def full_base(self) -> tuple[float, ...]:
        """Where each class's sum starts, zeros too."""
        return self.base or (0.0,) * len(self.classes)

    @property
    def has_weight_bodies(self) -> bool:
        return bool(len(self.class_arrays.bounds) or len(self.kernel_arrays.bounds))

    @property
    def has_given_confidences(self) -> bool:
        return bool(len(self.class_arrays.confidences))

    @property
    def n_literals(self) -> int:
        """The program's size: literals in the bodies of all its rules."""
        return len(self.class_arrays.literals) + len(self.kernel_arrays.literals)

    @property
    def n_integers(self) -> int:
        """Integers other than 1 that a reader meets: weights and bounds of bodies, votes, and bases other than 0."""
        numbers = [part for rules in (self.kernel_arrays, self.class_arrays) for part in (rules.weights, rules.bounds)]
        n = sum(int(np.count_nonzero(part > 1)) for part in numbers)  # 0 in conjunctions
        if self.decision.adds_weights:
            bases = sum(map(np.count_nonzero, (self.base, *self.start_bases)))
            n += int(np.count_nonzero(self.class_arrays.vote_weights != 1)) + int(bases)
        return n

    @cached_property
    def label_of_atom(self) -> dict[int, str]:
        return dict(self.labels)

    @cached_property
    def strata(self) -> tuple[tuple[int, ...], ...]:
        """The atoms that have rules, in strata: the rules of one mention only atoms of earlier ones, or without rules.

        Raises:
            ProgramError: an atom depends on itself; the cycle is named.
        """
        arrays = self.kernel_arrays
        has_rules = np.zeros(len(self.atoms), np.bool_)
        has_rules[arrays.heads] = True
        builds = has_rules[arrays.atoms]
        heads, atoms = np.repeat(arrays.heads, np.diff(arrays.offsets))[builds], arrays.atoms[builds]
        _, first = np.unique(heads.astype(np.int64) * len(self.atoms) + atoms, return_index=True)
        first.sort()  # as they stand in the rules, so that the cycle that is named doesn't depend on numbers
        sorter = TopologicalSorter[int](dict.fromkeys(arrays.heads.tolist(), ()))
        for head, atom in zip(heads[first].tolist(), atoms[first].tolist(), strict=True):
            sorter.add(head, atom)
        try:
            sorter.prepare()
        except CycleError as error:
            cycle = error.args[1][::-1]
            names = " <- ".join(self.atoms[atom].name for atom in cycle)
            raise ProgramError(f"recursion: {names}; an atom can't depend on itself", cycle[0]) from error
        strata = []
        while sorter.is_active():
            ready = sorter.get_ready()
            strata.append(tuple(sorted(ready)))
            sorter.done(*ready)
        return tuple(strata)

    @cached_property
    def rules_of_atom(self) -> dict[int, tuple[Rule, ...]]:
        """Atom index -> the rules that define it, in order."""
        rules: dict[int, list[Rule]] = {}
        for rule in self.kernel_rules:
            rules.setdefault(rule.head, []).append(rule)
        return {head: tuple(of_head) for head, of_head in rules.items()}

    @cached_property
    def exception_atoms(self) -> frozenset[int]:
        """Derived atoms with rules that say where they are true, and that a single literal mentions: a negation."""
        literals = np.concatenate([self.class_arrays.literals, self.kernel_arrays.literals])
        atoms, times = np.unique(np.where(literals < 0, ~literals, literals), return_counts=True)
        once = set(atoms[times == 1].tolist()).intersection((~literals[literals < 0]).tolist())
        named = range(len(self.quantiser.atoms), len(self.atoms))
        return frozenset(once.intersection(named, self.rules_of_atom) - set(self.negated))

    @cached_property
    def has_integer_weights(self) -> bool:
        """Whether clingo can add the weights: whole numbers, and no sum can pass 2^31 - 1, where it would wrap."""
        votes = self.class_arrays
        bases = np.array([self.full_base, *self.start_bases], np.float64)
        if (votes.vote_weights != np.floor(votes.vote_weights)).any() or (bases != np.floor(bases)).any():
            return False
        most = np.abs(bases).max(axis=0)
        reach = most + np.bincount(votes.vote_classes, np.abs(votes.vote_weights), len(most))
        return not (reach > INT32_MAX).any()


def atom_of(literal: int) -> int:
    """The atom that a literal is about."""
    return literal if literal >= 0 else ~literal


def map_literals(literals: Iterable[int], atoms: Mapping[int, int] | Sequence[int]) -> tuple[int, ...]:
    """The literals with `atoms[a]`, an atom or a literal, in the place of atom `a`."""
    return tuple([atoms[literal] if literal >= 0 else ~atoms[~literal] for literal in literals])


def plain_identifier(name: str) -> str:
    """`name` with everything but ASCII letters and digits made an underscore."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
