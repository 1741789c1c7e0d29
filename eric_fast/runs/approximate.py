"""From a source of training images to a program."""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from eric_fast.bits import count_words
from eric_fast.errors import CaptureError, say_count
from eric_fast.extract import ExtractOptions, TreeOptions, check_label_options, complete_options, extract_program
from eric_fast.kernels import MOST_TREES, Stop, never_stop
from eric_fast.processes import Processes
from eric_fast.processes.memory import count_fitting
from eric_fast.program import Program
from eric_fast.program.labels import name_units
from eric_fast.program.prune import choose_held_back, prune_program
from eric_fast.program.simplify import simplify_program
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.runs.limits import count_images, find_limit
from eric_fast.score import FEW_IMAGES
from eric_fast.store import Selection, Source, cut_parts, hash_images, split_selection
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
        >>> program = ef.approximate_model(train, min_leaf=30)
        >>> program.layers, len(program.class_rules) >= 10
        (('conv4.2',), True)
    """
    wanted, processes = complete_options(options, changes), processes or Processes()
    limit = find_limit(memory)
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
    n_images = count_images(what, limit, fixed, 8 * widest)
    return replace(training, parts=tuple(cut_parts(training.parts, n_images))), n_trees


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
        "threshold": options.threshold if source.has_norms else "of the stored bits",
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
