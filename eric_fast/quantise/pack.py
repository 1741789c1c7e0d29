"""Quantise norms to bits by given thresholds: in memory, and of a capture on disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, OutputError, suggest_nearest
from eric_fast.program.atoms import InputAtom, Quantiser, count_regions
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store import Capture, Manifest, Part, Samples, Source, Thresholds, join_parts
from eric_fast.store.job import CaptureJob, begin_job, count_id_bytes

_OPERATORS = {">": kernels.GREATER, "<=": kernels.LESS_EQUAL, "==": kernels.EQUAL}


def quantise_activations(
    source: Source,
    quantiser: Quantiser,
    layers: Sequence[str] | None = None,
    *,
    progress: Progress = ignore_progress,
) -> BitMatrix:
    """Compute the truth of the quantiser's atoms of these layers (all by default) on every image of the source.

    Norms are read a part at a time. A source without norms must have stored the bits of the same atoms.

    Raises:
        CaptureError: see `check_fits`.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> bits = ef.quantise_activations(test, program.quantiser)
        >>> bits.n_samples, len(bits.atoms) == len(program.atoms)
        (450, True)
    """
    check_fits(source, quantiser, layers)
    wanted = quantiser.layers if layers is None else layers
    n_images = sum(part.n_images for part in source.parts)
    atoms = [atom for layer in wanted for atom in quantiser.atoms_of_layer(layer)]
    words = torch.empty(len(atoms), count_words(n_images), dtype=torch.int32)
    first = 0
    for done, layer in enumerate(wanted):
        progress("bits", done, len(wanted))
        of_layer = quantiser.atoms_of_layer(layer)
        parts = [pack_part(source, part, of_layer) for part in source.parts]
        words[first : first + len(of_layer)] = join_parts(
            parts, [part.n_images for part in source.parts], len(of_layer)
        )
        first += len(of_layer)
    progress("bits", len(wanted), len(wanted))
    return BitMatrix(words, n_images, tuple(atom.name for atom in atoms))


def pack_part(source: Source, part: Part, atoms: Sequence[InputAtom]) -> Tensor:
    """int32 words `[n_atoms, count_words(n_images)]` of atoms of one layer, on the images of a part."""
    if source.has_norms:
        return pack_layer(part.read_norms(atoms[0].layer).float(), atoms, grid=source.settings.grid)
    assert source.quantiser is not None
    row_of_name = {name: row for row, name in enumerate(source.quantiser.names_of_layer[atoms[0].layer])}
    rows = [row_of_name[atom.name] for atom in atoms]
    words = part.read_words(atoms[0].layer)
    return words if rows == list(range(len(words))) else words[rows]


def pack_layer(norms: Tensor, atoms: Sequence[InputAtom], engine: str = "auto", *, grid: int = 1) -> Tensor:
    """Pack norms of one layer, float32 `[n, n_kernels]` on any device, to int32 words `[n_atoms, n_words]` there.

    grid: one of `GRIDS`; with 2 the norms are `[n, n_kernels * n_regions]`, as `reduce_regions` gives them.
    """
    columns = torch.tensor([atom.find_place(grid) for atom in atoms], dtype=torch.int64, device=norms.device)
    return kernels.pack_columns(norms, columns, *list_norm_comparisons(atoms, norms.device), engine=engine)


def list_norm_comparisons(atoms: Sequence[InputAtom], device: torch.device) -> tuple[Tensor, Tensor]:
    """The constants, float32 `[n_atoms]`, and operators, int8 `[n_atoms]`, of atoms, as kernels take them."""
    constants = torch.tensor([atom.constant for atom in atoms], dtype=torch.float32, device=device)
    operators = torch.tensor([_OPERATORS[atom.operator] for atom in atoms], dtype=torch.int8, device=device)
    return constants, operators


def check_fits(source: Source, quantiser: Quantiser, layers: Sequence[str] | None = None) -> None:
    """Check that a source has all kernels of the quantiser's `layers` (all by default), and the right norms or bits.

    Raises:
        CaptureError: another norm, a missing layer or kernel; stored bits of other thresholds.
    """
    if source.settings.norm != quantiser.norm:
        raise CaptureError(
            f"the program needs norm '{quantiser.norm}', but the capture has '{source.settings.norm}'; "
            f"capture again with --norm {quantiser.norm}"
        )
    n_kernels = source.n_kernels
    stored = None if source.has_norms or source.quantiser is None else set(source.quantiser.atoms)
    for layer in quantiser.layers if layers is None else layers:
        atoms = quantiser.atoms_of_layer(layer)
        if layer not in n_kernels:
            raise CaptureError(
                f"the capture lacks layer '{layer}' of the program{suggest_nearest(layer, source.layers)}"
            )
        quarter = next((atom for atom in atoms if atom.is_quarter), None)
        if quarter is not None and source.settings.grid == 1:
            raise CaptureError(
                f"the program needs the quarters of maps ({quarter.name}), and {source.name} has whole maps alone; "
                "capture again with --grid 2"
            )
        highest = max(atom.column for atom in atoms)
        if highest * count_regions(source.settings.grid) >= n_kernels[layer]:
            raise CaptureError(
                f"the program needs kernel {highest} of layer '{layer}', but in the capture the layer has only "
                f"{n_kernels[layer] // count_regions(source.settings.grid)} kernels; is it a capture of another model?"
            )
        differs = next((atom for atom in atoms if stored is not None and atom not in stored), None)
        if differs is not None:
            raise CaptureError(
                f"{source.name} contains bits but no norms, and none of its bits is '{differs.name} {differs.operator} "
                f"{differs.constant!r}' as in the program; capture norms, or bits with --thresholds of the program"
            )


@contextmanager
def open_packing_job(
    capture: Capture,
    path: str | Path,
    thresholds: Thresholds,
    *,
    force: bool = False,
    progress: Progress = ignore_progress,
) -> Iterator[CaptureJob]:
    """Start a capture of bits from the norms of another capture, without the network, or resume it.

    Raises:
        CaptureError: `capture` is damaged or contains no norms; see `open_capture_job` for the rest.
    """
    path = Path(path)
    if capture.store == "bits":
        raise CaptureError(f"{capture.path} contains bits already and no norms to pack; give a capture of norms")
    if path.resolve() == capture.path.resolve():
        raise OutputError(f"{path} is the capture that is to be packed; write to another path")
    before = capture.manifest
    layers = {layer: n for layer, n in before.layers.items() if layer in thresholds.quantiser.rows_of_layer}
    manifest = Manifest(
        layers,
        before.classes,
        before.settings,
        "bits",
        before.norm_dtype,
        before.shard_size,
        before.n_listed,
        before.listing,
        thresholds,
        has_logits=before.has_logits,
        edges=capture.graph.restrict(layers).edges,
    )

    def produce(numbers: Sequence[int], report: Callable[[int], None]) -> Iterator[Samples]:
        n_done = 0
        for number in numbers:
            shard = capture.shards[number]
            norms = {layer: shard.read_norms(layer).float() for layer in layers}
            words = pack_norms(norms, thresholds.quantiser, before.settings.grid)
            logits = shard.read_logits() if before.has_logits else None
            yield Samples(shard.read_ids(), shard.read_labels(), shard.read_predictions(), words=words, logits=logits)
            n_done += shard.entry.images[1] - shard.entry.images[0]
            report(n_done)

    id_bytes = count_id_bytes(capture.shards[0].read_ids()[:1000]) if capture.shards else 0.0
    with begin_job(path, manifest, id_bytes, produce, "pack", force=force, progress=progress) as job:
        yield job


def pack_norms(norms: Mapping[str, Tensor], quantiser: Quantiser, grid: int) -> dict[str, Tensor]:
    """Pack float32 norms `[n, n_kernels]` of each layer; returns layer -> int32 words `[n_atoms, n_words]`.

    grid: see `pack_layer`.
    """
    return {layer: pack_layer(norms[layer], quantiser.atoms_of_layer(layer), grid=grid) for layer in quantiser.layers}
