"""Norms to bits, by thresholds that are given."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, suggest_nearest
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.store import Capture
from eric_fast.store.activations import Activations

_OPERATORS = {">": kernels.GREATER, "<=": kernels.LESS_EQUAL, "==": kernels.EQUAL}


def quantise_activations(
    activations: Activations, quantiser: Quantiser, layers: Sequence[str] | None = None
) -> BitMatrix:
    """The truth of the quantiser's atoms of these layers (all by default) on every image.

    Raises:
        CaptureError: a layer or kernel that the capture lacks, or norms of another kind.
    """
    check_fits(activations, quantiser, layers)
    wanted = quantiser.layers if layers is None else layers
    atoms = [atom for layer in wanted for atom in quantiser.atoms_of_layer(layer)]
    parts = [pack_layer(activations.norms[layer], quantiser.atoms_of_layer(layer)) for layer in wanted]
    words = torch.cat(parts) if parts else torch.zeros(0, count_words(activations.n_images), dtype=torch.int32)
    return BitMatrix(words, activations.n_images, tuple(atom.name for atom in atoms))


def pack_layer(norms: Tensor, atoms: Sequence[InputAtom], engine: str = "auto") -> Tensor:
    """Norms of one layer, float32 `[n, n_kernels]` on any device -> int32 words `[n_atoms, n_words]` there."""
    columns = torch.tensor([atom.column for atom in atoms], dtype=torch.int64, device=norms.device)
    return kernels.pack_columns(norms, columns, *list_comparisons(atoms, norms.device), engine=engine)


def list_comparisons(atoms: Sequence[InputAtom], device: torch.device) -> tuple[Tensor, Tensor]:
    """What kernels take of atoms: constants, float32 `[n_atoms]`, and operators, int8 `[n_atoms]`."""
    constants = torch.tensor([atom.constant for atom in atoms], dtype=torch.float32, device=device)
    operators = torch.tensor([_OPERATORS[atom.operator] for atom in atoms], dtype=torch.int8, device=device)
    return constants, operators


def check_fits(activations: Activations | Capture, quantiser: Quantiser, layers: Sequence[str] | None = None) -> None:
    """Refuse a capture that lacks kernels of the quantiser's `layers` (all by default), or has another norm."""
    if activations.settings.norm != quantiser.norm:
        raise CaptureError(
            f"the program needs norm '{quantiser.norm}', the capture holds '{activations.settings.norm}'; "
            f"capture again with --norm {quantiser.norm}"
        )
    n_kernels = activations.n_kernels
    for layer in quantiser.layers if layers is None else layers:
        if layer not in n_kernels:
            raise CaptureError(
                f"the capture lacks layer '{layer}' of the program{suggest_nearest(layer, activations.layers)}"
            )
        highest = max(atom.column for atom in quantiser.atoms_of_layer(layer))
        if highest >= n_kernels[layer]:
            raise CaptureError(
                f"the program needs kernel {highest} of layer '{layer}', which has {n_kernels[layer]} kernels in the "
                "capture; is it a capture of another model?"
            )
