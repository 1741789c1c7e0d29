"""Measure chains: a score for each start layer, minimum leaf and way to grow, on images that no program has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.bits import BitMatrix
from eric_fast.chains.bounds import Bound, Truth, measure_bounds
from eric_fast.described import Described, name_span
from eric_fast.errors import CaptureError, SettingError, say_count
from eric_fast.evaluator import Evaluator
from eric_fast.extract import TreeOptions, complete_options, extract_program
from eric_fast.kernels import Stop, never_stop
from eric_fast.match import check_capture
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import TO_CLASSES, LayerGraph, name_start
from eric_fast.program.simplify import drop_unmentioned
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.score import Score, score_predictions
from eric_fast.store import Source, read_labels, read_predictions
from eric_fast.store.activations import share_correct
from eric_fast.tabular import Columns, Tabular, turn_rows
from eric_fast.training import find_logits, find_quantiser, select_training

WAYS = ("true", "predicted", "direct")
MIN_LEAVES = (0.005,)


@dataclass(frozen=True)
class ChainRow:
    """How one chain does.

    Attributes:
        way: how it was grown: on `true` or on `predicted` bits, or `direct`: no chain, only class rules over the bits
            of the start layer. For the highest layer all three are the same program.
        min_leaf: least number of training images in a leaf (int), or share of them (float).
        score: from its start layer, of the program without rules for kernels that no rule mentions.
        bits_right: layer above the start layer -> share of its bits, over all kernels and all images of `score`, on
            which chain and network agree; empty if there is no chain.
        share_right: the same over all those layers; None if there is no chain.
    """

    way: str
    min_leaf: int | float
    score: Score
    bits_right: Mapping[str, float]
    share_right: float | None

    def to_dict(self) -> dict[str, Any]:
        own = {"way": self.way, "min_leaf": self.min_leaf, **self.score.to_dict(with_confusion=False)}
        return {**own, "share_right": self.share_right, "bits_right": dict(self.bits_right)}


@dataclass(frozen=True, repr=False)
class ChainStudy(Described, Tabular):
    """Chains from every start layer.

    Attributes:
        rules: of the kernels; see `TreeOptions`.
        layers: the chain's layers, lowest first.
        starts: what is given in each: a layer with what runs beside it, `features.9` or `wide,slim`; the lowest first.
        min_leaves: minimum leaves, in the order given; tables by layer show the first.
        n_training_images: images that programs were extracted from.
        n_images: images that programs are scored on.
        model_accuracy: accuracy of the network itself; None if no label is known.
        rows: sorted by minimum leaf, way (`WAYS`) and start layer.
        commonest_class: fidelity of always answering with the commonest class of the training images.
        commoner_value: layer above the lowest -> share of its bits that are right if each kernel always has its
            commoner value in training.
        bounds: lowest layer first; empty if not asked for.

    Examples:
        >>> train, test = ef.load_activations("eric-demo/train"), ef.load_activations("eric-demo/test")
        >>> study = ef.measure_chains(train, test, layers=["conv3.2", "conv4.2"], min_leaves=[0.05])
        >>> study.layers, len(study.rows), study.min_leaves
        (('conv3.2', 'conv4.2'), 6, (0.05,))
    """

    rules: str
    layers: tuple[str, ...]
    starts: tuple[str, ...]
    min_leaves: tuple[int | float, ...]
    n_training_images: int
    n_images: int
    model_accuracy: float | None
    rows: tuple[ChainRow, ...]
    commonest_class: float
    commoner_value: Mapping[str, float]
    bounds: tuple[Bound, ...] = ()

    def list_facts(self) -> Iterator[str]:
        yield f"{self.rules}"
        yield name_span(self.layers, "layer")
        yield say_count(self.n_images, "image")
        yield say_count(len(self.rows), "chain")

    def find_row(self, way: str, start: str, min_leaf: int | float | None = None) -> ChainRow:
        """Find the row of a chain, by default with the first minimum leaf."""
        wanted = (way, start, self.min_leaves[0] if min_leaf is None else min_leaf)
        return next(row for row in self.rows if (row.way, row.score.start_layer, row.min_leaf) == wanted)

    def find_bound(self, layer: str) -> Bound | None:
        return next((bound for bound in self.bounds if bound.layer == layer), None)

    def find_below(self, layer: str) -> str:
        """The highest start from which the kernels of a layer are derived."""
        return next(start for start in reversed(self.starts) if layer in self.find_row("true", start).bits_right)

    def order_leaves(self) -> list[int | float]:
        """Sort minimum leaves from large to small, with shares taken as numbers of images."""
        n_images = self.n_training_images
        return sorted(self.min_leaves, key=lambda leaf: -TreeOptions(min_leaf=leaf).count_min_leaf(n_images))

    def list_tables(self) -> dict[str, Columns]:
        """`chains`: a row for each chain; `bits`: the share of bits right, a row for each chain and layer above."""
        rows = [
            {"way": row.way, "min_leaf": row.min_leaf, "share_right": row.share_right, **_take_row(row.score)}
            for row in self.rows
        ]
        bits = [
            {"way": r.way, "min_leaf": r.min_leaf, "start_layer": r.score.start_layer, "layer": layer, "right": right}
            for r in self.rows
            for layer, right in r.bits_right.items()
        ]
        return {"chains": turn_rows(rows), "bits": turn_rows(bits)}

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "commoner_value": dict(self.commoner_value),
            "rows": [row.to_dict() for row in self.rows],
            "bounds": [asdict(bound) for bound in self.bounds],
        }


def measure_chains(
    train: Source,
    test: Source,
    *,
    layers: str | Sequence[str] | None = "all",
    threshold: str = "mean",
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
        raise SettingError(f"'{names[0]}' is a single layer, but a chain needs at least two; name more, or 'all'")
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
        whole = None
        for start in reversed(names):
            if stop():
                break
            if whole is None:
                own: dict[str, Any] = {"all_kernels": True, "scores": logits, "graph": graph}
                whole = extract_program(bits, quantiser, goal, train.classes, grow, **own)
            for way in WAYS:
                progress("chains", n_done, n_chains)
                program = whole.start_at(start)
                if way == "predicted":
                    own |= {"grown_on": way, "engine": engine, "graph": program.graph}
                    program = extract_program(bits, program.network_quantiser, goal, train.classes, grow, **own)
                elif way == "direct":
                    side = LayerGraph.from_edges(starts[start], [(layer, TO_CLASSES) for layer in starts[start]])
                    atoms = tuple(atom for layer in side.layers for atom in quantiser.atoms_of_layer(layer))
                    alone = Quantiser(atoms, quantiser.norm)
                    program = extract_program(bits, alone, goal, train.classes, grow, scores=logits, graph=side)
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


def _take_row(score: Score) -> dict[str, Any]:
    return {name: column[0] for name, column in score.list_tables()["scores"].items()}


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


def name_leaf(min_leaf: int | float) -> str:
    """Write a minimum leaf: `2,500` for images, `0.5 %` for a share of them."""
    return f"{min_leaf:,}" if isinstance(min_leaf, int) else f"{100 * min_leaf:g} %"


def name_rules(study: ChainStudy) -> str:
    """How large the rules are that tables by layer show."""
    return "weight rules" if study.rules == "weights" else f"minimum leaf {name_leaf(study.min_leaves[0])}"
