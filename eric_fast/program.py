"""`Program`: a stratified logic program over the kernels of a network, immutable and validated."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain

from eric_fast.errors import ProgramError, suggest_nearest
from eric_fast.quantiser import InputAtom, Quantiser

DECISIONS = ("first", "vote")
INT32_MAX = 2**31 - 1  # clingo wraps integers past this silently


@dataclass(frozen=True, slots=True)
class Rule:
    """`head` is true where every literal of `body` is, or false where it is in `Program.negated`: a rule for a kernel.

    Attributes:
        head: index of an atom of the program.
        body: literals, a conjunction: `a` is the atom with index `a`, `~a` its negation. Empty: always true.
        covered: how many training images the body is true on, where known.
        correct: on how many of those the head is what the rule says: true, or false where it is negated.
    """

    head: int
    body: tuple[int, ...]
    covered: int | None = None
    correct: int | None = None

    def __post_init__(self) -> None:
        if type(self.body) is not tuple:  # it nearly always is, in programs of many rules
            object.__setattr__(self, "body", tuple(self.body))

    @property
    def confidence(self) -> float | None:
        """Share of the covered training images that are correct, where known."""
        return self.correct / self.covered if self.covered and self.correct is not None else None


@dataclass(frozen=True, slots=True)
class ClassRule(Rule):
    """A rule for a class: `head` is an index into the program's classes.

    Attributes:
        weight: what it adds to its class under `vote`.
        also: what it adds to other classes: pairs (class index, weight), ascending, no zero weight.
    """

    weight: float = 1
    also: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Program:
    """Everything that a program's text file holds.

    Attributes:
        quantiser: the atoms; a literal is an index into `quantiser.atoms`, or its complement.
        classes: class names, all different.
        class_rules: in order; under `first` the first that fires wins.
        kernel_rules: rules for atoms above the lowest layer; several for one head are alternatives.
        negated: derived atoms whose rules say where they are *false*: such an atom is true exactly where none of its
            rules fires, so everywhere if it has none. Ascending.
        decision: `first`, or `vote` (weights of the rules that fire are summed on top of `base`; the
            highest sum wins, the lowest index on a tie).
        default: the class where no class rule fires, or None.
        base: under `vote`, where each class's sum starts; empty for zeros.
        labels: names that a person gave to atoms: pairs (atom index, label), ascending.
        fingerprint: of the model that the program was extracted from; empty where there is none.
        n_images: how many training images `covered` and `correct` count; None where unknown.
        settings: how it was made, as (key, value) texts.

    Raises:
        ProgramError: anything that the text format can't hold or that has no meaning, a cycle included.
    """

    quantiser: Quantiser
    classes: tuple[str, ...]
    class_rules: tuple[ClassRule, ...]
    kernel_rules: tuple[Rule, ...] = ()
    negated: tuple[int, ...] = ()
    decision: str = "first"
    default: int | None = None
    base: tuple[float, ...] = ()
    labels: tuple[tuple[int, str], ...] = ()
    fingerprint: str = ""
    n_images: int | None = None
    settings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "class_rules", "kernel_rules", "settings"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "negated", tuple(sorted(self.negated)))
        object.__setattr__(self, "labels", tuple(sorted(self.labels)))
        object.__setattr__(self, "base", tuple(self.base) if any(self.base) else ())
        self.validate()

    @property
    def atoms(self) -> tuple[InputAtom, ...]:
        return self.quantiser.atoms

    @property
    def layers(self) -> tuple[str, ...]:
        """The chain, lowest layer first."""
        return self.quantiser.layers

    @property
    def n_literals(self) -> int:
        """The program's size: literals in the bodies of all its rules."""
        return sum(len(rule.body) for rule in (*self.class_rules, *self.kernel_rules))

    @cached_property
    def label_of_atom(self) -> dict[int, str]:
        return dict(self.labels)

    @cached_property
    def rules_of_atom(self) -> dict[int, tuple[Rule, ...]]:
        """Atom index -> the rules that define it, in order."""
        rules: dict[int, list[Rule]] = {}
        for rule in self.kernel_rules:
            rules.setdefault(rule.head, []).append(rule)
        return {head: tuple(of_head) for head, of_head in rules.items()}

    def atom_named(self, name: str) -> int:
        """Index of the atom that a person calls `features.19:17`, `features_19_17`, `k_features_19_17` or by label."""
        for atom, label in self.labels:
            if label == name:
                return atom
        spelling = name.removeprefix("k_")
        found = [
            i
            for i, atom in enumerate(self.atoms)
            if name == atom.name or spelling == plain_identifier(f"{atom.layer}_{atom.column}")
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
            raise ProgramError("the program has no kernels, so no layer to start from")
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
            quantiser=Quantiser(self.atoms[first:], self.quantiser.norm),
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
        )

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
        for rule in self.kernel_rules:
            if not 0 <= rule.head < n_atoms:
                raise ProgramError(f"a rule's head, {rule.head}, is not one of the {n_atoms} atoms")
        for number, class_rule in enumerate(self.class_rules, 1):
            if not 0 <= class_rule.head < n_classes:
                raise ProgramError(f"class rule {number}: {class_rule.head} is not one of the {n_classes} classes")
        _check_bodies(self)
        _check_support(self)
        _check_weights(self)
        _check_negated(self, n_inputs)
        sort_topologically(self)
        for head in self.rules_of_atom:
            if head < n_inputs:
                name = self.atoms[head].name
                raise ProgramError(f"{name} is of the lowest layer, whose bits are given; it can't have a rule", head)


def atom_of(literal: int) -> int:
    """The atom that a literal is about."""
    return literal if literal >= 0 else ~literal


def plain_identifier(name: str) -> str:
    """`name` with everything but ASCII letters and digits made an underscore."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def sort_topologically(program: Program) -> tuple[tuple[int, ...], ...]:
    """The atoms that have rules, in strata: the rules of one mention only atoms of earlier ones, or without rules.

    Raises:
        ProgramError: an atom depends on itself; the cycle is named.
    """
    sorter = TopologicalSorter(
        {
            head: [atom for atom in map(atom_of, _unique_literals(rules)) if atom in program.rules_of_atom]
            for head, rules in program.rules_of_atom.items()
        }
    )
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        names = " <- ".join(program.atoms[atom].name for atom in cycle)
        raise ProgramError(f"recursion: {names}; a kernel may not build on itself", cycle[0]) from error
    strata = []
    while sorter.is_active():
        ready = sorter.get_ready()
        strata.append(tuple(sorted(ready)))
        sorter.done(*ready)
    return tuple(strata)


def _unique_literals(rules: Iterable[Rule]) -> Iterable[int]:
    """In the order in which they first occur; there are few of them, however many rules there are."""
    return dict.fromkeys(chain.from_iterable(rule.body for rule in rules))


def _name_rule(program: Program, index: int) -> str:
    """What to call a rule in an error; class rules are counted after the kernel rules."""
    if index < len(program.kernel_rules):
        return f"a rule for {program.atoms[program.kernel_rules[index].head].name}"
    return f"class rule {index - len(program.kernel_rules) + 1}"


def _check_bodies(program: Program) -> None:
    n_atoms = len(program.atoms)
    rules = (*program.kernel_rules, *program.class_rules)
    for literal in _unique_literals(rules):
        if not -n_atoms <= literal < n_atoms:
            index = next(i for i, rule in enumerate(rules) if literal in rule.body)
            raise ProgramError(f"{_name_rule(program, index)}: literal {literal} is about none of the {n_atoms} atoms")


def _check_support(program: Program) -> None:
    most = INT32_MAX if program.n_images is None else program.n_images
    for index, rule in enumerate((*program.kernel_rules, *program.class_rules)):
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
    if program.base and (len(program.base) != n_classes or program.decision != "vote"):
        raise ProgramError(f"base needs decision 'vote' and one number for each of the {n_classes} classes")
    reach = [abs(b) for b in program.base] or [0.0] * n_classes
    for number, rule in enumerate(program.class_rules, 1):
        reach[rule.head] += abs(rule.weight)
        if not rule.also:
            continue
        others = [output for output, _ in rule.also]
        if others != sorted(set(others)) or rule.head in others or any(weight == 0 for _, weight in rule.also):
            raise ProgramError(f"class rule {number}: 'also' must list other classes once, ascending, without zeros")
        if not 0 <= others[0] <= others[-1] < n_classes:
            raise ProgramError(f"class rule {number}: 'also' names a class that there is not")
        for output, weight in rule.also:
            reach[output] += abs(weight)
    if not all(map(math.isfinite, _unique_weights(program))):
        raise ProgramError("weights must be finite numbers")
    if has_integer_weights(program) and any(r > INT32_MAX for r in reach):
        raise ProgramError(
            "integer weights whose sum could pass 2^31 - 1 are refused (clingo would wrap them); scale down"
        )


def has_integer_weights(program: Program) -> bool:
    """Whether every weight and base is a whole number, so that clingo can add them."""
    return all(float(weight).is_integer() for weight in _unique_weights(program))


def _unique_weights(program: Program) -> set[float]:
    weights = {rule.weight for rule in program.class_rules}
    return weights.union(program.base, (weight for rule in program.class_rules for _, weight in rule.also))


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
    texts = [*program.classes, *program.layers, program.fingerprint]
    texts += [label for _, label in program.labels] + [text for pair in program.settings for text in pair]
    for text in texts:
        # A newline is written as \n; clingo knows no other escape, and takes no NUL or lone surrogate.
        if any(c in "\0\r" or 0xD800 <= ord(c) <= 0xDFFF for c in text):
            raise ProgramError(f"{text!r} has a character that the text format can't hold")
