"""`Program`: a stratified logic program over a network's kernels or a table's columns, immutable and validated."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import import_module

import numpy as np

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.program.atoms import InputAtom, Quantiser, TableAtom
from eric_fast.program.rules import INT32_MAX, ClassRule, ClassRules, Rule, RuleArrays
from eric_fast.program.validate import check_texts, validate_program

__all__ = ["ClassRule", "ClassRules", "DerivedAtom", "Program", "Rule", "atom_of"]


@dataclass(frozen=True, slots=True)
class DerivedAtom:
    """An atom that is true where its rules say so and compares nothing itself: an exception, the gate of a circuit."""

    name: str

    @property
    def layer(self) -> str:
        return ""


Atom = InputAtom | TableAtom | DerivedAtom


@dataclass(frozen=True)
class Program:
    """Everything that a program's text file holds.

    Attributes:
        quantiser: the atoms that compare something; a literal is an index into `atoms`, or its complement.
        classes: class names, all different; under `sum` the names of the outputs.
        class_rules: in order; under `first` the first that fires wins. A tuple, or `ClassRules`, which equals it.
        kernel_rules: rules for atoms above the lowest layer; several for one head are alternatives.
        negated: derived atoms whose rules say where they are *false*: such an atom is true exactly where none of its
            rules fires, so everywhere if it has none. Ascending.
        decision: `first`; `vote` (weights of the rules that fire are summed on top of `base`; the highest sum wins, the
            lowest index on a tie); `sum` (the sums are the answer: a regression); or `bits` (the truth of `outputs` is
            the answer, and there are no classes: a circuit).
        default: the class where no class rule fires, or None.
        base: under `vote` and `sum`, where each class's sum starts; empty for zeros.
        labels: names that a person gave to atoms: pairs (atom index, label), ascending.
        fingerprint: of the model that the program was extracted from; empty where there is none.
        n_images: how many training images `covered` and `correct` count; None where unknown.
        settings: how it was made, as (key, value) texts.
        derived: names of atoms that compare nothing; their indices follow those of the quantiser's atoms.
        outputs: under `bits`, what is answered: pairs (name, atom).

    Raises:
        ProgramError: anything that the text format can't hold or that has no meaning, a cycle included.
    """

    quantiser: Quantiser
    classes: tuple[str, ...]
    class_rules: tuple[ClassRule, ...] | ClassRules
    kernel_rules: tuple[Rule, ...] = ()
    negated: tuple[int, ...] = ()
    decision: str = "first"
    default: int | None = None
    base: tuple[float, ...] = ()
    labels: tuple[tuple[int, str], ...] = ()
    fingerprint: str = ""
    n_images: int | None = None
    settings: tuple[tuple[str, str], ...] = ()
    derived: tuple[str, ...] = ()
    outputs: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "class_rules", "kernel_rules", "settings", "derived", "outputs"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if isinstance(value, ClassRules) else tuple(value))
        object.__setattr__(self, "negated", tuple(sorted(self.negated)))
        object.__setattr__(self, "labels", tuple(sorted(self.labels)))
        object.__setattr__(self, "base", tuple(self.base) if any(self.base) else ())
        validate_program(self)

    @cached_property
    def atoms(self) -> Sequence[Atom]:
        """The quantiser's atoms, then those that are only derived."""
        derived = tuple(map(DerivedAtom, self.derived))
        return (*self.quantiser.atoms, *derived) if derived else self.quantiser.atoms

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
    def has_sums(self) -> bool:
        """Whether class rules add weights: `vote` and `sum`."""
        return self.decision in ("vote", "sum")

    @property
    def layers(self) -> tuple[str, ...]:
        """The chain, lowest layer first."""
        return self.quantiser.layers

    @property
    def n_literals(self) -> int:
        """The program's size: literals in the bodies of all its rules."""
        return len(self.class_arrays.literals) + len(self.kernel_arrays.literals)

    def with_settings(self, settings: Iterable[tuple[str, str]]) -> "Program":
        """The same program with other settings; what hasn't changed isn't checked again, which counts for a forest.

        Raises:
            ProgramError: a key that stands twice, or a character that the text format can't hold.
        """
        changed = copy(self)
        object.__setattr__(changed, "settings", tuple(settings))
        check_texts(changed)
        return changed

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
            raise ProgramError(f"recursion: {names}; a kernel may not build on itself", cycle[0]) from error
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

    def atom_named(self, name: str) -> int:
        """Index of the atom that a person calls `features.19:17`, `features_19_17`, `k_features_19_17` or by label.

        Raises:
            ProgramError: none is called so, or several are.
        """
        spelling = name.removeprefix("k_")
        found = [atom for atom, label in self.labels if label == name] or [
            i
            for i, atom in enumerate(self.atoms)
            if name == atom.name
            or (isinstance(atom, InputAtom) and spelling == plain_identifier(f"{atom.layer}_{atom.column}"))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = " or ".join(f"'{self.atoms[i].name}'" for i in found)
            raise ProgramError(f"'{name}' could be {names}: write it so")
        raise ProgramError(
            f"'{name}' is not a kernel of this program{suggest_nearest(name, (atom.name for atom in self.atoms))}"
        )

    def layer_to_start(self, start: str | None) -> str:
        """`start` if it is a layer of this program; the lowest layer for None."""
        if start is not None and start not in self.layers:
            raise ProgramError(f"the program has no layer '{start}'{suggest_nearest(start, self.layers)}")
        if not self.layers:
            raise ProgramError("the program compares nothing, so there is no layer to start from")
        return start if start is not None else self.layers[0]

    def start_at(self, start: str | None = None) -> "Program":
        """The program that takes the bits of layer `start` as given: no rules for it or below, no atoms below.

        Raises:
            ProgramError: no such layer, or a rule that stays mentions a kernel below it.
        """
        lowest = self.layer_to_start(start)
        if lowest == self.layers[0]:
            return self
        first = self.quantiser.rows_of_layer[lowest].start
        taken = self.quantiser.rows_of_layer[lowest].stop

        def shift(body: tuple[int, ...], what: str) -> tuple[int, ...]:
            for literal in body:
                atom = atom_of(literal)
                if atom < first:
                    raise ProgramError(
                        f"can't start at '{lowest}': {what} mentions {self.atoms[atom].name}, of a layer below; "
                        f"start at '{self.atoms[atom].layer}' or lower"
                    )
            return tuple(lit - first if lit >= 0 else lit + first for lit in body)

        return replace(
            self,
            quantiser=Quantiser(self.quantiser.kernel_atoms[first:], self.quantiser.norm),
            class_rules=tuple(
                replace(rule, body=shift(rule.body, f"class rule {number}"))
                for number, rule in enumerate(self.class_rules, 1)
            ),
            kernel_rules=tuple(
                replace(rule, head=rule.head - first, body=shift(rule.body, f"a rule for {self.atoms[rule.head].name}"))
                for rule in self.kernel_rules
                if rule.head >= taken
            ),
            negated=tuple(atom - first for atom in self.negated if atom >= taken),
            labels=tuple((atom - first, label) for atom, label in self.labels if atom >= first),
            outputs=tuple((name, atom - first) for name, atom in self.outputs),
        )

    def to_asp(self) -> str:
        """The program as `save_program` writes it: ASP that `parse_program` reads back, and clingo answers."""
        return _load_printer("print_program")(self)

    def to_prolog(self) -> str:
        """The program as Prolog that SWI-Prolog runs; its first lines say how."""
        return _load_printer("print_prolog")(self)

    def to_python(self) -> str:
        """The program as Python 3 without dependencies: a function `predict(row)`."""
        return _load_printer("print_python")(self)

    def to_c(self) -> str:
        """The program as C99: a function `predict`; its first lines say how it is called."""
        return _load_printer("print_c")(self)


def _load_printer(name: str) -> Callable[[Program], str]:
    """A printer is of a layer above, and loads when it is used."""
    printer: Callable[[Program], str] = getattr(import_module("eric_fast.text"), name)
    return printer


def atom_of(literal: int) -> int:
    """The atom that a literal is about."""
    return literal if literal >= 0 else ~literal


def plain_identifier(name: str) -> str:
    """`name` with everything but ASCII letters and digits made an underscore."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def has_integer_weights(program: Program) -> bool:
    """Whether clingo can add the weights: whole numbers, of which no sum can pass 2^31 - 1, where it would wrap."""
    votes, base = program.class_arrays, np.array(program.base or [0.0] * len(program.classes), np.float64)
    if (votes.vote_weights != np.floor(votes.vote_weights)).any() or (base != np.floor(base)).any():
        return False
    reach = np.abs(base) + np.bincount(votes.vote_classes, np.abs(votes.vote_weights), len(base))
    return not (reach > INT32_MAX).any()
