"""Prune: drop literals and rules for a bounded loss on images that the program's trees didn't see."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import SettingError
from eric_fast.program import Program, Rule, atom_of
from eric_fast.progress import Progress, ignore_progress

_AnyRule = TypeVar("_AnyRule", bound=Rule)
Words = NDArray[np.uint32]


def choose_held_back(ids: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Choose about this share of the images by a hash of their names, whatever their order: bool `[n_images]`."""
    return np.array([crc32(name.encode()) < share * 2**32 for name in ids], np.bool_)


def prune_program(
    program: Program, bits: BitMatrix, target: Tensor, max_loss: float, *, progress: Progress = ignore_progress
) -> Program:
    """Drop rules, then literals, one after another, as long as the loss on these images stays within a bound.

    The class rules by the share of images on which they give `target` from the bits of the layers they mention; the
    rules of each kernel by the share on which they give its bit from those below, all of them true bits. Neither falls
    more than `max_loss` below what it was as extracted. Rules that cover least go first, of a rule its last literals.
    A literal leaves a weight body as if it were never true or, where that costs too much, as if it always were.
    Kernels that no rule mentions any more, and did, lose their rules. A rule that lost a literal has no support.

    Under `first` without a default class the most frequent target becomes it: what is dropped must go somewhere.

    Args:
        program: as extracted, decided by `first`.
        bits: of all its atoms, on held-back images.
        target: int64 `[n_images]`, class indices.
        max_loss: a share of the images, from 0.

    Raises:
        SettingError: the program decides by votes. EricError: an atom without bits.
    """
    if not program.decision.takes_first:
        raise SettingError(f"only programs with decision 'first' can be pruned; this one's is '{program.decision}'")
    n_classes = len(program.classes)
    rows = _view(bits.select_atoms([atom.name for atom in program.atoms]).words)
    valid = _view(pack_bits(target[:, None] >= 0))[0]
    of_class = _view(pack_bits(target[:, None] == target.new_tensor(range(n_classes))))
    allowed = int(max_loss * bits.n_samples)

    default = program.default
    if default is None:
        default = int(np.bitwise_count(of_class).sum(axis=1, dtype=np.int64).argmax())

    def count_class_hits(rules: Sequence[Rule], fires: Sequence[Words]) -> int:
        undecided, hits = valid.copy(), 0
        for rule, fired in zip(rules, fires, strict=True):
            hits += _count(fired & undecided & of_class[rule.head])
            undecided &= ~fired
        return hits + _count(undecided & of_class[default])

    stages = 1 + len(program.rules_of_atom)
    class_rules = _drop(program.class_rules, rows, valid, count_class_hits, allowed)
    progress("pruning", 1, stages)
    kernel_rules: list[Rule] = []
    unneeded: set[int] = set()
    was_mentioned, is_mentioned = _mention(program.class_rules), _mention(class_rules)
    for done, (head, of_head) in enumerate(sorted(program.rules_of_atom.items(), reverse=True), 2):
        was_mentioned |= _mention(of_head)
        if head in is_mentioned or head not in was_mentioned:
            truth = valid & ~rows[head] if head in program.negated else rows[head]

            def count_kernel_hits(rules: Sequence[Rule], fires: Sequence[Words], truth: Words = truth) -> int:
                fired = np.bitwise_or.reduce([*fires, np.zeros_like(valid)])
                return -_count(fired ^ truth)

            kept = _drop(of_head, rows, valid, count_kernel_hits, allowed)
            is_mentioned |= _mention(kept)
            kernel_rules = [*kept, *kernel_rules]
        else:
            unneeded.add(head)
        progress("pruning", done, stages)
    return replace(
        program,
        class_rules=tuple(class_rules),
        kernel_rules=tuple(kernel_rules),
        negated=tuple(atom for atom in program.negated if atom not in unneeded),
        default=default,
    )


def _drop(
    rules: Sequence[_AnyRule],
    rows: Words,
    valid: Words,
    count_hits: Callable[[Sequence[Rule], Sequence[Words]], int],
    allowed: int,
) -> list[_AnyRule]:
    """What is left of these rules."""

    kept, fires = list(rules), [_fire(rule, rows, valid) for rule in rules]
    floor = count_hits(kept, fires) - allowed
    for i in sorted(range(len(kept)), key=lambda i: (_count(fires[i]), i)):
        place = next(j for j, rule in enumerate(kept) if rule is rules[i])
        fewer, fewer_fires = kept[:place] + kept[place + 1 :], fires[:place] + fires[place + 1 :]
        if count_hits(fewer, fewer_fires) >= floor:
            kept, fires = fewer, fewer_fires
    for place in range(len(kept)):
        for literal in reversed(kept[place].body):
            for fewer_literals in _list_without(kept[place], literal):
                wider = [*fires[:place], _fire(fewer_literals, rows, valid), *fires[place + 1 :]]
                if count_hits(kept, wider) >= floor:
                    fires = wider
                    kept[place] = fewer_literals.forget_support()
                    break
    return kept


def _fire(rule: Rule, rows: Words, valid: Words) -> Words:
    """Where the body is true."""
    literals = [rows[literal] if literal >= 0 else ~rows[~literal] for literal in rule.body]
    if not rule.bound:
        everywhere: Words = np.bitwise_and.reduce([valid, *literals])
        return everywhere
    sums = np.zeros(valid.size * 32, np.int64)
    for words, weight in zip(literals, rule.weights, strict=True):
        sums += weight * np.unpackbits(words.view(np.uint8), bitorder="little").astype(np.int64)
    fired: Words = np.packbits(sums >= rule.bound, bitorder="little").view(np.uint32)
    return fired & valid


def _list_without(rule: _AnyRule, literal: int) -> list[_AnyRule]:
    """The rule without a literal: of a weight body as if it were false, and as if it were true."""
    kept = [other for other in rule.body if other != literal]
    if not rule.bound:
        return [replace(rule, body=tuple(kept))]
    weight_of = dict(zip(rule.body, rule.weights, strict=True))
    weights = tuple(weight_of[other] for other in kept)
    return [
        replace(rule, body=tuple(kept), weights=weights, bound=bound)
        for bound in (rule.bound, rule.bound - weight_of[literal])
        if 0 < bound <= sum(weights)
    ]


def _mention(rules: Sequence[Rule]) -> set[int]:
    return {atom_of(literal) for rule in rules for literal in rule.body}


def _view(words: Tensor) -> Words:
    return words.cpu().numpy().view(np.uint32)


def _count(words: Words) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))
