"""Programs and bits for tests: every choice is one integer, drawn by hypothesis or by a random generator."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import strategies as st

from eric_fast.program import ClassRule, ClassRules, Program, Rule
from eric_fast.program.atoms import NORMS, InputAtom, Quantiser
from eric_fast.program.decision import Decision
from eric_fast.program.table_atoms import KINDS, TABLE_OPERATORS, TEXT_KINDS, Column, TableAtom, TableQuantiser

T = TypeVar("T")
AnyRule = TypeVar("AnyRule", bound=Rule)
Pick = Callable[[int, int], int]  # both ends included

CLASSES = ("sea lion", '"', "é", "a\nb", "back\\slash", "\\n", "tab\there", "% no comment", "x.y", "0", "class(X,C)")
LAYERS = ("f", "layer1.0.relu", "layer1_0_relu", "layer1_0_relu_2", "Mixed_5b", "é", "conv 1", '"', "a:0", "not")
SIZES = (0, 1, 31, 32, 33, 63)


def make_program(pick: Pick, *, with_sums: bool = False) -> Program:
    """Any program: no layers or rules, empty and contradictory bodies, derived atoms negated or without rules.

    Over kernels or a table, with and without atoms that are only derived, whatever it answers with.

    with_sums: whether some bodies are weight bodies, and some class rules are for one start or have a confidence.
    """

    def choose(pool: Sequence[T]) -> T:
        return pool[pick(0, len(pool) - 1)]

    def draw_some(pool: tuple[str, ...], most: int) -> tuple[str, ...]:
        start, n = pick(0, len(pool) - 1), pick(0, most)
        return tuple((pool + pool)[start : start + n])

    def draw_body(n_atoms: int) -> tuple[int, ...]:
        atoms = [pick(0, n_atoms - 1) for _ in range(pick(0, 4))] if n_atoms else []
        return tuple(atom if pick(0, 1) else ~atom for atom in atoms)

    def draw_sum(rule: AnyRule) -> AnyRule:
        body = tuple(dict.fromkeys(rule.body))
        if not with_sums or not body or pick(0, 1):
            return rule
        largest = choose((1, 3, 7, (2**31 - 1) // len(body)))
        weights = tuple(pick(1, largest) for _ in body)
        bound = choose((1, weights[0], pick(1, sum(weights)), sum(weights)))
        return replace(rule, body=body, weights=weights, bound=bound)

    def draw_support() -> tuple[int | None, int | None]:
        covered = pick(-1, 9)
        return (None, None) if covered < 0 else (covered, pick(0, covered))

    columns: tuple[Column, ...] = ()
    atoms: list[Any]
    if pick(0, 2):
        atoms = [
            InputAtom(layer, k, choose((">", "<=", "==")), pick(-3, 9) / 4)
            for layer in draw_some(LAYERS, 3)
            for k in range(pick(1, 4))
        ]
    else:
        columns = tuple(Column(name, choose(KINDS)) for name in draw_some(LAYERS, 3))
        drawn = [make_comparison(pick, columns) for _ in range(pick(0, 5) if columns else 0)]
        atoms = list(dict.fromkeys(drawn))
    n_inputs = sum(atom.layer == atoms[0].layer for atom in atoms)
    derived = draw_some(("ab1", "ab 1", "k_f_3", "é"), 2)
    n_atoms = len(atoms) + len(derived)
    kernel_rules = []
    for _ in range(pick(0, 8) if n_atoms > n_inputs else 0):
        head = pick(n_inputs, n_atoms - 1)
        kernel_rules.append(draw_sum(Rule(head, draw_body(head), *draw_support())))
    decision = choose((*[Decision.FIRST] * 2, *[Decision.VOTE] * 2, Decision.SUM, Decision.BITS))
    starts: tuple[tuple[str, ...], ...] = ()
    if with_sums and decision != "bits" and atoms and not columns and pick(0, 1):
        layers = list(dict.fromkeys(atom.layer for atom in atoms))
        starts = tuple((layer,) for layer in layers if layer == layers[0] or pick(0, 1))
    classes = draw_some(CLASSES, 4) if decision is not Decision.BITS else ()
    sums, real = decision in (Decision.VOTE, Decision.SUM), pick(0, 1)

    def draw_start() -> int | None:
        start = pick(-1, len(starts) - 1) if starts else -1
        return start if start >= 0 else None

    class_rules = []
    for _ in range(pick(0, 6) if classes else 0):
        head = pick(0, len(classes) - 1)
        others = [c for c in range(len(classes)) if c != head and pick(0, 3) == 0]
        also = tuple((c, pick(1, 3) * (-1) ** pick(0, 1) / (4 if real else 1)) for c in others)
        weight = pick(-2, 3) / (4 if real else 1)
        body, support = draw_body(n_atoms), draw_support()
        given = choose((None, None, 0.0, 0.1, 1.0)) if with_sums else None
        rule = ClassRule(head, body, *support, weight, also, start=draw_start(), given_confidence=given)
        class_rules.append(draw_sum(rule))
    bases = sums and starts and pick(0, 1)
    return Program(
        quantiser=TableQuantiser(tuple(atoms), columns) if columns else Quantiser(tuple(atoms), choose(NORMS)),
        classes=classes,
        class_rules=tuple(class_rules) if pick(0, 1) else ClassRules.from_rules(class_rules),
        kernel_rules=tuple(kernel_rules),
        negated=tuple(atom for atom in range(n_inputs, n_atoms) if pick(0, 2) == 0),
        decision=decision,
        default=pick(0, len(classes) - 1) if classes and decision is not Decision.SUM and pick(0, 1) else None,
        base=tuple(pick(-2, 2) / (2 if real else 1) for _ in classes) if sums and not bases else (),
        labels=tuple((i, choose(CLASSES)) for i in range(n_atoms) if pick(0, 3) == 0),
        fingerprint=choose(("", "5eed")),
        n_images=choose((None, 9)),
        settings=tuple((key, choose(CLASSES)) for key in draw_some(CLASSES, 2)),
        derived=derived,
        outputs=tuple((f"o {i}", i) for i in range(n_atoms) if decision is Decision.BITS and pick(0, 1)),
        starts=starts,
        start_bases=tuple(tuple(pick(-2, 2) / (2 if real else 1) for _ in classes) for _ in starts) if bases else (),
    )


def make_comparison(pick: Pick, columns: tuple[Column, ...]) -> TableAtom:
    """Any comparison of one of these columns."""
    index = pick(0, len(columns) - 1)
    column = columns[index]
    numbers = (-math.inf, -2.5, 0.0, 2.0**-149, 0.25, 3e38, math.inf)
    operator = "in" if column.kind == "text" else TABLE_OPERATORS[pick(0, len(TABLE_OPERATORS) - 1)]
    is_text = operator == "in" and column.kind in TEXT_KINDS
    values: tuple[Any, ...] = CLASSES if is_text else tuple(float(np.float32(number)) for number in numbers)
    first, n = pick(0, len(values) - 1), pick(0, 3)
    constant = values[first : first + n] if operator == "in" else values[first]
    return TableAtom(index, column.name, operator, constant, bool(pick(0, 1)))


def make_bits(pick: Pick, n_samples: int, n_atoms: int) -> torch.Tensor:
    """bool `[n_samples, n_atoms]`: any, all zero, or all one."""
    kind = pick(0, 9)
    if kind < 2:
        return torch.full((n_samples, n_atoms), bool(kind))
    generator = torch.Generator().manual_seed(pick(0, 2**31 - 1))
    return torch.rand(n_samples, n_atoms, generator=generator) < 0.5


@st.composite
def programs(draw: st.DrawFn, with_sums: bool = False) -> Program:
    return make_program(lambda low, high: draw(st.integers(low, high)), with_sums=with_sums)


@st.composite
def programs_with_bits(
    draw: st.DrawFn, sizes: Sequence[int] = SIZES, with_sums: bool = False
) -> tuple[Program, torch.Tensor]:
    """A program, and bool `[n_samples, n_inputs]` for its lowest layer."""

    def pick(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    program = make_program(pick, with_sums=with_sums)
    return program, make_bits(pick, draw(st.sampled_from(sizes)), count_inputs(program))


def count_inputs(program: Program) -> int:
    return len(program.quantiser.rows_of_layer[program.layers[0]]) if program.layers else 0
