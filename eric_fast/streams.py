"""Whole runs over captures on disk: shard by shard in bounded memory, and shared out over processes."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, SettingError
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.extract import TreeOptions, extract_program
from eric_fast.extract.predicted_bits import extract_on_predicted_bits
from eric_fast.kernels import Stop, never_stop
from eric_fast.memory import check_need, find_free_memory
from eric_fast.processes import Processes
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import fit_quantiser, pack_layer
from eric_fast.runs import (
    TARGETS,
    check_capture,
    check_grown_on,
    match_layers,
    record_settings,
    warn_of_one_class,
)
from eric_fast.score import Score, score_tally, start_tally
from eric_fast.store import Capture, Selection, Shard, join_parts, read_finite_norms, select_images

_TREES_AT_ONCE = 64
_COLUMN_BYTES = 64  # of a norm whose kernel is sorted, with all that this needs at its height


def approximate_capture(
    capture: Capture,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: str = "mean",
    target: str = "model",
    options: TreeOptions | None = None,
    grown_on: str = "true",
    all_kernels: bool = False,
    simplify: bool = True,
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
) -> Program:
    """As `approximate_model`, from a capture on disk: the same program, with any number of processes.

    Norms are read a layer of a shard at a time; the bits of the chain's layers stay in memory, those of each process's
    own shards. Of a capture that holds bits alone these are taken, with the thresholds that they were made by.

    Args:
        layers, threshold, target, options, grown_on, all_kernels, simplify, progress, stop: see `approximate_model`.
        processes: what shares the shards out; this process alone by default.
        memory: bytes that this process may take at most, half of what is free by default.

    Raises:
        SettingError, CaptureError: see `approximate_model`; more memory needed than allowed.
    """
    processes, options = processes or Processes(), options or TreeOptions()
    check_grown_on(grown_on)
    if target not in TARGETS:
        raise SettingError(f"target '{target}' is not one of {', '.join(TARGETS)}")
    memory = find_free_memory() // 2 if memory is None else memory
    chosen = select_images(capture, match_layers(layers, capture.layers), target, processes)
    if not chosen.n_images:
        raise CaptureError(
            "the capture knows no label; use --target model, or name its folders like the classes"
            if target == "label" and capture.n_images
            else f"{capture.path} has no images"
        )
    check_need("extracting from this capture", _count_bytes(chosen), memory)
    if capture.store == "bits":
        quantiser = _take_stored_atoms(capture, chosen.layers, threshold)
    else:
        goal = chosen.gather_targets() if threshold.strip() == "split" else None
        quantiser = fit_quantiser(chosen, goal, threshold=threshold, criterion=options.criterion, progress=progress)
    bits = _pack_layers(chosen, quantiser, progress)
    extract = extract_on_predicted_bits if grown_on == "predicted" else extract_program
    program = extract(
        bits,
        quantiser,
        chosen.targets,
        capture.classes,
        options,
        all_kernels=all_kernels,
        simplify=simplify,
        progress=progress,
        stop=stop,
        combine=processes.combine,
    )
    warn_of_one_class(program)
    return record_settings(program, capture.settings, target, threshold, options, grown_on)


def evaluate_capture(
    program: Program,
    capture: Capture,
    *,
    start: str | None = None,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> Score:
    """As `evaluate_program`, on a capture on disk, a shard at a time: the same score, with any number of processes.

    Args:
        start, engine: see `predict_bits`.
        processes, memory: see `approximate_capture`.

    Raises:
        CaptureError: see `check_capture`, or there are no images. ProgramError: the program can't start there.
        SettingError: more memory needed than allowed.
    """
    processes = processes or Processes()
    memory = find_free_memory() // 2 if memory is None else memory
    layer = program.layer_to_start(start)
    check_capture(program, capture, [layer])
    evaluator = Evaluator(program, layer, engine=engine)
    largest = max((shard.n_images for shard in capture.shards), default=0)
    check_need(
        "evaluating on this capture", largest * (8 * capture.n_kernels[layer] + evaluator.plan.n_rows // 8 + 64), memory
    )
    tally, pack = (
        start_tally(len(program.classes), capture.n_images),
        _choose_packer(capture, program.network_quantiser, layer),
    )
    for number in processes.claim_items(len(capture.shards)):
        progress("evaluate", number, len(capture.shards))
        shard = capture.shards[number]
        answers = evaluator.predict(pack(shard))
        tally.add(answers, shard.read_predictions(), shard.read_labels())
    progress("evaluate", len(capture.shards), len(capture.shards))
    return score_tally(program, start, tally.combine(processes.combine))


def predict_capture(
    program: Program,
    capture: Capture,
    *,
    start: str | None = None,
    engine: str = "auto",
    progress: Progress = ignore_progress,
) -> Iterator[tuple[Sequence[str], Predictions]]:
    """As `predict_activations`, on a capture on disk, of norms or bits: ids and answers of each shard in turn.

    Raises:
        CaptureError: see `check_capture`. ProgramError: the program can't start there.
    """
    layer = program.layer_to_start(start)
    check_capture(program, capture, [layer])
    evaluator = Evaluator(program, layer, engine=engine)
    pack = _choose_packer(capture, program.network_quantiser, layer)
    for done, shard in enumerate(capture.shards):
        progress("predict", done, len(capture.shards))
        found = evaluator.predict(pack(shard))
        yield shard.read_ids(), Predictions(found.classes.cpu(), found.rules.cpu())
    progress("predict", len(capture.shards), len(capture.shards))


def _count_bytes(chosen: Selection) -> int:
    """What extracting takes at its height, beside what this process has already."""
    widths = [chosen.capture.n_kernels[layer] for layer in chosen.layers]
    n_own, widest = len(chosen.targets), max(widths)
    words = 4 * count_words(n_own) * (sum(widths) + 2 * widest)  # all layers, and two that are being put together
    rows = n_own * 8 * -(-widest // 512) * 64 // 8
    trees = 4 * n_own * (_TREES_AT_ONCE if chosen.processes.count > 1 else 4)
    shard = max((shard.n_images for shard in chosen.shards), default=0) * widest * 8
    return words + rows + trees + shard + 8 * 2 * n_own + 8 * chosen.n_images


def _take_stored_atoms(capture: Capture, layers: Sequence[str], threshold: str) -> Quantiser:
    assert capture.quantiser is not None
    if threshold != "mean":
        raise SettingError(
            f"{capture.path} holds bits alone, whose thresholds are made already; leave --threshold out, or capture "
            "norms"
        )
    atoms = tuple(atom for layer in layers for atom in capture.quantiser.atoms_of_layer(layer))
    return Quantiser(atoms, capture.quantiser.norm)


def _pack_layers(chosen: Selection, quantiser: Quantiser, progress: Progress) -> BitMatrix:
    """The bits of this process's images, layer by layer; no more than one layer is in memory twice."""
    n_own = len(chosen.targets)
    words = torch.empty(len(quantiser.atoms), count_words(n_own), dtype=torch.int32)
    for done, layer in enumerate(quantiser.layers):
        progress("bits", done, len(quantiser.layers))
        rows = quantiser.rows_of_layer[layer]
        words[rows.start : rows.stop] = _pack_own(chosen, quantiser, layer)
    progress("bits", len(quantiser.layers), len(quantiser.layers))
    return BitMatrix(words, n_own, tuple(atom.name for atom in quantiser.atoms))


def _pack_own(chosen: Selection, quantiser: Quantiser, layer: str) -> Tensor:
    if chosen.capture.store == "bits":
        return chosen.read_stored_words(layer)
    atoms = quantiser.atoms_of_layer(layer)
    return join_parts(
        [pack_layer(norms.float(), atoms) for norms in chosen.iterate_norms(layer)], chosen.sizes, len(atoms)
    )


def _choose_packer(capture: Capture, quantiser: Quantiser, layer: str) -> Callable[[Shard], BitMatrix]:
    """What gives a shard's bits of a program's atoms of one layer: from norms, or as they are stored."""
    atoms = quantiser.atoms_of_layer(layer)
    names = quantiser.names_of_layer[layer]
    if capture.store != "bits":
        return lambda shard: BitMatrix(
            pack_layer(read_finite_norms(shard, layer).float(), atoms), shard.n_images, names
        )
    assert capture.quantiser is not None
    stored = {atom.name: atom for atom in capture.quantiser.atoms_of_layer(layer)}
    differs = next((name for name, atom in zip(names, atoms, strict=True) if stored.get(name) != atom), None)
    if differs is not None:
        raise CaptureError(
            f"{capture.path} holds bits alone, and '{differs}' has another threshold there than in the program; "
            "capture norms, or bits by the thresholds of the program's training capture"
        )
    return lambda shard: shard.read_bits([layer]).select_atoms(names)
