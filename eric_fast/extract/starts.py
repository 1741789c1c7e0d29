"""A chain whose classes have votes of their own for each start: fitted to what the rules below predict from there."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.extract.chain import extract_on_true_bits
from eric_fast.extract.layer import GrownClasses, Growth, Size, list_sizes_grown
from eric_fast.extract.learn import add_layer, learn_classes, learn_layer
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.simplify import drop_unmentioned, find_mentioned

logger = logging.getLogger(__name__)


class LearnedChain(NamedTuple):
    """Rules for the kernels of all layers but the lowest, and votes for each start.

    Attributes:
        program: without class rules.
        votes: start layer -> its class rules, the lowest layer first.
        sizes_grown: kernel -> the size of its rules without simplifying.
    """

    program: Program
    votes: dict[str, GrownClasses]
    sizes_grown: dict[int, Size]


def extract_for_starts(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
    *,
    grown_on: str = "true",
    all_kernels: bool = False,
    engine: str = "auto",
) -> Program:
    """`extract_program` from the lowest layer up, with votes for each start.

    The rules of a layer are learned from the network's bits of the layer below (`true`), from those that the rules
    predict from the lowest layer (`predicted`), or from the counts of all of these together, from every start below
    (`both`). The votes of a start are fitted to the bits that the rules predict from it: to errors as they are in use.
    With `vote_layers` as `all` they also draw on the start's own bits, and on those of the layers between.
    """
    chain = learn_chain(bits, quantiser, target, classes, n_images, growth, grown_on=grown_on, engine=engine)
    if chain is None:
        logger.warning("stopped before the rules of all layers were learned: there are class rules alone")
        alone = Quantiser(quantiser.atoms_of_layer(quantiser.layers[-1]), quantiser.norm)
        return extract_on_true_bits(bits, alone, target, classes, n_images, growth)
    votes = list(chain.votes.values())
    program = replace(
        votes[0].complete(chain.program),
        class_rules=tuple(replace(rule, start=start) for start, own in enumerate(votes) for rule in own.rules),
        base=(),
        starts=tuple((layer,) for layer in chain.votes),
        start_bases=tuple(own.base for own in votes),
    )
    kept = set(chain.sizes_grown) if all_kernels else find_mentioned(program)
    sizes = [own.size_grown for own in votes] + [size for head, size in chain.sizes_grown.items() if head in kept]
    program = replace(program, settings=list_sizes_grown(sizes))
    return program if all_kernels else drop_unmentioned(program)


def learn_chain(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
    *,
    grown_on: str,
    engine: str = "auto",
) -> LearnedChain | None:
    """Learn rules for all kernels, then votes for each start; None if `growth.stop` came before."""
    layers, rows = quantiser.layers, quantiser.rows_of_layer
    program = Program(quantiser, tuple(classes), (), n_images=n_images)
    found = {layers[0]: bits.select_atoms(quantiser.names_of_layer[layers[0]])}  # start -> bits of the layer at hand
    sizes_grown: dict[int, Size] = {}
    for below, layer in pairwise(layers):
        targets = bits.select_atoms(quantiser.names_of_layer[layer])
        every = list(found.values())  # the network's own bits are the last
        inputs = {"true": every[-1:], "predicted": every[:1], "both": every}[grown_on]
        part = learn_layer(rows[layer], targets, inputs, rows[below].start, len(program.atoms), growth)
        if part is None:
            return None
        program = add_layer(program, part)
        sizes_grown |= zip(rows[layer], part.sizes_grown, strict=True)
        evaluator = Evaluator(program, below, engine=engine)
        found = {start: evaluator.truth(own, targets.atoms) for start, own in found.items()}
        found[layer] = targets
    votes = {}
    for start, predicted in found.items():
        first, own = rows[layers[-1]].start, predicted
        if growth.options.vote_layers == "all":
            first = rows[start].start
            names = [name for layer in layers for name in quantiser.names_of_layer[layer]]
            own = Evaluator(program, start, engine=engine).truth(bits, names[first:])
        votes[start] = learn_classes(target, len(classes), own, first, len(program.atoms), growth)
    return LearnedChain(program, votes, sizes_grown)
