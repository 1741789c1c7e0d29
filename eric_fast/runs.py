"""Whole runs over the stages: what the commands are thin shells over."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, SettingError, suggest_nearest
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.extract import TreeOptions, extract_program
from eric_fast.extract.predicted_bits import extract_on_predicted_bits
from eric_fast.kernels import Stop, never_stop
from eric_fast.program import Program
from eric_fast.program.prune import choose_held_back, prune_program
from eric_fast.program.simplify import simplify_program
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import check_fits, fit_quantiser, quantise_activations
from eric_fast.score import Score, score_predictions
from eric_fast.store import Capture
from eric_fast.store.activations import UNKNOWN, Activations, CaptureSettings

logger = logging.getLogger(__name__)
TARGETS = ("model", "label")
GROWN_ON = ("true", "predicted")


def approximate_model(
    activations: Activations,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: str = "mean",
    target: str = "model",
    options: TreeOptions | None = None,
    grown_on: str = "true",
    all_kernels: bool = False,
    simplify: bool = True,
    max_loss: float | None = None,
    hold_back: float = 0.2,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
) -> Program:
    """From the activations of training images to a program: fit thresholds, quantise, extract.

    Args:
        activations: of the training images; nothing else is looked at.
        layers: names or shell patterns of the chain's layers, or `all`; the last captured layer by default.
        threshold: see `parse_threshold`.
        target: `model` (fidelity: the class that the model predicts) or `label` (images without one are left out).
        options: how trees grow.
        grown_on: `true` (each layer on the bits that the network gives the layer below) or `predicted` (on those that
            the rules below answer, so that a layer learns to live with their errors; see `extract_on_predicted_bits`).
        all_kernels: rules for kernels that no rule mentions too.
        simplify, stop: see `extract_program`.
        max_loss: drop rules and literals as long as the loss on held-back images stays within it; see `prune_program`.
        hold_back: the share of the images that thresholds and trees then don't see, chosen by their names.

    Raises:
        SettingError, CaptureError: an option without meaning; a target that never changes.
    """
    options = options or TreeOptions()
    check_grown_on(grown_on)
    if grown_on == "predicted" and max_loss is not None:
        raise SettingError("max loss is measured on true bits, so it can't go with 'grown on predicted'; leave one out")
    activations, goal = choose_target(activations.select_layers(match_layers(layers, activations.layers)), target)
    held_back = None
    if max_loss is not None:
        held = torch.from_numpy(choose_held_back(activations.ids, hold_back))
        held_back = activations.take(held.nonzero().flatten())
        activations, goal = choose_target(activations.take((~held).nonzero().flatten()), target)
    quantiser = fit_quantiser(activations, goal, threshold=threshold, criterion=options.criterion, progress=progress)
    bits = quantise_activations(activations, quantiser)
    extract = extract_on_predicted_bits if grown_on == "predicted" else extract_program
    program = extract(
        bits,
        quantiser,
        goal,
        activations.classes,
        options,
        all_kernels=all_kernels,
        simplify=simplify,
        progress=progress,
        stop=stop,
    )
    if held_back is not None and max_loss is not None:
        _, goal = choose_target(held_back, target)
        held_bits = quantise_activations(held_back, program.network_quantiser)
        program = simplify_program(prune_program(program, held_bits, goal, max_loss, progress=progress))
    warn_of_one_class(program)
    extras = {} if max_loss is None else {"max_loss": str(max_loss), "hold_back": str(hold_back)}
    return record_settings(program, activations.settings, target, threshold, options, grown_on, extras)


def warn_of_one_class(program: Program) -> None:
    """Log where the program gives every image the same class."""
    if len({rule.head for rule in program.class_rules}) == 1:
        logger.warning(
            "the program says '%s' of every image: bits don't tell the classes apart; try a smaller minimum leaf, "
            "another threshold or another layer",
            program.classes[program.class_rules[0].head],
        )


def check_grown_on(grown_on: str) -> None:
    """Refuse anything but `GROWN_ON`."""
    if grown_on not in GROWN_ON:
        raise SettingError(f"grown on '{grown_on}' is not one of {', '.join(GROWN_ON)}")


def choose_target(activations: Activations, target: str) -> tuple[Activations, Tensor]:
    """The images whose target is known, and their targets: class indices, int64 `[n_images]`.

    Raises:
        SettingError: neither `model` nor `label`. CaptureError: the labels are asked for, and none is known.
    """
    if target not in TARGETS:
        raise SettingError(f"target '{target}' is not one of {', '.join(TARGETS)}")
    if target == "model":
        return activations, activations.predictions
    known = (activations.labels != UNKNOWN).nonzero().flatten()
    if not len(known):
        raise CaptureError("the capture knows no label; use --target model, or name its folders like the classes")
    if len(known) < activations.n_images:
        activations = activations.take(known)
    return activations, activations.labels


def record_settings(
    program: Program,
    capture: CaptureSettings,
    target: str,
    threshold: str,
    options: TreeOptions,
    grown_on: str = "true",
    extras: Mapping[str, str] | None = None,
) -> Program:
    """The program with what it was made from and how; what it says of itself already stays, at the end."""
    settings = {
        "model": capture.model,
        "dtype": capture.dtype,
        "preprocessing": capture.preprocessing,
        "target": target,
        "threshold": threshold,
        "criterion": options.criterion,
        "min_leaf": str(options.min_leaf),
        "max_depth": str(options.max_depth or "none"),
        "max_rules": str(options.max_rules or "none"),
        **{name: str(value) for name, value in options.list_extras()},
        **({} if grown_on == "true" else {"grown_on": grown_on}),
        **(extras or {}),
    }
    return replace(program, fingerprint=capture.fingerprint, settings=(*settings.items(), *program.settings))


def match_layers(wanted: str | Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The layers among `known` that names and shell patterns mean, in the order of `known`.

    `all` is all of them; None is the last one. A layer called `all`, or like a pattern, is meant by its name first.

    Raises:
        CaptureError: a name or pattern that matches no layer.
    """
    if not known:
        raise CaptureError("the capture has no layers")
    if wanted is None:
        return [known[-1]]
    found: set[str] = set()
    for name in [wanted] if isinstance(wanted, str) else wanted:
        pattern = "*" if name == "all" else name
        matches = [name] if name in known else [layer for layer in known if fnmatchcase(layer, pattern)]
        if not matches:
            raise CaptureError(f"the capture has no layer '{name}'{suggest_nearest(name, known)}")
        found.update(matches)
    if not found:
        raise CaptureError(f"no layer is named{suggest_nearest('', known)}")
    return [layer for layer in known if layer in found]


def check_capture(program: Program, activations: Activations | Capture, layers: Sequence[str]) -> None:
    """Refuse activations that these layers of the program can't be evaluated on.

    Raises:
        CaptureError: another model's, other classes, a missing layer or kernel, another norm.
    """
    check_fingerprint(program, activations.settings.fingerprint)
    if program.classes != activations.classes:
        pairs = zip(program.classes, activations.classes, strict=False)
        differ = next((f"'{p}' and '{a}'" for p, a in pairs if p != a), "")
        raise CaptureError(
            f"the program has {len(program.classes)} classes, the capture {len(activations.classes)}"
            + (f", and the first that differ are {differ}" if differ else "")
            + "; they must be the same"
        )
    settings = dict(program.settings)
    for key in ("dtype", "preprocessing"):
        ours = getattr(activations.settings, key)
        if settings.get(key, ours) != ours:
            logger.warning("the program's training images had %s %s, these have %s", key, settings[key], ours)
    check_fits(activations, program.network_quantiser, layers)


def check_fingerprint(program: Program, fingerprint: str) -> None:
    """Refuse a model with this fingerprint if the program was extracted from another; one written by hand fits all.

    Raises:
        CaptureError: both fingerprints, in short.
    """
    if program.fingerprint and program.fingerprint != fingerprint:
        raise CaptureError(
            f"the program was extracted from another model (fingerprint {program.fingerprint[:12]}, this one's is "
            f"{fingerprint[:12]}); capture the images with the model of the program"
        )


def predict_bits(
    program: Program,
    bits: BitMatrix,
    *,
    start: str | None = None,
    engine: str = "auto",
    with_scores: bool = False,
    with_bits: bool = False,
) -> Predictions:
    """What the program answers on these bits.

    Args:
        bits: of the atoms of layer `start` at least; rows are found by name.
        start: the layer whose bits are taken as given; the lowest by default.
        engine: `reference`, `cpu`, `gpu`, or `auto` (where the bits are).
        with_scores: fill `scores`.
        with_bits: fill `bits` with the truth of all atoms from `start` up.

    Raises:
        ProgramError: no such layer, or the program can't start there. EricError: bits that lack an atom.
        SettingError: an engine that can't take these bits.
    """
    evaluator = Evaluator(program, start, engine=engine)
    return evaluator.predict(bits, with_scores=with_scores, with_bits=with_bits)


def predict_activations(
    program: Program, activations: Activations, *, start: str | None = None, engine: str = "auto"
) -> Predictions:
    """What the program answers on each image, from the bits of layer `start` (the lowest by default).

    Raises:
        CaptureError: see `check_capture`. ProgramError: the program can't start there.
    """
    layer = program.layer_to_start(start)
    check_capture(program, activations, [layer])
    bits = quantise_activations(activations, program.network_quantiser, [layer])
    predictions = predict_bits(program, bits, start=layer, engine=engine)
    return Predictions(predictions.classes.cpu(), predictions.rules.cpu())


def check_engine(engine: str) -> None:
    """Refuse an engine that there isn't, before anything long is begun.

    Raises:
        SettingError: no such engine, or no GPU for it.
    """
    kernels.choose_engine(engine, "cpu")


def evaluate_program(
    program: Program, activations: Activations, *, start: str | None = None, engine: str = "auto"
) -> Score:
    """Accuracy, fidelity, coverage, size and confusion of the program on these images.

    Raises:
        CaptureError: see `check_capture`, or there are no images. ProgramError: the program can't start there.
    """
    predictions = predict_activations(program, activations, start=start, engine=engine)
    return score_predictions(program, start, predictions, activations.predictions, activations.labels)


def evaluate_chains(
    program: Program, activations: Activations, *, engine: str = "auto", progress: Progress = ignore_progress
) -> list[Score]:
    """One score for each layer that the program can start from, the lowest first: what chaining costs."""
    scores = []
    for done, layer in enumerate(program.layers):
        progress("chains", done, len(program.layers))
        scores.append(evaluate_program(program, activations, start=layer, engine=engine))
    progress("chains", len(program.layers), len(program.layers))
    return scores
