"""Heat maps: where kernels are active in their strongest images, as small bytes that the page colours."""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from eric_fast.capture import ImageData, LoadedModel
from eric_fast.capture.heat import find_strength
from eric_fast.capture.maps import iterate_maps
from eric_fast.program import Program
from eric_fast.program.atoms import InputAtom
from eric_fast.progress import Progress, ignore_progress
from eric_fast.show.page.document import pack_ints

MOST_KERNELS = 400
SIDE = 16  # a map's longer side in the page, at most
_BATCH = 32
NO_OTHERS: Mapping[int, Sequence[int]] = MappingProxyType({})


def draw_maps(
    program: Program,
    atoms: Sequence[int],
    strongest: Tensor,
    model: LoadedModel,
    data: ImageData,
    places: Sequence[int],
    progress: Progress = ignore_progress,
    others: Mapping[int, Sequence[int]] = NO_OTHERS,
) -> list[dict[str, Any]]:
    """For each of `atoms` the maps of its strongest images, then of others: bytes from 0 to 255, the strongest of all.

    Args:
        atoms: of the program, the first `MOST_KERNELS` of which are drawn.
        strongest: int64 `[n_atoms, n]`: embedded images.
        places: for each embedded image its index in `data`.
        others: atom -> other embedded images.
    """
    chosen = [atom for atom in atoms if isinstance(program.atoms[atom], InputAtom)][:MOST_KERNELS]
    kernels: dict[str, list[int]] = {}
    for atom in chosen:
        kernels.setdefault(program.atoms[atom].layer, []).append(_column_of(program, atom))
    shown = {}
    for atom in chosen:
        first = strongest[atom].tolist()
        shown[atom] = [*first, *(image for image in others.get(atom, ()) if image not in first)]
    # Which maps each image gives: its place among those of an atom
    wanted: dict[int, list[tuple[int, int]]] = {}
    for atom, own in shown.items():
        for rank, image in enumerate(own):
            wanted.setdefault(image, []).append((atom, rank))
    images = sorted(wanted)
    found: dict[tuple[int, int], NDArray[np.float32]] = {}
    norm, done = program.network_quantiser.norm, 0
    for part in iterate_maps(
        model, data, [places[i] for i in images], {k: sorted(set(v)) for k, v in kernels.items()}, batch_size=_BATCH
    ):
        for row in range(len(part.ids)):
            for atom, rank in wanted[images[done + row]]:
                activation = part.find_map(row, program.atoms[atom].layer, _column_of(program, atom))
                found[atom, rank] = _shrink(find_strength(activation, norm))
        done += len(part.ids)
        progress("heat maps", done, len(images))
    return [_encode(atom, own, [found[atom, rank] for rank in range(len(own))]) for atom, own in shown.items()]


def _column_of(program: Program, atom: int) -> int:
    column = program.atoms[atom]
    assert isinstance(column, InputAtom)
    return column.column


def _shrink(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = strength.shape
    scale = SIDE / max(height, width)
    if scale >= 1:
        return strength
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(strength, "F").resize(size, Image.Resampling.BOX), np.float32)


def _encode(atom: int, images: Sequence[int], maps: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    alike = [place for place, each in enumerate(maps) if each.shape == maps[0].shape]
    stacked = np.stack([maps[place] for place in alike])
    top = max(float(stacked.max()), 1e-30)
    values = np.rint(np.clip(stacked / top, 0, 1) * 255).astype(np.uint8)
    _, height, width = values.shape
    return {
        "atom": atom,
        "images": pack_ints([images[place] for place in alike]),
        "width": width,
        "height": height,
        "values": base64.b64encode(values.tobytes()).decode("ascii"),
    }
