"""Whole runs: from a source to a program, and what a program answers on a source.

Runs read their source part by part, in bounded memory, and several processes can share one. The result is the same for
every kind of source, size of parts and number of processes.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, ProgramError, say_count
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.extract import ExtractOptions, TreeOptions, check_label_options, complete_options, extract_program
from eric_fast.kernels import MOST_TREES, Stop, never_stop
from eric_fast.label_score import LabelScore, score_labels, start_label_tally
from eric_fast.match import check_capture
from eric_fast.memory import count_fitting, find_free_memory, find_used_memory
from eric_fast.processes import Processes
from eric_fast.program import Program
from eric_fast.program.labels import name_units
from eric_fast.program.layer_graph import StartLayers
from eric_fast.program.prune import choose_held_back, prune_program
from eric_fast.program.simplify import simplify_program
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import pack_part, quantise_activations
from eric_fast.score import FEW_IMAGES, Score, ScoreList, score_tally, start_tally
from eric_fast.store import SHARD_SIZE, SHARD_UNIT, Part, Selection, Source, cut_parts, hash_images, split_selection
from eric_fast.training import choose_options, find_logits, find_quantiser, say_grid, select_training

logger = logging.getLogger(__name__)


def approximate_model(
    source: Source,
    options: TreeOptions | None = None,
    *,
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
    **changes: Any,
) -> Program:
    """Extract a program from training images: fit thresholds, quantise, grow trees, prune.

        approximate_model(train, layers="all", min_leaf=50)
        approximate_model(train, TreeOptions(min_leaf=50), layers="all")

    Norms are read part by part. The bits of the chain's layers stay in memory, in each process those of its own images.
    The stored bits of a capture without norms are used with the thresholds that they were made with.

    Args:
        source: the training images; nothing else is read.
        options: `ExtractOptions`, or `TreeOptions` if only these differ from the defaults.
        processes: the processes that share the images; this process alone by default.
        memory: bytes that this process may use at most. The number of images that are read, and of trees that grow, at
            the same time adapts to it. By default what is used already and half of what is free.
        stop: see `extract_program`.
        changes: fields of `ExtractOptions` by name, in place of those in `options`.

    Raises:
        SettingError: an invalid option; `memory` is too little even for small parts.
        CaptureError: a target that never changes; no image with a label; see `Source` for the rest.

    Examples:
        >>> train = ef.load_activations("eric-demo/train")
        >>> program = ef.approximate_model(train, min_leaf=30, threshold="split")
        >>> program.layers, len(program.class_rules) >= 10
        (('conv4.2',), True)
    """
    wanted, processes = complete_options(options, changes), processes or Processes()
    limit = _find_limit(memory)
    if source.settings.has_labels:
        check_label_options(wanted)
    training, held_back = select_training(source, wanted, processes), None
    if wanted.max_loss is not None:
        n_images = training.n_images
        held_back, training = split_selection(training, partial(choose_held_back, share=wanted.hold_back))
        if not (training.n_images and held_back.n_images):
            raise CaptureError(
                f"holding back {wanted.hold_back} of {n_images} images leaves one side empty; give another share"
            )
    _warn_of_few_images(training, wanted.target)
    wanted = choose_options(training, wanted, progress=progress).options
    training, n_trees = _fit_training(training, held_back, wanted, limit)
    quantiser = find_quantiser(training, wanted, limit=limit, progress=progress)
    bits = quantise_activations(training, quantiser, progress=progress)
    logits = find_logits(training, wanted)
    program = extract_program(
        bits,
        quantiser,
        training.targets,
        source.classes,
        wanted,
        grown_on=wanted.grown_on,
        all_kernels=wanted.all_kernels,
        simplify=wanted.simplify,
        n_trees=n_trees,
        progress=progress,
        stop=stop,
        combine=processes.combine,
        scores=logits,
        graph=training.graph,
    )
    if held_back is not None and wanted.max_loss is not None:
        held_bits = held_back.gather_bits(quantise_activations(held_back, program.network_quantiser))
        goal = held_back.gather_targets()
        program = simplify_program(prune_program(program, held_bits, goal, wanted.max_loss, progress=progress))
    _warn_of_one_class(program)
    if logits is not None:
        program = program.with_settings([*program.settings, ("logits", f"{logits.lowest:.9g} to {logits.highest:.9g}")])
    program = name_units(program, source.settings.unit_names) if source.settings.units else program
    return _record_settings(program, source, wanted)


def evaluate_program(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> Score:
    """Score a program on images: accuracy, fidelity, coverage, size and confusion.

    Args:
        start, engine: see `predict_bits`.
        processes, memory: see `approximate_model`.

    Raises:
        CaptureError: see `check_capture`; there are no images. ProgramError: the program can't start there.
        SettingError: `memory` is too little even for small parts.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> score = ef.evaluate_program(program, ef.load_activations("eric-demo/test"), start="conv4.2")
        >>> score.start_layer, score.n_images, score.fidelity > 0.8
        ('conv4.2', 450, True)
    """
    processes = processes or Processes()
    program.expect_class("this score")
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    tally = start_tally(len(program.classes), source.n_images)
    for number in processes.claim_items(len(parts)):
        progress("evaluate", number, len(parts))
        part = parts[number]
        tally.add(predict(part), part.read_predictions(), part.read_labels())
    progress("evaluate", len(parts), len(parts))
    return score_tally(program, start, tally.combine(processes.combine))


def evaluate_labels(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> LabelScore:
    """Score a program of several labels: micro and macro F1, and exact match, against the network's labels.

    Args and Raises: see `evaluate_program`.

    Examples:
        >>> atoms = (ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("f", 1, ">", 0.5))
        >>> rules = (ef.ClassRule(0, (0,)), ef.ClassRule(1, (1,)))
        >>> program = ef.Program(ef.Quantiser(atoms), ("cat", "dog"), rules, decision="labels")
        >>> logits = torch.tensor([[2.0, -1.0], [3.0, 1.0], [-1.0, 2.0]]).half()
        >>> settings = ef.CaptureSettings("net", "5eed", "photos", task="multilabel")
        >>> norms = {"f": torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])}
        >>> unknown = torch.full((3,), -1)
        >>> test = ef.Activations(norms, "abc", unknown, logits.argmax(1), ("cat", "dog"), settings, logits=logits)
        >>> ef.evaluate_labels(program, test).n_exact
        2
    """
    processes = processes or Processes()
    if not program.decision.gives_labels:
        raise ProgramError(f"a program whose decision is '{program.decision}' has no labels; use evaluate_program")
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    tally = start_label_tally(len(program.classes))
    for number in processes.claim_items(len(parts)):
        progress("evaluate", number, len(parts))
        labels = predict(parts[number]).labels
        assert labels is not None
        tally.add(labels.cpu(), parts[number].read_logits() > 0)
    progress("evaluate", len(parts), len(parts))
    return score_labels(program, start, tally.combine(processes.combine))


def evaluate_chains(
    program: Program,
    source: Source,
    *,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> ScoreList:
    """Score a program from each of its layers, with what runs beside it, the lowest first: what chaining costs.

    See `evaluate_program`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> scores = ef.evaluate_chains(program, ef.load_activations("eric-demo/test"))
        >>> [score.start_layer for score in scores]
        ['conv1.2', 'conv2.2', 'conv3.2', 'conv4.2']
    """
    scores, starts = ScoreList(), program.list_starts()
    for done, start in enumerate(starts):
        progress("chains", done, len(starts))
        scores.append(evaluate_program(program, source, start=start, engine=engine, processes=processes, memory=memory))
    progress("chains", len(starts), len(starts))
    return scores


def predict_activations(
    program: Program, source: Source, *, start: StartLayers = None, engine: str = "auto"
) -> Predictions:
    """Compute the program's answer on each image of a source; see `iterate_predictions`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> found = ef.predict_activations(program, ef.load_activations("eric-demo/test"), start="conv4.2")
        >>> tuple(found.classes.shape), tuple(found.rules.shape)
        ((450,), (450,))
    """
    found = [part for _, part in iterate_predictions(program, source, start=start, engine=engine)]
    empty = torch.zeros(0, dtype=torch.int32)
    classes, rules = (torch.cat([empty, *(getattr(part, name) for part in found)]) for name in ("classes", "rules"))
    labels = [part.labels for part in found if part.labels is not None]
    return Predictions(classes, rules, labels=torch.cat(labels) if labels else None)


def iterate_predictions(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[tuple[Sequence[str], Predictions]]:
    """Compute the program's answers part by part: ids, and classes and rules on the CPU.

    Args:
        start: the layer whose bits are the input, with what runs beside it; or several; the lowest by default. See
            `Program.layer_to_start`.
        engine: see `predict_bits`.
        memory: see `approximate_model`.

    Raises:
        CaptureError: see `check_capture`. ProgramError: the program can't start there.
    """
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    for done, part in enumerate(parts):
        progress("predict", done, len(parts))
        found = predict(part)
        labels = None if found.labels is None else found.labels.cpu()
        yield part.read_ids(), Predictions(found.classes.cpu(), found.rules.cpu(), labels=labels)
    progress("predict", len(parts), len(parts))


def predict_bits(
    program: Program,
    bits: BitMatrix,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    with_scores: bool = False,
    with_bits: bool = False,
) -> Predictions:
    """Compute the program's answers on bits. Use an `Evaluator` to compile the program once for several calls.

    Args:
        bits: the bits of the atoms of layer `start` at least; rows are found by name.
        start: the layer whose bits are the input, with what runs beside it; or several; the lowest by default. See
            `Program.layer_to_start`.
        engine: `reference`, `cpu`, `gpu`, or `auto` (where the bits are).
        with_scores: fill `Predictions.scores`.
        with_bits: fill `Predictions.bits` with the truth of all atoms from `start` up.

    Raises:
        ProgramError: no such layer, or the program can't start there. EricError: the bits lack an atom.
        SettingError: an engine that can't take these bits.

    Examples:
        >>> program = ef.parse_program(PETS)
        >>> bits = ef.BitMatrix.from_bools(torch.tensor([[True, False], [True, True], [False, False]]), ["f:0", "f:1"])
        >>> ef.predict_bits(program, bits).classes.tolist()
        [0, 1, -1]
    """
    evaluator = Evaluator(program, start, engine=engine)
    return evaluator.predict(bits, with_scores=with_scores, with_bits=with_bits)


def _prepare_answers(
    program: Program, source: Source, start: StartLayers, engine: str, memory: int | None
) -> tuple[list[Part], Callable[[Part], Predictions]]:
    """The parts of a source, as many images at a time as memory allows, and what answers on each."""
    cut = program.graph.find_start(start)
    check_capture(program, source, cut)
    evaluator = Evaluator(program, cut, engine=engine)
    atoms = [program.network_quantiser.atoms_of_layer(layer) for layer in cut]
    per_image = 8 * sum(source.n_kernels[layer] for layer in cut) + evaluator.plan.n_rows // 8 + 64
    n_images = _count_images("evaluating on this capture", _find_limit(memory), 0, per_image)

    def predict(part: Part) -> Predictions:
        words = [pack_part(source, part, own) for own in atoms]
        words = words if len(words) == 1 else [torch.cat(words)]
        return evaluator.predict(BitMatrix(words[0], part.n_images, evaluator.inputs))

    return cut_parts(source.parts, n_images), predict


def _fit_training(
    training: Selection, held_back: Selection | None, options: ExtractOptions, limit: int
) -> tuple[Selection, int]:
    """Cut the parts of a selection so that extracting fits into memory, and say how many trees fit at a time."""
    what = "extracting from this capture"
    widths = [training.n_kernels[layer] for layer in training.layers]
    n_own, widest = len(training.targets), max(widths)
    n_rows = sum(widths) + 2 * widest  # all layers, and two that are being put together
    if options.classes_by == "weights":  # what the rules predict from each start, of two layers; classes and digits
        n_rows += 2 * len(widths) * widest + 9 * len(training.classes)
    words = 4 * count_words(n_own) * n_rows
    if held_back is not None:
        words += 4 * count_words(held_back.n_images) * sum(widths)
    rows = n_own * 8 * -(-widest // 512) * 64 // 8
    fixed = words + rows + 8 * 2 * n_own + 8 * training.n_images
    n_trees = count_fitting(what, limit, fixed, 4 * n_own, 1, MOST_TREES)
    n_images = _count_images(what, limit, fixed, 8 * widest)
    return replace(training, parts=tuple(cut_parts(training.parts, n_images))), n_trees


def _count_images(what: str, limit: int, fixed: int, per_image: int) -> int:
    """How many images may be read at a time."""
    n_units = count_fitting(what, limit, fixed, SHARD_UNIT * per_image, 1, SHARD_SIZE // SHARD_UNIT)
    return SHARD_UNIT * n_units


def _find_limit(memory: int | None) -> int:
    return find_used_memory() + find_free_memory() // 2 if memory is None else memory


def _warn_of_few_images(training: Selection, target: str) -> None:
    """Log classes of which there are fewer images than any rule can be trusted with."""
    own = training.targets
    counts = own.sum(dim=0) if own.ndim > 1 else own.bincount(minlength=len(training.classes))
    counts = training.processes.combine(counts)
    n_few, n_seen = int(((counts > 0) & (counts < FEW_IMAGES)).sum()), int((counts > 0).sum())
    if n_few and training.processes.is_first:
        said = "the model's answer on" if target == "model" else "the label of"
        logger.warning(
            "%d of %s are %s fewer than %d training images each, so their rules may be chance; capture more images",
            n_few,
            say_count(n_seen, "class"),
            said,
            FEW_IMAGES,
        )


def _warn_of_one_class(program: Program) -> None:
    if len({rule.head for rule in program.class_rules}) == 1:
        logger.warning(
            "the program gives every image the class '%s', as its bits don't tell the classes apart; try a smaller "
            "minimum leaf, another threshold or another layer",
            program.classes[program.class_rules[0].head],
        )


def _record_settings(program: Program, source: Source, options: ExtractOptions) -> Program:
    """Add how the program was made; settings that it has already stay, at the end."""
    capture = source.settings
    settings = {
        "model": capture.model,
        "dtype": capture.dtype,
        "preprocessing": capture.preprocessing,
        "images": hash_images(source, are_labelled=options.target == "label"),
        "target": options.target,
        "threshold": options.threshold,
        **({"thresholds_per_kernel": str(options.per_kernel)} if options.per_kernel != 1 else {}),
        "criterion": options.criterion,
        "min_leaf": str(options.min_leaf),
        "max_depth": str(options.max_depth or "none"),
        "max_rules": str(options.max_rules or "none"),
        **{name: str(value) for name, value in options.list_extras()},
    }
    if options.grid != 1:
        settings["grid"] = say_grid(options.grid)
    if capture.output:
        settings["output"] = capture.output
    if options.grown_on != "true":
        settings["grown_on"] = options.grown_on
    if options.max_loss is not None:
        settings |= {"max_loss": str(options.max_loss), "hold_back": str(options.hold_back)}
    return replace(program, fingerprint=capture.fingerprint, settings=(*settings.items(), *program.settings))
