"""From bits to a program."""

from collections.abc import Sequence

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.extract.chain import extract_on_true_bits
from eric_fast.extract.layer import Growth, check_target
from eric_fast.extract.options import TreeOptions
from eric_fast.extract.starts import extract_for_starts, extract_on_predicted_bits
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.kernels import MOST_TREES, Stop, never_stop
from eric_fast.processes import Combine, keep
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import ScaledLogits


def extract_program(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    options: TreeOptions | None = None,
    *,
    grown_on: str = "true",
    all_kernels: bool = False,
    simplify: bool = True,
    n_trees: int = MOST_TREES,
    engine: str = "auto",
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
    combine: Combine = keep,
    scores: ScaledLogits | None = None,
    graph: LayerGraph | None = None,
) -> Program:
    """Extract a program from the lowest layer of the quantiser up to the classes (ERIC, arXiv 2010.09452).

    Every leaf of the class tree becomes a rule of its class. Every leaf that says true in the tree of a kernel becomes
    a rule for that kernel. Kernels get rules only if rules above mention them, unless `all_kernels`. The sizes that the
    same trees have without `simplify` are in the program's settings: `rules_as_grown`, `literals_as_grown`.

    Args:
        bits: the bits of the quantiser's atoms on the training images.
        target: int64 `[n_images]`, class indices: what the model predicts, or the labels; or bool
            `[n_images, n_labels]`, for a program that answers with several labels.
        classes: names of all classes, including those that never occur.
        options: options of all trees; class weights are for the class tree only.
        grown_on: the inputs of the trees: `true` (the network's bits of the layer below), `predicted` (the bits that
            the rules below give; see `extract_on_predicted_bits`) or, for weight rules, `both`; see
            `extract_for_starts`.
        simplify: merge sibling leaves with one answer, and choose the polarity of a kernel that takes fewer literals:
            its rules then say where it is false (`Program.negated`). No answer changes on any input.
        n_trees: see `grow_trees`.
        engine: what evaluates rules if grown on predicted bits; see `predict_bits`.
        stop: asked before each tree of a kernel, from any thread. Once it is true, the program starts at the lowest
            layer above which all trees are finished (grown on predicted bits: it has class rules alone), and that is
            logged.
        combine: sums integers over the processes that share the images; see `Processes.combine`.
        scores: what votes are fitted to; see `scale_logits`. By default the target.
        graph: which layers feed which; it may have others than the quantiser. By default each feeds the next.

    Raises:
        CaptureError: a target that never changes, or not as many targets as images.

    Examples:
        >>> train = ef.load_activations("eric-demo/train")
        >>> quantiser = ef.fit_quantiser(train)
        >>> bits = ef.quantise_activations(train, quantiser)
        >>> options = ef.TreeOptions(min_leaf=50)
        >>> ef.extract_program(bits, quantiser, train.predictions, train.classes, options).layers[-1]
        'conv4.2'
    """
    n_images = check_target(bits, quantiser, target, classes, combine)
    growth = Growth(options or TreeOptions(), simplify, n_trees, progress, stop, combine, scores)
    graph = (graph or LayerGraph(quantiser.layers)).select(quantiser.layers)
    if graph.layers != quantiser.layers:
        atoms = tuple(atom for layer in graph.layers for atom in quantiser.atoms_of_layer(layer))
        quantiser = Quantiser(atoms, quantiser.norm)
    training = TrainingBits(bits, quantiser, graph, target, tuple(classes), n_images)
    has_chain = len(graph.lowest) < len(graph.layers)
    if growth.options.classes_by == "weights" and has_chain and target.ndim == 1:
        return extract_for_starts(training, growth, grown_on=grown_on, all_kernels=all_kernels, engine=engine)
    if grown_on == "predicted":
        return extract_on_predicted_bits(training, growth, all_kernels=all_kernels, engine=engine)
    return extract_on_true_bits(training, growth, all_kernels=all_kernels)
