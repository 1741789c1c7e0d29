"""A chain whose classes have votes of their own for each start: fitted to what the rules below predict from there."""

import logging
from dataclasses import replace
from typing import NamedTuple

from eric_fast.evaluator import Evaluator
from eric_fast.extract.chain import extract_classes_alone
from eric_fast.extract.layer import GrownClasses, Growth, Size, list_sizes_grown
from eric_fast.extract.layer_bits import LayerBits
from eric_fast.extract.learn import add_layer, learn_classes, learn_layer
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.program import Program
from eric_fast.program.layer_graph import TO_CLASSES
from eric_fast.program.simplify import drop_unmentioned, find_mentioned

logger = logging.getLogger(__name__)


class LearnedChain(NamedTuple):
    """Rules for the kernels of all layers but the lowest, and votes for each start.

    Attributes:
        program: without class rules.
        votes: start -> its class rules, the lowest first.
        sizes_grown: kernel -> the size of its rules without simplifying.
    """

    program: Program
    votes: dict[tuple[str, ...], GrownClasses]
    sizes_grown: dict[int, Size]


def extract_for_starts(
    training: TrainingBits,
    growth: Growth,
    *,
    grown_on: str = "true",
    all_kernels: bool = False,
    engine: str = "auto",
) -> Program:
    """`extract_program` from the lowest layer up, with votes for each start.

    The rules of a layer are learned from the network's bits of the layers that feed it (`true`), from what the rules
    predict from the lowest layer (`predicted`), or from the counts of all of these together, from every start below
    (`both`). The votes of a start are fitted to the bits that the rules predict from it: to errors as they are in use.
    With `vote_layers` as `all` they also draw on the start's own bits, and on those of the layers between.
    """
    chain = learn_chain(training, growth, grown_on=grown_on, engine=engine)
    if chain is None:
        logger.warning("stopped before the rules of all layers were learned: there are class rules alone")
        return extract_classes_alone(training, growth)
    votes = list(chain.votes.values())
    program = replace(
        votes[0].complete(chain.program),
        class_rules=tuple(replace(rule, start=start) for start, own in enumerate(votes) for rule in own.rules),
        base=(),
        starts=tuple(chain.votes),
        start_bases=tuple(own.base for own in votes),
    )
    kept = set(chain.sizes_grown) if all_kernels else find_mentioned(program)
    sizes = [own.size_grown for own in votes] + [size for head, size in chain.sizes_grown.items() if head in kept]
    program = replace(program, settings=list_sizes_grown(sizes))
    return program if all_kernels else drop_unmentioned(program)


def learn_chain(training: TrainingBits, growth: Growth, *, grown_on: str, engine: str = "auto") -> LearnedChain | None:
    """Learn rules for all kernels, then votes for each start; None if `growth.stop` came before."""
    quantiser, graph = training.quantiser, training.graph
    program = Program(quantiser, training.classes, (), n_images=training.n_images, edges=graph.edges)
    starts = {cut: LayerBits(training, cut) for cut in graph.list_cuts()}
    network = LayerBits(training, graph.layers)
    sizes_grown: dict[int, Size] = {}
    for layer in graph.layers:
        if not graph.sources[layer]:
            continue
        inputs, rows = training.find_inputs(layer), quantiser.rows_of_layer[layer]
        targets = training.select_layer(layer)
        given = network.gather(layer)
        below = [found for found in starts.values() if layer in found.above]
        # From a start that has all layers that feed this one, its inputs are the network's own bits: the last lot.
        lots = [given if found.cut.issuperset(graph.sources[layer]) else found.gather(layer) for found in below]
        every = [*(lot for lot in lots if lot is not given), given]
        chosen = {"true": every[-1:], "predicted": every[:1], "both": every}[grown_on]
        part = learn_layer(rows, targets, chosen, inputs.atoms, len(program.atoms), growth)
        if part is None:
            return None
        program = add_layer(program, part)
        sizes_grown |= zip(rows, part.sizes_grown, strict=True)
        evaluator = Evaluator(program, given=inputs.names, wanted=targets.atoms, engine=engine)
        for found, lot in zip(below, lots, strict=True):
            found.add(layer, evaluator.truth(lot, targets.atoms))
    votes = {}
    for start, found in starts.items():
        inputs, own = training.find_inputs(TO_CLASSES), found.gather(TO_CLASSES)
        if growth.options.vote_layers == "all":
            inputs = training.list_inputs(graph.take_above(start).layers)
            own = Evaluator(program, start, engine=engine).truth(training.bits, inputs.names)
        n_classes = len(training.classes)
        votes[start] = learn_classes(training.target, n_classes, own, inputs.atoms, len(program.atoms), growth)
    return LearnedChain(program, votes, sizes_grown)
