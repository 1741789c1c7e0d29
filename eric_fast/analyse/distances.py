"""Distances between images, within a set and to other images, compared with those of random sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import name_start

Floats = NDArray[np.float64]
BLOCK = 64  # columns that are copied to float64 at a time
_SLACK = 1e-9  # how far equal figures may differ by rounding, relative to the distance of a pair


@dataclass(frozen=True, eq=False)
class Space:
    """The space of the network's last layer: an image is a point, a kernel is an axis, scaled to variance 1.

    Norms are those of whole maps, also where rules mention quarters; of bits, each quarter's is an axis of its own. A
    set is measured without all axes of the kernels that its rule mentions, wholly or in part.

    Attributes:
        values: float32 norms or bool bits `[n_images, n_kernels]`.
        means: float64 `[n_kernels]`, over all images.
        deviations: float64 `[n_kernels]`; an axis whose deviation is 0 is left out of distances.
        columns_of_atom: atom of the program -> the axes of its kernel.
    """

    values: Tensor
    means: Floats
    deviations: Floats
    columns_of_atom: dict[int, list[int]]

    @classmethod
    def of_layer(cls, program: Program, bits: BitMatrix, norms: Tensor | None) -> "Space":
        """Build the space of the program's highest layer; of several, of their bits.

        Args:
            norms: float32 `[n_images, n_kernels]` of whole maps of that layer; None to use its bits.

        Raises:
            CaptureError: norms of other images, or too few kernels.
        """
        top, atoms = program.graph.highest, program.list_given(program.graph.highest)
        kernels = {atom: program.quantiser.atoms[atom].column for atom in atoms}
        if norms is None:
            values = bits.select_atoms([program.atoms[atom].name for atom in atoms]).to_bools().cpu()
            is_network = isinstance(program.quantiser, Quantiser)  # a table's column has many comparisons
            keys = {a: (program.atoms[a].layer, kernel if is_network else a) for a, kernel in kernels.items()}
            places: dict[tuple[str, int], list[int]] = {}
            for i, key in enumerate(keys.values()):
                places.setdefault(key, []).append(i)
            columns = {atom: places[key] for atom, key in keys.items()}
        else:
            values = norms.cpu()
            columns = {atom: [kernel] for atom, kernel in kernels.items()}
            last = max(kernels.values(), default=-1)
            if norms.ndim != 2 or len(norms) != bits.n_samples or norms.shape[1] <= last:
                raise CaptureError(
                    f"the norms of '{name_start(top)}' must be [n_images, n_kernels] for {bits.n_samples} images and "
                    f"{1 + last} kernels or more, not {list(norms.shape)}"
                )
        blocks = [block.double() for block in values.split(BLOCK, dim=1)] if values.shape[1] else []
        means = [block.mean(dim=0) for block in blocks]
        deviations = [block.std(dim=0, unbiased=False) for block in blocks]
        none = [torch.zeros(0, dtype=torch.float64)]
        return cls(values, torch.cat(means or none).numpy(), torch.cat(deviations or none).numpy(), columns)

    def place(self, images: Tensor) -> Floats:
        """Place these images, int64 `[n]`: float64 `[n, n_kernels]`, 0 on the axis of a kernel that never changes."""
        points = self.values[images].double().numpy() - self.means
        return np.divide(points, self.deviations, out=np.zeros_like(points), where=self.deviations > 0)

    def leave_out(self, atoms: Iterable[int]) -> NDArray[np.int64]:
        """List the axes of kernels that change, without those of these atoms."""
        columns = [column for atom in atoms for column in self.columns_of_atom.get(atom, ())]
        return np.setdiff1d(np.flatnonzero(self.deviations > 0), columns)


@dataclass(frozen=True)
class Chance:
    """How a set compares with random ones; see `Subclass`. The defaults stand where a set is too small to compare."""

    cohesion: float | None = None
    distinctness: float | None = None
    effect: float | None = None
    p_cohesive: float = 1.0
    p_distinct: float = 1.0


class RandomSets:
    """Random sets of a class's images, for a permutation test of sets of the same size.

    Args:
        points: float64 `[n, n_kernels]`.
        n_permutations: how many random sets.
        seed: the same seed gives the same sets.
    """

    def __init__(self, points: Floats, n_permutations: int, seed: Sequence[int]) -> None:
        self._points = points
        numbers = np.tile(np.arange(len(points), dtype=np.int32), (n_permutations, 1))
        # A row's values below m mark m random images.
        self._order = np.random.default_rng(seed).permuted(numbers, axis=1)

    def compare(self, members: NDArray[np.bool_], kept: NDArray[np.int64]) -> Chance:
        """Compare a set, bool `[n]`, with random ones of its size, on the axes `kept`."""
        n, size = len(members), int(members.sum())
        if not 2 <= size <= n - 1 or not len(kept):
            return Chance()
        points = self._points[:, kept] - self._points[:, kept].mean(axis=0)
        sets = np.concatenate([members[None], self._order < size]).astype(np.float64)  # [1 + n_permutations, n]
        squares, products = _measure_sums(sets, points)
        near = 2 / (size - 1) * (squares - products / size)  # mean squared distances between two points of a set
        whole = 2 / (n - 1) * float((points**2).sum())
        if whole <= 0:  # all images are alike
            return Chance()
        # The points outside of a set sum up to the opposite of those in it
        apart = products * (1 / size + 1 / (n - size)) ** 2
        slack = _SLACK * whole
        return Chance(
            cohesion=float(1 - near[0] / whole),
            distinctness=float(apart[0] / whole),
            effect=_standardise(near),
            p_cohesive=float((near <= near[0] + slack).mean()),  # the set itself is one of them
            p_distinct=float((apart >= apart[0] - slack).mean()),
        )


def _standardise(near: Floats) -> float | None:
    """By how many standard deviations the first distance lies below the mean of the others, those of random sets."""
    deviation = float(near[1:].std())
    return float((near[1:].mean() - near[0]) / deviation) if deviation > 0 else None


def _measure_sums(sets: Floats, points: Floats) -> tuple[Floats, Floats]:
    """The sum of the squared lengths of each set's points, and the squared length of their sum: float64 `[n_sets]`.

    Of fewer points than axes, by the products of all pairs of points.

    Args:
        sets: 0 or 1 `[n_sets, n]`.
        points: `[n, n_kernels]`.
    """
    squares = sets @ (points**2).sum(axis=1)
    if len(points) < points.shape[1]:
        return squares, np.einsum("ij,ij->i", sets @ (points @ points.T), sets)
    sums = sets @ points
    return squares, np.einsum("ij,ij->i", sums, sums)
