"""Programs whose rules share work, as those that trees and people make do, from one random number."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.decision import Decision

Body = tuple[int, ...]


def make_shared_program(seed: int) -> Program:
    """Trees, forests, plain disjunctions, twins and mixtures of them, over up to three layers; bodies in any order."""
    rng = random.Random(seed)
    sizes = [rng.randint(1, 10), *(rng.randint(1, 8) for _ in range(rng.randint(1, 3)))]
    starts = np.cumsum([0, *sizes]).tolist()
    atoms = tuple(InputAtom(f"l{layer}", k, ">", 0.0) for layer, size in enumerate(sizes) for k in range(size))

    def shuffle(bodies: list[Body]) -> list[Body]:
        mixed = [tuple(rng.sample(body, len(body))) if rng.random() < 0.5 else body for body in bodies]
        return rng.sample(mixed, len(mixed)) if rng.random() < 0.3 else mixed

    def reach(layer: int) -> list[int]:  # the layer below, or all below
        return list(range(starts[layer - 1] if rng.random() < 0.8 else 0, starts[layer]))

    kernel_rules: list[Rule] = []
    negated: list[int] = []
    for layer in range(1, len(sizes)):
        below = reach(layer)
        for head in range(starts[layer], starts[layer + 1]):
            bodies: list[Body] = []
            for kind in rng.choice((("tree",), ("tree",), ("plain",), ("tree", "plain"), ())):
                bodies += (
                    grow_leaves(rng, below, rng.randint(1, 6))
                    if kind == "tree"
                    else draw_bodies(rng, below, rng.randint(1, 40))
                )
            kept = [body for body in bodies if rng.random() < 0.6]
            if kernel_rules and starts[layer] <= kernel_rules[-1].head and rng.random() < 0.2:
                kept.append(kernel_rules[-1].body)  # of another kernel of this layer
            kernel_rules += [Rule(head, body) for body in shuffle(kept)]
            if rng.random() < 0.4:
                negated.append(head)
    above, n_classes = reach(len(sizes)), rng.randint(2, 4)
    class_rules = []
    for _ in range(rng.randint(1, 4)):
        bodies = (
            grow_leaves(rng, above, rng.randint(1, 6))
            if rng.random() < 0.7
            else draw_bodies(rng, above, rng.randint(1, 20))
        )
        for body in shuffle(bodies):
            head = rng.randrange(n_classes)
            also = tuple((c, 0.5) for c in range(n_classes) if c != head and rng.random() < 0.2)
            class_rules.append(ClassRule(head, body, weight=rng.choice((1, -1, 0.25, 2)), also=also))
    return Program(
        Quantiser(atoms),
        tuple(map(str, range(n_classes))),
        tuple(class_rules),
        tuple(kernel_rules),
        decision=rng.choice((Decision.FIRST, Decision.VOTE)),
        default=rng.choice((None, 0)),
        negated=tuple(negated),
    )


class OneStratum(NamedTuple):
    """A program, and its rows in any order."""

    program: Program
    rows: list[int]


def make_one_stratum(seed: int, n_rules: int, *, n_inputs: int = 12, n_heads: int = 9) -> OneStratum:
    """Kernel rules of two to six literals, dealt to the heads by lot; all rows, by lot, two of them twice."""
    rng = random.Random(seed)
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(n_inputs))
    atoms += tuple(InputAtom("g", k, ">", 0.0) for k in range(n_heads))
    drawn = [rng.sample(range(n_inputs), rng.randint(2, 6)) for _ in range(n_rules)]
    bodies = [tuple(rng.choice((a, ~a)) for a in body) for body in drawn]
    rules = tuple(Rule(n_inputs + rng.randrange(n_heads), body) for body in bodies)
    rows = rng.sample(range(len(atoms)), len(atoms))
    return OneStratum(Program(Quantiser(atoms), (), (), rules), rows + rows[:2])


def grow_leaves(rng: random.Random, atoms: Sequence[int], depth: int) -> list[Body]:
    """Bodies of a tree's leaves."""
    if depth == 0 or rng.random() < 0.15 or not atoms:
        return [()]
    atom = rng.choice(atoms)
    rest = [other for other in atoms if other != atom]
    return [(literal, *body) for literal in (atom, ~atom) for body in grow_leaves(rng, rest, depth - 1)]


def draw_bodies(rng: random.Random, atoms: Sequence[int], n: int) -> list[Body]:
    """Bodies of 1 to 5 literals, a rare one empty; literals may repeat and contradict."""
    lengths = [0 if rng.random() < 0.02 else rng.randint(1, 5) for _ in range(n)]
    return [tuple(rng.choice((a, ~a)) for a in rng.choices(atoms, k=length)) for length in lengths]
