"""Compile: `Program` to `Plan`."""

from collections.abc import Iterable
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.plan import Plan
from eric_fast.program import Program, Rule, sort_topologically


def compile_program(program: Program, start: str | None = None) -> Plan:
    """The program from layer `start` (the lowest by default) as flat arrays.

    Row `i` of the plan is, for the inputs, atom `i` of layer `start`; the derived rows follow in strata. An atom
    above `start` that has no rules is false (true where it is negated): a derived row that no rule writes.

    Raises:
        ProgramError: no such layer, or a rule that mentions a kernel below it.
    """
    from eric_fast.compile.counters import Decision  # Numba loads when it is needed
    from eric_fast.compile.share import share_work

    given = program.quantiser.rows_of_layer[program.layer_to_start(start)] if program.layers else range(0)
    strata = [[atom for atom in atoms if atom >= given.stop] for atoms in sort_topologically(program)]
    kernel_rules = [[rule for atom in atoms for rule in program.rules_of_atom[atom]] for atoms in strata]
    n_kernel_rules = sum(map(len, kernel_rules))
    rules: list[Rule] = [*chain.from_iterable(kernel_rules), *program.class_rules]

    atoms = list(dict.fromkeys([*given, *chain.from_iterable(strata), *range(given.stop, len(program.atoms))]))
    row_of_atom = np.full(len(program.atoms), -1, np.int32)
    row_of_atom[atoms] = np.arange(len(atoms))
    offsets = _offsets(len(rule.body) for rule in rules)
    bodies = np.fromiter(chain.from_iterable(rule.body for rule in rules), np.int32, int(offsets[-1]))
    signs = bodies >> 31  # of a literal: xor with it gives the atom, and back
    literals = row_of_atom[bodies ^ signs]
    if (literals < 0).any():
        program.start_at(start)  # names the rule that mentions a kernel below
    heads = np.array([rule.head for rule in rules], np.int64)
    heads[:n_kernel_rules] = row_of_atom[heads[:n_kernel_rules]]
    negated = np.zeros(len(atoms), np.bool_)
    negated[row_of_atom[[atom for atom in program.negated if atom >= given.stop]]] = True

    literals ^= signs
    stratum_offsets = _offsets(map(len, kernel_rules))
    votes = [((rule.head, rule.weight), *rule.also) for rule in program.class_rules]
    decision = Decision(
        votes=program.decision == "vote",
        n_classes=len(program.classes),
        default=-1 if program.default is None else program.default,
        base=np.array(program.base or [0.0] * len(program.classes), np.float64),
        vote_offsets=_offsets(map(len, votes)),
        vote_classes=np.array([output for adds in votes for output, _ in adds], np.int32),
        vote_weights=np.array([weight for adds in votes for _, weight in adds], np.float64),
    )
    return Plan(
        n_inputs=len(given),
        n_rows=len(atoms),
        atoms=torch.tensor(atoms, dtype=torch.int64),
        literals=torch.from_numpy(literals),
        offsets=torch.from_numpy(offsets),
        heads=torch.from_numpy(heads.astype(np.int32)),
        strata=torch.from_numpy(stratum_offsets),
        negated=torch.from_numpy(negated),
        n_classes=decision.n_classes,
        votes=decision.votes,
        default=decision.default,
        base=torch.from_numpy(decision.base),
        vote_offsets=torch.from_numpy(decision.vote_offsets),
        vote_classes=torch.from_numpy(decision.vote_classes),
        vote_weights=torch.from_numpy(decision.vote_weights),
        steps=share_work(len(given), literals, offsets, heads, stratum_offsets, negated, decision),
    )


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.cumsum(np.fromiter(chain((0,), lengths), np.int64))
