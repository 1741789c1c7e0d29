"""Compile: `Program` to `Plan`."""

from itertools import chain

import numpy as np
import torch

from eric_fast.plan import Plan
from eric_fast.program import Program
from eric_fast.program.rules import count_offsets


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
    strata = [[atom for atom in atoms if atom >= given.stop] for atoms in program.strata]
    derived = list(chain.from_iterable(strata))
    place_of_atom = np.full(len(program.atoms), -1, np.int64)
    place_of_atom[derived] = np.arange(len(derived))
    places = place_of_atom[program.kernel_arrays.heads]
    in_order = np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]
    kernel_rules, class_rules = program.kernel_arrays.take(in_order), program.class_arrays

    atoms = list(dict.fromkeys([*given, *derived, *range(given.stop, len(program.atoms))]))
    row_of_atom = np.full(len(program.atoms), -1, np.int32)
    row_of_atom[atoms] = np.arange(len(atoms))
    offsets = np.concatenate([kernel_rules.offsets, kernel_rules.offsets[-1] + class_rules.offsets[1:]])
    bodies = np.concatenate([kernel_rules.literals, class_rules.literals])
    signs = bodies >> 31  # of a literal: xor with it gives the atom, and back
    literals = row_of_atom[bodies ^ signs]
    if (literals < 0).any():
        program.start_at(start)  # names the rule that mentions a kernel below
    heads = np.concatenate([row_of_atom[kernel_rules.heads], class_rules.heads])
    negated = np.zeros(len(atoms), np.bool_)
    negated[row_of_atom[[atom for atom in program.negated if atom >= given.stop]]] = True

    literals ^= signs
    starts = count_offsets([len(atoms) for atoms in strata])  # of strata, among the places of atoms
    stratum_offsets = np.searchsorted(places[in_order], starts)
    decision = Decision(
        votes=program.has_sums,
        n_classes=len(program.classes),
        default=-1 if program.default is None else program.default,
        base=np.array(program.base or [0.0] * len(program.classes), np.float64),
        vote_offsets=class_rules.vote_offsets,
        vote_classes=class_rules.vote_classes,
        vote_weights=class_rules.vote_weights,
    )
    return Plan(
        n_inputs=len(given),
        n_rows=len(atoms),
        atoms=torch.tensor(atoms, dtype=torch.int64),
        literals=torch.from_numpy(literals),
        offsets=torch.from_numpy(offsets),
        heads=torch.from_numpy(heads),
        strata=torch.from_numpy(stratum_offsets),
        negated=torch.from_numpy(negated),
        n_classes=decision.n_classes,
        votes=decision.votes,
        default=decision.default,
        base=torch.from_numpy(decision.base),
        vote_offsets=torch.tensor(decision.vote_offsets),
        vote_classes=torch.tensor(decision.vote_classes),
        vote_weights=torch.tensor(decision.vote_weights),
        steps=share_work(len(given), literals, offsets, heads.astype(np.int64), stratum_offsets, negated, decision),
    )
