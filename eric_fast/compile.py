"""Compile: `Program` to `Plan`."""

from collections.abc import Iterable
from itertools import chain

import torch

from eric_fast.plan import Plan
from eric_fast.program import Program, sort_topologically


def compile_program(program: Program, start: str | None = None) -> Plan:
    """The program from layer `start` (the lowest by default) as flat arrays.

    Row `i` of the plan is, for the inputs, atom `i` of layer `start`; the derived rows follow in strata. An atom
    above `start` that has no rules is false: a derived row that no rule writes.

    Raises:
        ProgramError: no such layer, or a rule that mentions a kernel below it.
    """
    n_left_out = program.quantiser.rows_of_layer[program.layer_to_start(start)].start if program.layers else 0
    if n_left_out:
        program = program.start_at(start)
    n_inputs = len(program.quantiser.rows_of_layer[program.layers[0]]) if program.layers else 0
    strata = sort_topologically(program)
    atom_of_row = list(dict.fromkeys([*range(n_inputs), *chain.from_iterable(strata), *range(len(program.atoms))]))
    row_of_atom = {atom: row for row, atom in enumerate(atom_of_row)}

    kernel_rules = [rule for atoms in strata for atom in atoms for rule in program.rules_of_atom[atom]]
    rules = [*kernel_rules, *program.class_rules]
    votes = [((rule.head, rule.weight), *rule.also) for rule in program.class_rules]

    def rows(body: tuple[int, ...]) -> list[int]:
        return [row_of_atom[lit] if lit >= 0 else ~row_of_atom[~lit] for lit in body]

    return Plan(
        n_inputs=n_inputs,
        n_rows=len(atom_of_row),
        atoms=torch.tensor(atom_of_row, dtype=torch.int64) + n_left_out,
        literals=torch.tensor([row for rule in rules for row in rows(rule.body)], dtype=torch.int32),
        offsets=_offsets(len(rule.body) for rule in rules),
        heads=torch.tensor(
            [row_of_atom[rule.head] for rule in kernel_rules] + [rule.head for rule in program.class_rules],
            dtype=torch.int32,
        ),
        strata=_offsets(sum(len(program.rules_of_atom[atom]) for atom in atoms) for atoms in strata),
        n_classes=len(program.classes),
        votes=program.decision == "vote",
        default=-1 if program.default is None else program.default,
        base=torch.tensor(program.base or [0.0] * len(program.classes), dtype=torch.float64),
        vote_offsets=_offsets(len(adds) for adds in votes),
        vote_classes=torch.tensor([output for adds in votes for output, _ in adds], dtype=torch.int32),
        vote_weights=torch.tensor([weight for adds in votes for _, weight in adds], dtype=torch.float64),
    )


def _offsets(lengths: Iterable[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
