"""`Program`: a stratified logic program over a network's kernels or a table's columns, immutable and validated."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import chain

import numpy as np

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.quantiser import InputAtom, Quantiser, TableAtom, TableAtoms
from eric_fast.rules import ClassRule, ClassRules, Rule, RuleArrays

__all__ = ["ClassRule", "ClassRules", "DerivedAtom", "Program", "Rule", "atom_of"]

DECISIONS = ("first", "vote", "sum", "bits")
INT32_MAX = 2**31 - 1  # clingo wraps integers past this silently


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
        self.validate()

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
        _check_texts(changed)
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
        sorter = TopologicalSorter[int](dict.fromkeys(arrays.heads.tolist(), ()))
        for head, atom in dict.fromkeys(zip(heads.tolist(), atoms.tolist(), strict=True)):
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

    def validate(self) -> None:
        _check_names("class", self.classes)
        _check_names("layer", self.layers)
        _check_texts(self)
        n_atoms, n_classes = len(self.atoms), len(self.classes)
        if self.decision not in DECISIONS:
            raise ProgramError(f"decision '{self.decision}' is not one of {', '.join(DECISIONS)}")
        if self.default is not None and not 0 <= self.default < n_classes:
            raise ProgramError(f"the default class {self.default} is not one of the {n_classes} classes")
        if self.n_images is not None and not 0 <= self.n_images <= INT32_MAX:
            raise ProgramError(f"a program can't be trained on {self.n_images} images")
        n_inputs = len(self.quantiser.rows_of_layer[self.layers[0]]) if self.layers else 0
        heads = self.kernel_arrays.heads
        for head in heads[(heads < 0) | (heads >= n_atoms)].tolist():
            raise ProgramError(f"a rule's head, {head}, is not one of the {n_atoms} atoms")
        _check_outputs(self)
        _check_heads(self)
        _check_bodies(self)
        _check_support(self)
        _check_weights(self)
        _check_negated(self, n_inputs)
        _ = self.strata  # of rules that build on themselves there are none
        for head in self.rules_of_atom:
            if head < n_inputs:
                name = self.atoms[head].name
                raise ProgramError(f"{name} is of the lowest layer, whose bits are given; it can't have a rule", head)


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


def _check_outputs(program: Program) -> None:
    """What each decision needs and can't have, and the names of derived atoms and outputs."""
    _check_names("derived atom", program.derived)
    _check_names("output", [name for name, _ in program.outputs])
    inputs = {atom.name for atom in program.quantiser.atoms} if program.derived else ()
    for name in program.derived:
        if name in inputs:
            raise ProgramError(f"two atoms are called '{name}'")
    for name, atom in program.outputs:
        if not 0 <= atom < len(program.atoms):
            raise ProgramError(f"output '{name}' is atom {atom}, which there is not")
    if program.decision == "bits" and (program.classes or len(program.class_rules)):
        raise ProgramError("a program that answers with bits has no classes and no rules for them")
    if program.decision != "bits" and program.outputs:
        raise ProgramError("outputs need decision 'bits'")
    if program.decision == "sum" and program.default is not None:
        raise ProgramError("a program that answers with sums has no default; its base is what it starts from")


def _name_rule(program: Program, index: int) -> str:
    """What to call a rule in an error; class rules are counted after the kernel rules."""
    if index < len(program.kernel_rules):
        return f"a rule for {program.atoms[program.kernel_rules[index].head].name}"
    return f"class rule {index - len(program.kernel_rules) + 1}"


def _check_heads(program: Program) -> None:
    n_classes = len(program.classes)
    if isinstance(program.class_rules, ClassRules):
        outputs = program.class_rules.vote_classes
        if len(outputs) and not 0 <= outputs.min() <= outputs.max() < n_classes:
            raise ProgramError(f"a class rule is for none of the {n_classes} classes")
        return
    for number, rule in enumerate(program.class_rules, 1):
        if not 0 <= rule.head < n_classes:
            raise ProgramError(f"class rule {number}: {rule.head} is not one of the {n_classes} classes")
        if rule.also and not all(0 <= output < n_classes for output, _ in rule.also):
            raise ProgramError(f"class rule {number}: 'also' names a class that there is not")


def _check_bodies(program: Program) -> None:
    n_atoms = len(program.atoms)
    n_before = 0
    for rules in (program.kernel_arrays, program.class_arrays):
        for place in np.flatnonzero(rules.atoms >= n_atoms).tolist():
            rule = n_before + int(np.searchsorted(rules.offsets, place, "right")) - 1
            name, literal = _name_rule(program, rule), rules.literals[place]
            raise ProgramError(f"{name}: literal {literal} is about none of the {n_atoms} atoms")
        n_before += len(rules.heads)


def _check_support(program: Program) -> None:
    most = INT32_MAX if program.n_images is None else program.n_images
    kernel_rules: Iterable[tuple[int, Rule]] = enumerate(program.kernel_rules)
    if isinstance(program.class_rules, ClassRules):
        covered_of, correct_of = program.class_rules.covered, program.class_rules.correct
        odd = (covered_of < correct_of) | (covered_of > most) | ((covered_of < 0) != (correct_of < 0))
        suspects: Iterable[int] = np.flatnonzero(odd).tolist()
    else:
        suspects = range(len(program.class_rules))
    first = len(program.kernel_rules)
    for index, rule in chain(kernel_rules, ((first + i, program.class_rules[i]) for i in suspects)):
        covered, correct = rule.covered, rule.correct
        if covered is None and correct is None:
            continue
        if covered is None or correct is None:
            raise ProgramError(f"{_name_rule(program, index)}: covered and correct are known together or not at all")
        if not 0 <= correct <= covered <= most:
            raise ProgramError(
                f"{_name_rule(program, index)}: {correct} correct of {covered} covered of {most} images can't be"
            )


def _check_negated(program: Program, n_inputs: int) -> None:
    for atom, before in zip(program.negated, (None, *program.negated), strict=False):
        if not 0 <= atom < len(program.atoms):
            raise ProgramError(f"negated atom {atom} is not one of the {len(program.atoms)} atoms")
        name = program.atoms[atom].name
        if atom < n_inputs:
            raise ProgramError(f"{name} is of the lowest layer, whose bits are given; it can't be negated", atom)
        if atom == before:
            raise ProgramError(f"{name} is negated twice", atom)


def _check_weights(program: Program) -> None:
    n_classes = len(program.classes)
    if program.base and (len(program.base) != n_classes or not program.has_sums):
        raise ProgramError(f"base needs decision 'vote' or 'sum' and one number for each of the {n_classes} classes")
    votes = program.class_arrays
    rule_of_vote = np.repeat(np.arange(len(votes)), np.diff(votes.vote_offsets))
    is_head = np.zeros(len(rule_of_vote), np.bool_)
    is_head[votes.vote_offsets[:-1]] = True
    follows = ~is_head & np.roll(~is_head, 1)  # after another that is no head, so of the same rule
    odd = ~is_head & ((votes.vote_classes == votes.heads[rule_of_vote]) | (votes.vote_weights == 0))
    odd |= follows & (votes.vote_classes <= np.roll(votes.vote_classes, 1))
    if odd.any():
        number = rule_of_vote[odd.argmax()] + 1
        raise ProgramError(f"class rule {number}: 'also' must list other classes once, ascending, without zeros")
    if not (np.isfinite(votes.vote_weights).all() and np.isfinite(program.base).all()):
        raise ProgramError("weights must be finite numbers")


def has_integer_weights(program: Program) -> bool:
    """Whether clingo can add the weights: whole numbers, of which no sum can pass 2^31 - 1, where it would wrap."""
    votes, base = program.class_arrays, np.array(program.base or [0.0] * len(program.classes), np.float64)
    if (votes.vote_weights != np.floor(votes.vote_weights)).any() or (base != np.floor(base)).any():
        return False
    reach = np.abs(base) + np.bincount(votes.vote_classes, np.abs(votes.vote_weights), len(base))
    return not (reach > INT32_MAX).any()


def _check_names(kind: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ProgramError(f"two of the {kind} names are {twice!r}; they must differ")
    for name in names:
        if not name:
            raise ProgramError(f"a {kind} needs a name that isn't empty")


def _check_texts(program: Program) -> None:
    for atom, label in program.labels:
        if not 0 <= atom < len(program.atoms):
            raise ProgramError(f"label {label!r} is for atom {atom}, which there is not")
    for kind, keys in (
        ("label", [str(atom) for atom, _ in program.labels]),
        ("setting", [key for key, _ in program.settings]),
    ):
        if len(set(keys)) != len(keys):
            raise ProgramError(f"two {kind}s for one key")
    texts = [*program.classes, *program.layers, program.fingerprint, *program.derived]
    texts += [name for name, _ in program.outputs] + [column.name for column in program.quantiser.columns]
    for comparison in () if isinstance(program.quantiser.atoms, TableAtoms) else program.quantiser.atoms:
        if isinstance(comparison.constant, tuple):
            texts += [value for value in comparison.constant if isinstance(value, str)]
    texts += [label for _, label in program.labels] + [text for pair in program.settings for text in pair]
    for text in texts:
        # A newline is written as \n; clingo knows no other escape, and takes no NUL or lone surrogate.
        if any(c in "\0\r" or 0xD800 <= ord(c) <= 0xDFFF for c in text):
            raise ProgramError(f"{text!r} has a character that the text format can't hold")
