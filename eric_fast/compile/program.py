"""Compile: `Program` to `Plan`."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from eric_fast.plan import Plan
from eric_fast.plan.negation import negate_like, strip_negation
from eric_fast.program import Program
from eric_fast.program.class_rules import ClassRules
from eric_fast.program.layer_graph import StartLayers
from eric_fast.program.rules import count_offsets


def compile_program(program: Program, start: StartLayers = None, *, generate: bool = False) -> Plan:
    """The program from a start (the lowest by default; see `Program.layer_to_start`) as flat arrays.

    Row `i` of the plan is, for the inputs, atom `i` of `Program.list_given`; `Program.list_derivable` follows in
    strata. An atom above `start` that has no rules is false (true where it is negated): a row that no rule writes.

    Args:
        generate: on a GPU, answer for classes, the rules of a decision list, and rows by a kernel written for this
            program alone, which is compiled at the first call, in about a minute for 25,000 nodes, and kept in Triton's
            cache. Each set of rows that is asked for, and classes with and without rules, is a kernel of its own.
            Other results (counts, leaves, scores) and other devices are answered as without it. For serving.

    Raises:
        ProgramError: no such layer, or a rule that mentions a kernel below it.
        EricError: `generate`, for a program that adds up votes, or one that is too large.

    Examples:
        >>> plan = ef.compile_program(ef.parse_program(PETS))
        >>> plan.n_inputs, plan.n_classes, plan.literals.tolist()
        (2, 2, [0, -2, 1])
    """
    start = program.graph.find_start(start) if program.layers else None
    index = program.find_index(start) if program.starts else None
    return compile_part(
        program, program.list_given(start), program.list_derivable(start), index=index, generate=generate
    )


def compile_part(
    program: Program,
    given: Sequence[int],
    derived: Collection[int],
    *,
    with_fires: bool = False,
    index: int | None = None,
    generate: bool = False,
) -> Plan:
    """The class rules, and the rules for some of the atoms, on top of atoms whose truth is given.

    Args:
        given: the atoms that are the plan's inputs, in this order.
        derived: the atoms that follow from their rules. These rules and the class rules mention no other atoms.
        with_fires: make each class rule a row instead of letting it decide: where `plan.atoms` is
            `len(program.atoms) + i`, the row is true where class rule `i` fires.
        index: the start, if there are class rules for one alone: those for others never fire. By default that of the
            layers of the given atoms, or in a straight pipe that of the first.
        generate: see `compile_program`.

    Raises:
        ProgramError: a rule mentions an atom of a layer below the given ones.
    """
    if program.starts:
        index = program.find_index(_find_layers(program, given)) if index is None else index
        program = _hold_back_others(program, given[0], index)
    from eric_fast.compile.counters import DecisionArrays  # Numba loads when it is needed
    from eric_fast.compile.share import share_work, spare_sharing
    from eric_fast.compile.sums import split_sums
    from eric_fast.jit import run_plain

    rules, class_rules, n_atoms = program.kernel_arrays, program.class_arrays, len(program.atoms)
    strata = [[atom for atom in atoms if atom in derived] for atoms in program.strata]
    if with_fires:
        strata.append(list(range(n_atoms, n_atoms + len(class_rules))))
        rules = rules.append(class_rules.bodies._replace(heads=np.array(strata[-1], np.int32)))
        class_rules, n_atoms = ClassRules.from_rules([]), n_atoms + len(class_rules)
    with_rules = list(chain.from_iterable(strata))
    place_of_atom = np.full(n_atoms, -1, np.int64)
    place_of_atom[with_rules] = np.arange(len(with_rules))
    places = place_of_atom[rules.heads]
    in_order = np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]
    kernel_rules = rules.take(in_order)

    atoms = list(dict.fromkeys([*given, *with_rules, *derived]))
    row_of_atom = np.full(n_atoms, -1, np.int32)
    row_of_atom[atoms] = np.arange(len(atoms))
    all_rules = kernel_rules.append(class_rules.bodies)
    literals = row_of_atom[strip_negation(all_rules.literals)]
    if (literals < 0).any():
        program.start_at(_find_layers(program, given))  # names the rule that mentions a kernel below
    heads = np.concatenate([row_of_atom[kernel_rules.heads], class_rules.heads])
    negated = np.zeros(len(atoms), np.bool_)
    negated[row_of_atom[[atom for atom in program.negated if atom in derived]]] = True

    literals = negate_like(literals, all_rules.literals)
    starts = count_offsets([len(stratum) for stratum in strata])  # of strata, among the places of atoms
    stratum_offsets = np.searchsorted(places[in_order], starts)
    literals, offsets, sums = split_sums(all_rules, literals, stratum_offsets, len(atoms))
    negated = np.concatenate([negated, np.zeros(len(sums.bounds), np.bool_)])
    decision = DecisionArrays(
        votes=program.decision.adds_weights,
        n_classes=len(program.classes),
        default=-1 if program.default is None else program.default,
        base=np.array(program.full_base, np.float64),
        vote_offsets=class_rules.vote_offsets,
        vote_classes=class_rules.vote_classes,
        vote_weights=class_rules.vote_weights,
    )
    with run_plain(spare_sharing(len(given), len(literals))):
        steps = share_work(
            len(given), literals, offsets, heads.astype(np.int64), stratum_offsets, negated, decision, sums
        )
    return Plan(
        n_inputs=len(given),
        n_rows=len(negated),
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
        sums=sums,
        steps=steps,
        generate=generate,
    )


def _find_layers(program: Program, given: Sequence[int]) -> list[str]:
    """The layers of these atoms; in a straight pipe the first alone."""
    layers = list(dict.fromkeys(program.atoms[atom].layer for atom in given))
    return layers if program.edges else layers[:1]


def _hold_back_others(program: Program, atom: int, index: int) -> Program:
    """The program with the base of one of its starts; class rules for others can't fire. All keep their numbers.

    atom: one whose truth is given.
    """
    base = program.start_bases[index] if program.start_bases else program.base
    never = (atom, ~atom)
    rules = (
        replace(rule, start=None)
        if rule.start in (None, index)
        else replace(rule, body=never, weights=(), bound=0, start=None)
        for rule in program.class_rules
    )
    return replace(program, class_rules=tuple(rules), base=base, starts=(), start_bases=())
