"""Programs whose class rules are trees, lists and counts, from one random number."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.decision import Decision

Body = tuple[int, ...]
Tree: TypeAlias = "tuple[int, Tree, Tree] | None"  # an atom, where it is true, where it is false; None: a leaf
KINDS = ("balanced", "chain", "leafwise", "stump", "leaf")


def grow_paths(rng: random.Random, atoms: list[int], kind: str, n_leaves: int = 12) -> list[Body]:
    """The bodies of a tree's leaves in path order: depth first, at each node either sign first."""
    if kind == "chain":
        asked = rng.sample(atoms, min(len(atoms), n_leaves - 1))
        tree: Tree = None
        for atom in reversed(asked):
            tree = (atom, None, tree) if rng.random() < 0.5 else (atom, tree, None)
    else:
        n_leaves = {"leaf": 1, "stump": 2}.get(kind, n_leaves)
        tree = _split(rng, atoms, n_leaves, kind == "balanced")
    return list(_list_paths(rng, tree, ()))


def _split(rng: random.Random, atoms: list[int], n_leaves: int, is_balanced: bool) -> Tree:
    if n_leaves < 2 or not atoms:
        return None
    atom = rng.choice(atoms)
    rest = [other for other in atoms if other != atom]
    left = n_leaves // 2 if is_balanced else rng.randint(1, n_leaves - 1)
    return atom, _split(rng, rest, left, is_balanced), _split(rng, rest, n_leaves - left, is_balanced)


def _list_paths(rng: random.Random, tree: Tree, path: Body) -> Iterator[Body]:
    if tree is None:
        yield path
        return
    atom, high, low = tree
    sides = [(atom, high), (~atom, low)]
    for literal, side in sides if rng.random() < 0.5 else sides[::-1]:
        yield from _list_paths(rng, side, (*path, literal))


def make_forest_program(seed: int) -> Program:
    """Trees of all kinds, also with leaves missing, in another order, twice, or between rules of their own."""
    rng = random.Random(seed)
    n_atoms, n_classes = rng.choice((1, 4, 9, 24)), rng.choice((1, 2, 2, 3, 3, 10, 100))
    atoms = list(range(n_atoms))
    weights: Callable[[random.Random], float] = rng.choice((whole_weight, dyadic_weight, real_weight))
    outputs_of_a_rule = rng.choice((1, 1, 2, n_classes))
    rules = []
    trees: list[list[Body]] = []
    for _ in range(rng.randint(1, 9)):
        bodies = (
            trees[-1]
            if trees and rng.random() < 0.15
            else grow_paths(rng, atoms, rng.choice(KINDS), rng.choice((2, 5, 12, 40)))
        )
        trees.append(bodies)
        form = rng.random()
        if form < 0.15:
            bodies = [body for body in bodies if rng.random() < 0.8]
        elif form < 0.25:
            bodies = [tuple(rng.sample(body, len(body))) for body in rng.sample(bodies, len(bodies))]
        elif form < 0.35:
            bodies = [tuple(sorted(body)) for body in bodies]
        elif form < 0.5:
            bodies = [*bodies, *([tuple(rng.choice((a, ~a)) for a in rng.choices(atoms, k=rng.randint(1, 4)))] * 3)]
        for body in bodies:
            chosen = rng.sample(range(n_classes), min(n_classes, outputs_of_a_rule))
            also = tuple(sorted((c, weights(rng) or 1.0) for c in chosen[1:]))
            rules.append(ClassRule(chosen[0], body, weight=weights(rng), also=also))
    decision = rng.choice((Decision.VOTE, Decision.VOTE, Decision.FIRST))
    return Program(
        Quantiser(tuple(InputAtom("f", k, ">", 0.0) for k in atoms)),
        tuple(map(str, range(n_classes))),
        tuple(rules),
        decision=decision,
        default=rng.choice((None, rng.randrange(n_classes))),
        base=tuple(weights(rng) for _ in range(n_classes)) if decision is Decision.VOTE else (),
    )


def whole_weight(rng: random.Random) -> int:
    return rng.randint(-3, 3)


def dyadic_weight(rng: random.Random) -> float:
    return rng.randint(-9, 9) / 8


def real_weight(rng: random.Random) -> float:
    return rng.choice((rng.uniform(-1, 1), rng.uniform(-1, 1) * 2.0 ** rng.randint(-30, 30)))


def make_program(rules: Iterable[ClassRule], n_atoms: int, n_classes: int = 2, **settings: Any) -> Program:
    """A program of one layer from class rules."""
    quantiser = Quantiser(tuple(InputAtom("f", k, ">", 0.0) for k in range(n_atoms)))
    return Program(quantiser, tuple(map(str, range(n_classes))), tuple(rules), **settings)
