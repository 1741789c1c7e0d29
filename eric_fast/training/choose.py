"""Choose the size of weight rules, and layers whose quarters are used, on held-back training images."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import NamedTuple

from eric_fast.extract import ExtractOptions
from eric_fast.program.atoms import GRIDS, Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store import Selection
from eric_fast.training.held_back import Trial, find_error, start_trial
from eric_fast.training.prepare import take_grids

TRIED_LITERALS = (4, 8, 16, 32)


class Choice(NamedTuple):
    """Options without `auto`, and a line for each that was chosen."""

    options: ExtractOptions
    lines: tuple[str, ...]


def choose_options(training: Selection, options: ExtractOptions, *, progress: Progress = ignore_progress) -> Choice:
    """Replace `auto` by what does best on held-back images, and by the smaller where more gains nothing beyond chance.

    A grid is chosen for each layer from the highest down, by the share of held-back images that the chain from this
    layer gets right. The number of literals is then chosen by the mean of these shares over all start layers. A
    difference within one standard error counts as none (Breiman and others, Classification and Regression Trees, 1984).

    Args:
        training: all images that a program may be learned from.
    """
    lines = []
    is_auto = options.weight_options.n_literals == "auto"
    trial = start_trial(training, options) if options.grid == "auto" or is_auto else None
    if options.grid == "auto":
        usual = replace(options, weight_options=replace(options.weight_options, n_literals=16)) if is_auto else options
        grids, line = choose_grids(training, trial, usual, progress)
        options = replace(options, grid=grids)
        lines.append(line)
    if is_auto:
        n_literals, line = choose_literals(trial, options, progress)
        options = replace(options, weight_options=replace(options.weight_options, n_literals=n_literals))
        lines.append(line)
    return Choice(options, tuple(lines))


def choose_grids(
    training: Selection, trial: Trial | None, options: ExtractOptions, progress: Progress
) -> tuple[dict[str, int], str]:
    """The grid of each layer, and a line about it."""
    layers = training.layers
    grids = dict.fromkeys(layers, 1)
    if trial is None:
        return grids, "grid auto: whole maps, as too few images can be held back"
    if not trial.quantiser.has_regions:
        return grids, "grid auto: whole maps, as nothing else was captured (capture --grid 2)"
    found: list[str] = []
    for done, layer in enumerate(reversed(layers)):
        progress("grid", done, len(layers))
        shares = []
        for grid in GRIDS:
            tried = take_grids(trial.quantiser, {**grids, layer: grid})
            graph = training.graph.take_above(training.graph.find_cut(layer))
            above = tuple(atom for name in graph.layers for atom in tried.atoms_of_layer(name))
            shares.append(trial.score(trial.learn(options, Quantiser(above, tried.norm), graph)))
        if shares[1] > shares[0] + find_error(shares[0], trial.scored.n_images):
            grids[layer] = 2
        found.insert(0, f"{layer} {shares[0]:.3f} / {shares[1]:.3f}")
    progress("grid", len(layers), len(layers))
    return grids, (
        f"grid auto: {say_grid(grids)}; right on {trial.scored.n_images:,} held-back images, with whole maps / "
        f"quarters: {', '.join(found)}"
    )


def choose_literals(trial: Trial | None, options: ExtractOptions, progress: Progress) -> tuple[int, str]:
    """The number of literals of a weight rule, and a line about it."""
    if options.kernels_by != "weights" or trial is None or len(trial.learned.graph.list_cuts()) < 2:
        why = "too few images can be held back" if trial is None else "no kernel gets weight rules"
        return 16, f"literals auto: 16, as {why}"
    quantiser = take_grids(trial.quantiser, options.grid)
    shares: dict[int, float] = {}
    for done, n_literals in enumerate(TRIED_LITERALS):
        progress("literals", done, len(TRIED_LITERALS))
        program = trial.learn(
            replace(options, weight_options=replace(options.weight_options, n_literals=n_literals)), quantiser
        )
        shares[n_literals] = mean(trial.score(program, start) for start in program.list_starts()[:-1])
    progress("literals", len(TRIED_LITERALS), len(TRIED_LITERALS))
    best = max(shares.values())
    least = best - find_error(best, trial.scored.n_images)
    chosen = min(n_literals for n_literals, share in shares.items() if share >= least)
    found = ", ".join(f"{n_literals} {share:.3f}" for n_literals, share in shares.items())
    return chosen, f"literals auto: {chosen}; right on {trial.scored.n_images:,} held-back images: {found}"


def say_grid(grid: int | str | Mapping[str, int]) -> str:
    """`1`, `2`, or the layers with quarters: `quarters in features.2, features.5`."""
    if not isinstance(grid, Mapping):
        return str(grid)
    quartered = [layer for layer, own in grid.items() if own == 2]
    return f"quarters in {', '.join(quartered)}" if quartered else "whole maps"
