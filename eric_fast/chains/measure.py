"""Measure chains: a score for each start layer, minimum leaf and way to grow, on images that no program has seen."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.bits import BitMatrix
from eric_fast.chains.bounds import Truth, measure_bounds
from eric_fast.chains.study import MIN_LEAVES, WAYS, ChainRow, ChainStudy
from eric_fast.errors import CaptureError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.evaluator.match import check_capture
from eric_fast.extract import TreeOptions, complete_options, extract_program
from eric_fast.kernels import Stop, never_stop
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import TO_CLASSES, LayerGraph, name_start
from eric_fast.program.simplify import drop_unmentioned
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.score import Score, score_predictions
from eric_fast.store import Source, read_labels, read_predictions
from eric_fast.store.activations import share_correct
from eric_fast.training import find_logits, find_quantiser, select_training


def measure_chains(
    train: Source,
    test: Source,
    *,
    layers: str | Sequence[str] | None = "all",
    threshold: str = "split",
    target: str = "model",
    options: TreeOptions | None = None,
    min_leaves: Sequence[int | float] = MIN_LEAVES,
    with_bounds: bool = False,
    engine: str = "auto",
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
) -> ChainStudy:
    """Extract a chain from each layer up, grown on true and on predicted bits, and score each on other images.

    For comparison, class rules are also grown on each layer's bits without a chain: a chain must beat them to be worth
    its size.

    Args:
        train: images for thresholds, programs and bounds.
        test: images that everything is measured on.
        layers: of the chain, at least two; see `match_layers`.
        threshold: see `approximate_model`.
        target: see `approximate_model`.
        options: how rules are learned; their minimum leaf is replaced by each of `min_leaves`.
        min_leaves: minimum leaves to try.
        with_bounds: also measure what the bits allow, by scikit-learn's gradient boosting: minutes for 50,000 images.
        engine: see `Evaluator`.
        progress: told how far the work is.
        stop: asked before each start layer, from the last one down, whether to end. What is finished is kept: layers
            from the last one down at the first minimum leaf, or minimum leaves that are finished for all layers.

    Raises:
        SettingError: fewer than two layers, no minimum leaf, or one given twice; stopped before anything was finished.
        CaptureError: the captures don't belong together, or one has no images; see also `approximate_model`.

    Examples:
        >>> train, test = ef.load_activations("eric-demo/train"), ef.load_activations("eric-demo/test")
        >>> study = ef.measure_chains(train, test, layers=["conv3.2", "conv4.2"], min_leaves=[0.05])
        >>> [(row.way, row.score.start_layer) for row in study.rows][:2]
        [('true', 'conv3.2'), ('true', 'conv4.2')]
    """
    options = options or TreeOptions()
    all_options = [replace(options, min_leaf=min_leaf) for min_leaf in min_leaves]
    if not all_options or len(set(min_leaves)) < len(min_leaves):
        raise SettingError("chains need at least one minimum leaf, each given once only")
    if train.settings.has_labels:
        raise SettingError(
            "chain measures classes, and this network answers with several labels; extract with --layers all, and "
            "score with evaluate --chains"
        )
    wanted = complete_options(options, {"layers": layers, "threshold": threshold, "target": target})
    training = select_training(train, wanted)
    graph, goal = training.graph, training.targets
    starts = {name_start(cut): cut for cut in graph.list_cuts()}
    names = list(starts)
    if len(names) < 2:
        what = "is a single layer" if len(graph.layers) == 1 else "stand side by side"
        raise SettingError(
            f"'{names[0]}' {what}, but a chain needs at least two layers, one above the other; name more, or 'all'"
        )
    if train.settings.fingerprint != test.settings.fingerprint:
        raise CaptureError(
            f"the two captures are of different models (fingerprints {train.settings.fingerprint[:12]} and "
            f"{test.settings.fingerprint[:12]}); capture both sets of images with one model"
        )
    quantiser = find_quantiser(training, wanted, progress=progress)
    empty = Program(quantiser, train.classes, (), fingerprint=train.settings.fingerprint)
    check_capture(empty, test, graph.layers)
    if not test.n_images:
        raise CaptureError("the test capture has no images to score chains on")
    bits = quantise_activations(training, quantiser)
    logits = find_logits(training, wanted)
    truth = Truth(quantise_activations(test, quantiser), read_predictions(test), read_labels(test))

    done: dict[int | float, list[ChainRow]] = {}
    n_done = 0
    n_chains = len(all_options) * len(WAYS) * len(names)
    for grow in all_options:
        learn = partial(extract_program, bits, target=goal, classes=train.classes, options=grow, scores=logits)
        whole = None
        for start in reversed(names):
            if stop():
                break
            if whole is None:
                whole = learn(quantiser=quantiser, graph=graph, all_kernels=True)
            for way in WAYS:
                progress("chains", n_done, n_chains)
                program = whole.start_at(start)
                if way == "predicted":
                    own, feeding = program.network_quantiser, program.graph
                    program = learn(quantiser=own, graph=feeding, all_kernels=True, grown_on=way, engine=engine)
                elif way == "direct":
                    side = LayerGraph.from_edges(starts[start], [(layer, TO_CLASSES) for layer in starts[start]])
                    atoms = tuple(atom for layer in side.layers for atom in quantiser.atoms_of_layer(layer))
                    program = learn(quantiser=Quantiser(atoms, quantiser.norm), graph=side)
                score, right, share = _score_chain(program, truth, engine)
                done.setdefault(grow.min_leaf, []).append(ChainRow(way, grow.min_leaf, score, right, share))
                n_done += 1
    first = done.get(min_leaves[0])
    if first is None:
        raise SettingError("stopped before the first chain was finished; nothing is kept")
    names = names[-(len(first) // len(WAYS)) :]
    above = graph.take_above(starts[names[0]])
    finished = [leaf for leaf in min_leaves if len(done.get(leaf, ())) == len(first)]
    by_start = {name: place for place, name in enumerate(names)}
    rows = [
        row
        for leaf in finished
        for row in sorted(done[leaf], key=lambda r: (WAYS.index(r.way), by_start[r.score.start_layer]))
    ]
    progress("chains", n_chains, n_chains)

    n_classes = len(train.classes)
    commonest = torch.bincount(goal, minlength=n_classes).argmax()
    return ChainStudy(
        rules=options.kernels_by,
        layers=above.layers,
        starts=tuple(names),
        min_leaves=tuple(finished),
        n_training_images=training.n_images,
        n_images=test.n_images,
        model_accuracy=share_correct(truth.predictions, truth.labels),
        rows=tuple(rows),
        commonest_class=(truth.predictions == commonest).double().mean().item(),
        commoner_value={
            layer: _score_commoner_value(bits.select_atoms(quantiser.names_of_layer[layer]), truth.bits)
            for layer in above.layers
            if above.sources[layer]
        },
        bounds=tuple(measure_bounds(bits, truth, quantiser, starts, goal, progress))
        if with_bounds and not stop()
        else (),
    )


def _score_chain(program: Program, truth: Truth, engine: str) -> tuple[Score, dict[str, float], float | None]:
    """Its score, and the share of bits right of each layer above its lowest and of all of them."""
    program = program.start_at()
    start = program.layer_to_start()
    evaluator = Evaluator(program, engine=engine)
    predictions, derived = evaluator.predict(truth.bits), evaluator.truth(truth.bits)
    n_wrong = {
        layer: _count_differing(derived.select_atoms(program.quantiser.names_of_layer[layer]), truth.bits)
        for layer in program.layers
        if program.graph.sources[layer]
    }
    n_bits = {layer: len(program.quantiser.rows_of_layer[layer]) * truth.bits.n_samples for layer in n_wrong}
    score = score_predictions(drop_unmentioned(program), start, predictions, truth.predictions, truth.labels)
    right = {layer: 1 - wrong / n_bits[layer] for layer, wrong in n_wrong.items()}
    return score, right, 1 - sum(n_wrong.values()) / sum(n_bits.values()) if n_wrong else None


def _score_commoner_value(training: BitMatrix, truth: BitMatrix) -> float:
    """Find the share of right bits if each atom always has its commoner value in training (true on a tie)."""
    n_true = np.bitwise_count(_view(training)).sum(axis=1, dtype=np.int64)
    found = np.bitwise_count(_view(truth.select_atoms(training.atoms))).sum(axis=1, dtype=np.int64)
    right = np.where(2 * n_true >= training.n_samples, found, truth.n_samples - found)
    return float(right.sum() / (len(right) * truth.n_samples))


def _count_differing(bits: BitMatrix, truth: BitMatrix) -> int:
    """Count bits that differ from those of the same atoms in `truth`."""
    return int(np.bitwise_count(_view(bits) ^ _view(truth.select_atoms(bits.atoms))).sum(dtype=np.int64))


def _view(bits: BitMatrix) -> NDArray[np.uint32]:
    return bits.words.cpu().numpy().view(np.uint32)
