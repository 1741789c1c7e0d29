"""Chains from the lowest layer up, learned from what their own rules predict: for one start, or with votes for each."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from eric_fast.evaluator import Evaluator
from eric_fast.extract.chain import extract_classes_alone
from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import GrownClasses, Growth, Size, list_sizes_grown
from eric_fast.extract.layer_bits import LayerBits
from eric_fast.extract.learn import add_layer, learn_classes, learn_layer
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.program import Program
from eric_fast.program.layer_graph import TO_CLASSES
from eric_fast.program.simplify import drop_unmentioned, find_mentioned

logger = logging.getLogger(__name__)


class LearnedChain(NamedTuple):
    """Rules for the kernels of all layers but the lowest, and class rules for each start.

    Attributes:
        program: without class rules.
        classes: for each start, the lowest first.
        sizes_grown: kernel -> the size of its rules without simplifying.
    """

    program: Program
    classes: list[GrownClasses]
    sizes_grown: dict[int, Size]


def extract_on_predicted_bits(
    training: TrainingBits, growth: Growth, *, all_kernels: bool = False, engine: str = "auto"
) -> Program:
    """`extract_program` from the lowest layer up, for a program that is started there.

    The bits of the lowest layer are the network's. Rules for all kernels of the next layer are learned from them. The
    bits that these rules give on the training images are the inputs of the layer above, and so on up to the classes.
    The targets are the network's own bits throughout. So rules make the best of inputs that are often wrong, as they
    are in use. Started at a higher layer, on true bits, the program is worse than one that was grown on those.

    The `covered` and `correct` of a rule count training images by the bits that it was grown on.
    """
    chain = _learn_chain(training, growth, [training.graph.lowest], "predicted", engine)
    if chain is None:
        return extract_classes_alone(training, growth)
    (classes,) = chain.classes
    program = replace(
        chain.program,
        kernel_rules=(*chain.program.kernel_rules, *classes.exceptions),
        derived=name_exceptions(len(chain.program.derived) + count_heads(classes.exceptions)),
    )
    return _finish(classes.complete(program), chain, all_kernels)


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
    cuts = training.graph.list_cuts()
    chain = _learn_chain(training, growth, cuts, grown_on, engine)
    if chain is None:
        return extract_classes_alone(training, growth)
    votes = chain.classes
    program = replace(
        votes[0].complete(chain.program),
        class_rules=tuple(replace(rule, start=start) for start, own in enumerate(votes) for rule in own.rules),
        base=(),
        starts=tuple(cuts),
        start_bases=tuple(own.base for own in votes),
    )
    return _finish(program, chain, all_kernels)


def _learn_chain(
    training: TrainingBits, growth: Growth, cuts: Sequence[tuple[str, ...]], grown_on: str, engine: str
) -> LearnedChain | None:
    """Learn rules for all kernels, then class rules for each of the starts `cuts`; None if `growth.stop` came first."""
    quantiser, graph = training.quantiser, training.graph
    program = Program(quantiser, training.classes, (), n_images=training.n_images, edges=graph.edges)
    starts = [LayerBits(training, cut) for cut in cuts]
    network = LayerBits(training, graph.layers)
    sizes_grown: dict[int, Size] = {}
    for layer in graph.layers:
        if not graph.sources[layer]:
            continue
        inputs, rows = training.find_inputs(layer), quantiser.rows_of_layer[layer]
        targets = training.select_layer(layer)
        given = network.gather(layer)
        below = [found for found in starts if layer in found.above]
        # From a start that has all layers that feed this one, its inputs are the network's own bits: the last lot.
        lots = [given if found.cut.issuperset(graph.sources[layer]) else found.gather(layer) for found in below]
        every = [*(lot for lot in lots if lot is not given), given]
        chosen = {"true": every[-1:], "predicted": every[:1], "both": every}[grown_on]
        part = learn_layer(rows, targets, chosen, inputs.atoms, len(program.atoms), growth)
        if part is None:
            logger.warning("stopped before the rules of layer '%s' were learned: there are class rules alone", layer)
            return None
        program = add_layer(program, part)
        sizes_grown |= zip(rows, part.sizes_grown, strict=True)
        evaluator = Evaluator(program, given=inputs.names, wanted=targets.atoms, engine=engine)
        for found, lot in zip(below, lots, strict=True):
            found.add(layer, evaluator.truth(lot, targets.atoms))
    classes = []
    for cut, found in zip(cuts, starts, strict=True):
        inputs, own = training.find_inputs(TO_CLASSES), found.gather(TO_CLASSES)
        if growth.options.vote_layers == "all":
            inputs = training.list_inputs(graph.take_above(cut).layers)
            own = Evaluator(program, cut, engine=engine).truth(training.bits, inputs.names)
        n_classes, first_derived = len(training.classes), len(program.atoms)
        classes.append(learn_classes(training.target, n_classes, own, inputs.atoms, first_derived, growth))
    return LearnedChain(program, classes, sizes_grown)


def _finish(program: Program, chain: LearnedChain, all_kernels: bool) -> Program:
    """The program with the sizes that it was grown with, without rules for kernels that no rule mentions."""
    kept = set(chain.sizes_grown) if all_kernels else find_mentioned(program)
    sizes = [own.size_grown for own in chain.classes] + [
        size for head, size in chain.sizes_grown.items() if head in kept
    ]
    program = replace(program, settings=list_sizes_grown(sizes))
    return program if all_kernels else drop_unmentioned(program)
