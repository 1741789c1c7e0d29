"""What programs are learned from: the training images of a source, their thresholds, and what votes are fitted to."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from eric_fast.errors import CaptureError, SettingError, say_count
from eric_fast.evaluator.match import match_layers
from eric_fast.extract import ExtractOptions
from eric_fast.processes import Processes
from eric_fast.processes.memory import count_fitting
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import MOST_VALUES, ScaledLogits, fit_quantiser, parse_threshold, scale_logits, split_threshold
from eric_fast.store import Selection, Source, select_images

logger = logging.getLogger(__name__)
# With so few row votes, logits that are far away don't count. Of three lots of held-back training images of cifar10_vgg
# 30 row votes keep 0.888 on average with it and 0.885 without; 30 single votes 0.829 and 0.833, so these count all.
FEW_VOTES, TAIL = 50, 200


def find_logits(training: Selection, options: ExtractOptions, *, warn: bool = True) -> ScaledLogits | None:
    """What votes are fitted to, if that isn't the target itself; a warning where there are no logits."""
    if options.votes_by is None or options.target != "model" or training.targets.ndim > 1:
        return None
    if training.has_logits:
        is_few = options.votes_by == "rows" and options.n_votes <= FEW_VOTES
        return scale_logits(training, TAIL if is_few else None)
    if warn and training.processes.is_first:
        logger.warning(
            "%s has no logits, so votes are fitted to its predictions alone, which costs fidelity (0.906 for 0.932 on "
            "cifar10_vgg); capture again with --logits",
            training.name,
        )
    return None


def select_training(
    source: Source, options: ExtractOptions, processes: Processes | None = None, *, warn: bool = True
) -> Selection:
    """Select the layers that `options` names, and the images whose target is known.

    warn: whether to log layers that are left out, and what rules don't see.

    Raises:
        CaptureError: a layer that doesn't exist; no image, or none with a label.
    """
    training = select_images(source, choose_layers(source, options.layers, warn=warn), options.target, processes)
    if not training.n_images:
        raise CaptureError(
            "the capture has no labels; use --target model, or name the image folders like the classes"
            if source.n_images
            else f"{source.name} has no images"
        )
    return training


def choose_layers(source: Source, wanted: str | Sequence[str] | None, *, warn: bool = True) -> tuple[str, ...]:
    """The layers of a program, the lowest first: those that `wanted` names, or by default those that feed the classes.

    Layers that no rule can use are left out: those from which no path leads to the classes, and those below a layer
    that images reach past them too.
    """
    graph = source.graph
    named = list(graph.select(graph.highest).layers) if wanted is None and graph.highest else None
    asked = named or match_layers(wanted, source.layers)
    chosen = graph.select(asked).layers
    left_out = [layer for layer in asked if layer not in chosen]
    path = graph.find_path(asked)
    if path is not None and warn:
        logger.warning(
            "rules don't see what the classes read by the path %s, on which none of these layers lies",
            " -> ".join(("images", *path, "classes")),
        )
    if left_out and warn:
        logger.warning(
            "%s (%s) left out, as no rule can use %s: the classes don't read %s, or what is between reads other layers "
            "too, that are not taken",
            say_count(len(left_out), "layer"),
            ", ".join(left_out[:8]) + (", ..." if left_out[8:] else ""),
            *["it" if len(left_out) == 1 else "them"] * 2,
        )
    return chosen


def find_quantiser(
    training: Selection,
    options: ExtractOptions,
    *,
    limit: int | None = None,
    progress: Progress = ignore_progress,
    warn: bool = True,
) -> Quantiser:
    """Fit thresholds, or take those of the stored bits of a source without norms.

    With the grid `auto` there are atoms of all that was captured.

    Raises:
        SettingError: another threshold for stored bits; see also `fit_quantiser`.
    """
    threshold, grid = options.threshold.strip(), options.grid
    most = None if isinstance(grid, str) else max(grid.values()) if isinstance(grid, Mapping) else grid
    if training.has_norms:
        last, below = split_threshold(threshold)
        thresholds = {layer: last if layer in training.graph.highest else below for layer in training.layers}
        kinds = {parse_threshold(spec).kind for spec in thresholds.values()}
        n_images = max(1, training.n_images)
        # Sorting the norms of one kernel takes some 64 bytes each, gathering those of a kernel some 32.
        fixed, per_kernel = 64 * n_images, 32 * n_images
        n_values = MOST_VALUES
        if limit is not None and kinds != {"linear"}:
            n_kernels = max(1, MOST_VALUES // n_images)
            n_values = n_images * count_fitting("fitting thresholds", limit, fixed, per_kernel, 1, n_kernels)
        goal = training.gather_targets() if "split" in kinds else None
        quantiser = fit_quantiser(
            training,
            goal,
            threshold=thresholds,
            criterion=options.criterion,
            n_values=n_values,
            grid=most,
            per_kernel=options.per_kernel,
            progress=progress,
            warn=warn,
        )
        return take_grids(quantiser, options.grid)
    if threshold != ExtractOptions.threshold or options.per_kernel != 1:
        raise SettingError(
            f"{training.name} contains bits but no norms, so its thresholds are fixed; leave --threshold out, or "
            "capture norms"
        )
    assert training.quantiser is not None
    if most is not None and most > training.quantiser.grid:
        raise CaptureError(f"{training.name} has the bits of whole maps alone; capture again with --grid 2")
    atoms = tuple(atom for layer in training.layers for atom in training.quantiser.atoms_of_layer(layer))
    return take_grids(Quantiser(atoms, training.quantiser.norm), grid)


def take_grids(quantiser: Quantiser, grid: int | str | Mapping[str, int]) -> Quantiser:
    """Without the atoms of quarters in layers whose grid is 1; `auto` keeps all."""
    own = grid if isinstance(grid, Mapping) else dict.fromkeys(quantiser.layers, grid)
    return replace(
        quantiser, atoms=tuple(atom for atom in quantiser.atoms if not atom.is_quarter or own[atom.layer] != 1)
    )
