"""Label kernels with concepts: what a kernel's active area covers on its strongest images, by segmentation masks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from eric_fast.analyse.masks import LAYOUT, MaskFolder, find_size, view_mask
from eric_fast.analyse.symbolic import find_strongest
from eric_fast.capture import ImageData, LoadedModel, capture_activations, take_model
from eric_fast.capture.data import DataPart
from eric_fast.capture.heat import find_strength, upsample_map
from eric_fast.capture.maps import iterate_maps
from eric_fast.capture.norms import slice_region
from eric_fast.errors import DataError, SettingError
from eric_fast.evaluator.match import check_fingerprint
from eric_fast.program import Program
from eric_fast.program.atoms import InputAtom
from eric_fast.program.simplify import find_mentioned
from eric_fast.progress import Progress, ignore_progress

_N_STRONGEST = 10


@dataclass(frozen=True)
class ConceptShares:
    """What one kernel's active area covers.

    Attributes:
        atom: index into the program's atoms.
        name: the atom's name.
        n_images: how many of its strongest images have an active area.
        shares: pairs (concept, share of the active area on these images), the highest share first, without concepts
            that the area doesn't touch.
    """

    atom: int
    name: str
    n_images: int
    shares: tuple[tuple[str, float], ...]

    def choose_label(self, least: float = 0.5) -> str | None:
        """The concept with the highest share if that is at least `least`, else None; on a tie the lowest number."""
        return self.shares[0][0] if self.shares and self.shares[0][1] >= least else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"name": self.name, "n_images": self.n_images, "shares": dict(self.shares)}


def measure_concepts(
    program: Program,
    model: LoadedModel | nn.Module,
    data: ImageData,
    masks: MaskFolder,
    *,
    n_strongest: int = _N_STRONGEST,
    progress: Progress = ignore_progress,
    **settings: Any,
) -> list[ConceptShares]:
    """Measure which concepts the kernels that a program mentions react to.

    This is NeSyFOLD's semantic labelling (arXiv 2301.12667). The network runs over the images that have a mask. For
    each kernel, its map is enlarged to the image on the `n_strongest` images where its norm is highest. The kernel is
    active where the map is above its threshold: the area that heat maps outline; of a quarter of a map, that within the
    quarter. The result is the share of all that area that lies on each concept.

    Args:
        program: over the kernels of `model`.
        model: as of `capture_activations`.
        data: a folder of images, or another data set that gives single images.
        masks: of some of the images at least.
        n_strongest: images for each kernel.
        progress: told how far the work is.
        settings: how the network runs, as of `capture_activations`; `limit` is not among them.

    Returns:
        One entry for each kernel that the program mentions, in the order of its atoms.

    Raises:
        DataError: no image has a mask, or a mask doesn't fit its image.
        SettingError: `n_strongest` is below 1.
        CaptureError: the program was extracted from another model.
        ProgramError: the program is over a table.
    """
    if n_strongest < 1:
        raise SettingError(f"n_strongest is {n_strongest}; concepts need at least one image for each kernel")
    model, atoms = take_model(model), program.network_quantiser.atoms
    check_fingerprint(program, model.fingerprint)
    mentioned = sorted(atom for atom in find_mentioned(program) if atom < len(atoms))
    if data.is_stream:
        raise DataError(f"{data.name} is a stream, which doesn't give single images; use a folder of images instead")
    masked = [i for i, image in enumerate(data.ids) if masks.find_mask(image)]
    if not masked:
        raise DataError(f"{masks.root} has no mask for any of the {len(data):,} images of {data.name}; {LAYOUT}")
    if not mentioned:
        return []
    layers = [layer for layer in program.layers if any(atoms[atom].layer == layer for atom in mentioned)]
    part = DataPart(data, masked)
    norm, grid = program.network_quantiser.norm, program.network_quantiser.grid
    activations = capture_activations(model, part, layers=layers, norm=norm, grid=grid, progress=progress, **settings)
    place = {image: i for i, image in enumerate(part.ids)}
    strongest: dict[int, list[int]] = defaultdict(list)  # image -> atoms that it is among the strongest of
    for layer in layers:
        images = find_strongest(activations.norms[layer], n_strongest).tolist()
        lowest = find_strongest(-activations.norms[layer], n_strongest).tolist()
        for atom in mentioned:
            if atoms[atom].layer == layer:
                for image in (lowest if atoms[atom].operator == "<=" else images)[atoms[atom].find_place(grid)]:
                    strongest[place[activations.ids[image]]].append(atom)
    wanted = {
        layer: sorted({atoms[atom].column for atom in mentioned if atoms[atom].layer == layer}) for layer in layers
    }
    return _count_areas(program, model, part, masks, mentioned, strongest, wanted, progress, settings)


def _count_areas(
    program: Program,
    model: LoadedModel,
    data: ImageData,
    masks: MaskFolder,
    mentioned: Sequence[int],
    strongest: Mapping[int, Sequence[int]],
    wanted: Mapping[str, Sequence[int]],
    progress: Progress,
    settings: Mapping[str, Any],
) -> list[ConceptShares]:
    atoms, norm = program.network_quantiser.atoms, program.network_quantiser.norm
    numbers = list(masks.concepts)
    areas = {atom: np.zeros(1 + len(numbers), np.int64) for atom in mentioned}  # in all, then on each concept
    n_active = dict.fromkeys(mentioned, 0)
    place = {image: i for i, image in enumerate(data.ids)}
    indices, done = sorted(strongest), 0
    for batch in iterate_maps(model, data, indices, wanted, **settings):
        for number, image in enumerate(batch.ids):
            index = place[image]
            progress("concepts", done, len(indices))
            done += 1
            height, width = batch.images.shape[1:3]
            picture = data.load_image(index)
            lies = view_mask(model, picture, masks.load_mask(image, find_size(picture)))
            for atom in strongest[index]:
                source: InputAtom = atoms[atom]
                strength = find_strength(batch.find_map(number, source.layer, source.column), norm)
                region = slice_region(source.region if source.is_quarter else "", height, width)
                active, wide = np.zeros((height, width), np.bool_), upsample_map(strength, width, height)[region]
                active[region] = (wide > np.float32(source.constant)) != (source.operator == "<=")
                n_active[atom] += bool(active.any())
                areas[atom] += _measure_overlaps(active, lies, numbers)
    progress("concepts", len(indices), len(indices))
    return [
        ConceptShares(atom, atoms[atom].name, n_active[atom], _list_shares(areas[atom], list(masks.concepts.values())))
        for atom in mentioned
    ]


def _measure_overlaps(
    active: NDArray[np.bool_], lies: Mapping[int, NDArray[np.bool_]], numbers: Sequence[int]
) -> NDArray[np.int64]:
    """Count pixels of the active area, in all and on each concept: int64 `[1 + n_concepts]`."""
    counts = [np.count_nonzero(active & lies[number]) if number in lies else 0 for number in numbers]
    return np.array([np.count_nonzero(active), *counts])


def _list_shares(areas: NDArray[np.int64], names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    shares = [(name, int(area) / int(areas[0])) for name, area in zip(names, areas[1:], strict=True) if area]
    return tuple(sorted(shares, key=lambda pair: -pair[1]))  # stable
