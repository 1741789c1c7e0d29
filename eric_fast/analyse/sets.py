"""Sets of images: those on which class rules fire, those of each class, and how two kinds of sets overlap."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, mask_tail
from eric_fast.compile.program import compile_program
from eric_fast.program import Program, Rule
from eric_fast.program.rules import ClassRules


def find_fires(
    program: Program, bits: BitMatrix, rules: Sequence[int], *, start: str | None = None, engine: str = "auto"
) -> BitMatrix:
    """On which samples each of these class rules fires; rows are named `rule 7`, counted from 1 as in the text.

    Args:
        bits: of layer `start` (the lowest by default) at least.
        rules: indices of class rules.

    Raises:
        ProgramError: no such layer, or the program can't start there.
    """
    part = program.start_at(start) if program.layers else program
    n_atoms = len(part.atoms)
    unused = "r" * (1 + max((len(atom.name) for atom in part.atoms), default=0))  # longer than any name
    names = tuple(f"{unused}{rule}" for rule in rules)
    bodies = tuple(Rule(n_atoms + i, part.class_rules[rule].body) for i, rule in enumerate(rules))
    asked = Program(
        quantiser=part.quantiser,
        classes=(),
        class_rules=ClassRules.from_rules([]),
        kernel_rules=(*part.kernel_rules, *bodies),
        negated=part.negated,
        decision="bits",
        derived=(*part.derived, *names),
        outputs=tuple((name, n_atoms + i) for i, name in enumerate(names)),
    )
    plan = compile_program(asked)
    inputs = bits.select_atoms([asked.atoms[atom].name for atom in plan.atoms[: plan.n_inputs].tolist()])
    row_of_atom = {atom: row for row, atom in enumerate(plan.atoms.tolist())}
    rows = tuple(row_of_atom[n_atoms + i] for i in range(len(names)))
    outcome = kernels.evaluate(plan, inputs.words, bits.n_samples, engine=engine, classes=False, rules=False, rows=rows)
    assert outcome.rows is not None
    return BitMatrix(outcome.rows, bits.n_samples, tuple(f"rule {rule + 1}" for rule in rules))


def pack_classes(classes: Tensor, names: Sequence[str]) -> BitMatrix:
    """The images of each class: `classes` are integers `[n_images]`, indices of `names` or -1 for none of them."""
    return BitMatrix.from_bools(classes[:, None] == torch.arange(len(names), device=classes.device), names)


def count_true(words: Tensor, n_samples: int, *, engine: str = "auto") -> NDArray[np.int64]:
    """int64 `[n_atoms]`: on how many samples each row is true."""
    everywhere = mask_tail(words.new_full((1, words.shape[1]), -1), n_samples)
    return kernels.count(words, everywhere, engine=engine)[0].cpu().numpy().astype(np.int64)
