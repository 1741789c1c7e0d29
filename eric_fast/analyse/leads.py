"""Leads: the points by which a vote's answer is ahead, and how many of them the flip of one bit can take.

An answer with a larger lead stays as it is: such images need no evaluation with that bit flipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.analyse.cut import Cut
from eric_fast.bits import ROW_WORDS, WORD_BITS, BitMatrix, cut_words, mask_tail
from eric_fast.evaluator import Evaluator
from eric_fast.program import Program, atom_of

_Integers = NDArray[np.int64]
_PART_BYTES = 2**26  # of the scores of some samples
_UNIT = WORD_BITS * ROW_WORDS  # samples in a padded row of words


@dataclass(frozen=True, eq=False)
class Leads:
    """Samples by their lead, and what flips can change.

    Attributes:
        samples: int64 `[n_samples]`: the samples, those of the smallest lead first.
        leads: int64 `[n_samples]`: their leads, ascending: the highest sum less the next one; 0 where one flip might
            leave no rule that fires.
        reach: int64 `[n_atoms]`: points by which flipping the atom can change the difference of two sums, at most.
    """

    samples: _Integers
    leads: _Integers
    reach: _Integers

    def count_near(self, atom: int) -> int:
        """How many of the first `samples` contain all those whose answer flipping the atom may change."""
        n_near = int(np.searchsorted(self.leads, self.reach[atom], side="right"))
        return min(len(self.samples), -(-n_near // _UNIT) * _UNIT)


def measure_leads(evaluator: Evaluator, bits: BitMatrix) -> Leads | None:
    """Measure the leads of a program under `vote`; None for others, and for weights that aren't whole.

    Args:
        evaluator: of the program, from the bits of its lowest layer.
        bits: rows are found by name.
    """
    program = evaluator.program
    if not program.decision.adds_weights or len(program.classes) < 2 or not program.has_integer_weights:
        return None
    depends = _find_dependent_rules(program)
    rules, n_classes = program.class_arrays, len(program.classes)
    if not len(rules.vote_weights):
        return None
    weights, starts = rules.vote_weights.astype(np.int64), rules.vote_offsets[:-1]
    highest, lowest = np.maximum.reduceat(weights, starts), np.minimum.reduceat(weights, starts)
    is_partial = np.diff(rules.vote_offsets) < n_classes  # it adds 0 to the others
    spans = np.where(is_partial, highest.clip(0), highest) - np.where(is_partial, lowest.clip(max=0), lowest)
    always_fires = bool((np.diff(rules.offsets) == 0).any())
    most_silenced = 0 if always_fires else int(depends.sum(axis=1).max(initial=0))
    bits, found = bits.select_atoms(evaluator.inputs), []
    size = max(1, _PART_BYTES // (_UNIT * (8 * n_classes + len(spans)))) * _UNIT
    for first in range(0, bits.n_samples, size):
        n = min(size, bits.n_samples - first)
        part = BitMatrix(cut_words(bits.words, first, n), n, bits.atoms)
        top = evaluator.scores(part).topk(2, dim=1).values
        leads = (top[:, 0] - top[:, 1]).long().cpu().numpy()
        if most_silenced:
            leads[evaluator.fires(part).to_bools().sum(dim=1).cpu().numpy() <= most_silenced] = 0
        found.append(leads)
    leads = np.concatenate(found)
    order = np.argsort(leads, kind="stable")
    return Leads(order, leads[order], np.array([spans[row].sum() for row in depends], np.int64))


def flip_atoms(cut: Cut, truth: BitMatrix, leads: Leads | None) -> Iterator[tuple[int, _Integers, Tensor]]:
    """Flip one atom of the cut's level at a time on all samples whose answer that may change.

    Yields: (atom, samples int64 `[n]`, their classes int32 `[n]`).
    """
    names, atoms = cut.evaluator.inputs, cut.given[cut.level].tolist()
    given, samples = truth.select_atoms(names), np.arange(truth.n_samples)
    n_near = dict.fromkeys(atoms, truth.n_samples)
    if leads is not None:
        n_near = {atom: leads.count_near(atom) for atom in atoms}
        samples = leads.samples[: max(n_near.values(), default=0)]
        given = given.select_samples(samples)
    words = given.words.clone()
    everywhere = mask_tail(torch.full_like(words[:1], -1), given.n_samples)[0]
    for place, atom in zip(cut.level, atoms, strict=True):
        n = n_near[atom]
        if not n:
            yield atom, samples[:0], torch.zeros(0, dtype=torch.int32)
            continue
        words[place] ^= everywhere
        near = BitMatrix(cut_words(words, 0, n), n, names)
        flipped = cut.evaluator.classes(near)
        words[place] ^= everywhere
        yield atom, samples[:n], flipped


def _find_dependent_rules(program: Program) -> NDArray[np.bool_]:
    """Which class rules depend on each atom, through others or by themselves: bool `[n_atoms, n_class_rules]`."""
    rules = program.class_arrays
    depends = np.zeros((len(program.atoms), len(program.class_rules)), np.bool_)
    depends[rules.atoms, np.repeat(np.arange(len(program.class_rules)), np.diff(rules.offsets))] = True
    for stratum in reversed(program.strata):
        for head in stratum:
            for rule in program.rules_of_atom[head]:
                depends[[atom_of(literal) for literal in rule.body]] |= depends[head]
    return depends
