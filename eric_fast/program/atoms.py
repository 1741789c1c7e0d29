"""`Quantiser`: the comparisons that turn a network's kernels into the input atoms of a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter

import numpy as np

from eric_fast.errors import ProgramError

PIXEL_NORMS = ("l1", "l2", "max", "mean")  # for which the order of a map's pixels doesn't matter
NORMS = (*PIXEL_NORMS, "spectral")
CRITERIA = ("entropy", "gini")  # what splits are chosen by, of norms and of bits
OPERATORS = (">", "<=", "==")
REGIONS = ("", "upper-left", "upper-right", "lower-left", "lower-right")  # of a map; the first is the whole
NEGATIVE = "negative"  # in the place of a region: the atom is about how far the whole map's norm lies below 0
# Likewise: the atom has another threshold of the whole map's norm.
THRESHOLD_LEVELS = tuple(f"level-{number}" for number in range(2, 8))
GRIDS = (1, 2)  # norms of whole maps alone, or also of their quarters, for each kernel in the order of `REGIONS`
_KNOWN = (*REGIONS, NEGATIVE, *THRESHOLD_LEVELS)


@dataclass(frozen=True, slots=True)
class InputAtom:
    """One comparison: `norm of kernel `column` of `layer`` `operator` `constant`, in float32.

    False where the norm is missing (NaN). `constant` is rounded to float32 when the atom is made. The norm is that of
    the whole map, or of a quarter of it: the `region`, one of `REGIONS`. A kernel with a threshold on either side of 0
    has two atoms of the whole map: `> t`, and `<= -t` whose region is `NEGATIVE`. One with several thresholds has an
    atom for each; the region of those after the first is one of `THRESHOLD_LEVELS`.

    Examples:
        >>> ef.InputAtom("features.19", 17, ">", 0.25).name
        'features.19:17'
    """

    layer: str
    column: int
    operator: str
    constant: float
    region: str = ""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # past the largest float32 it becomes infinite, and is refused
            object.__setattr__(self, "constant", float(np.float32(self.constant)))

    @property
    def name(self) -> str:
        """How people and a `BitMatrix` call it: `features.19:17`, `features.19:17@upper-left`, `mlp:17@negative`."""
        return f"{self.layer}:{self.column}" + (f"@{self.region}" if self.region else "")

    @property
    def is_quarter(self) -> bool:
        """Whether it compares the norm of a quarter."""
        return self.region in REGIONS[1:]

    def find_place(self, grid: int) -> int:
        """Where its norm stands among those of its layer, captured with this grid, one of `GRIDS`.

        Raises:
            ProgramError: a quarter, of a capture of whole maps.
        """
        if grid == 1 and self.is_quarter:
            raise ProgramError(f"{self.name} is a quarter of a map, and only whole maps were captured; use --grid 2")
        return self.column * count_regions(grid) + (REGIONS.index(self.region) if self.is_quarter else 0)


def count_regions(grid: int) -> int:
    """How many norms each kernel has."""
    return 1 if grid == 1 else len(REGIONS)


@dataclass(frozen=True)
class Quantiser:
    """The input atoms of a program over a network: those of every layer that it may start from.

    `TableQuantiser` is the same for a program over a table.

    Attributes:
        atoms: all atoms, layer by layer in execution order.
        norm: how a feature map was reduced to one number: one of `NORMS`.

    Raises:
        ProgramError: an atom that occurs twice, a threshold that is not a finite float32, an unknown operator.

    Examples:
        >>> quantiser = ef.Quantiser((ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("g", 3, ">", 1.5)))
        >>> quantiser.layers, quantiser.rows_of_layer["g"]
        (('f', 'g'), range(1, 2))
    """

    atoms: tuple[InputAtom, ...]
    norm: str = "l1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(self.atoms))
        if self.norm not in NORMS:
            raise ProgramError(f"norm '{self.norm}' is not one of {', '.join(NORMS)}")
        _check_atoms(self.atoms)

    @property
    def grid(self) -> int:
        """The least grid, one of `GRIDS`, that captures need for these atoms."""
        return 2 if self.has_regions else 1

    @cached_property
    def has_regions(self) -> bool:
        """Whether some atom compares the norm of a quarter."""
        return any(atom.is_quarter for atom in self.atoms)

    @cached_property
    def has_several_atoms(self) -> bool:
        """Whether kernels have several atoms: of quarters, of the other side of 0, or of several thresholds."""
        return any(atom.region for atom in self.atoms)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in execution order."""
        return tuple(self.rows_of_layer)

    @cached_property
    def rows_of_layer(self) -> dict[str, range]:
        """Layer -> the indices of its atoms."""
        rows, first = {}, 0
        for layer, atoms in groupby(self.atoms, key=attrgetter("layer")):
            last = first + sum(1 for _ in atoms)
            rows[layer] = range(first, last)
            first = last
        return rows

    @cached_property
    def names_of_layer(self) -> dict[str, tuple[str, ...]]:
        """Layer -> the names of its atoms."""
        return {layer: tuple(atom.name for atom in self.atoms_of_layer(layer)) for layer in self.layers}

    def atoms_of_layer(self, layer: str) -> tuple[InputAtom, ...]:
        """The atoms of a layer. Raises KeyError if there is no such layer."""
        rows = self.rows_of_layer[layer]
        return self.atoms[rows.start : rows.stop]


def _check_atoms(atoms: Sequence[InputAtom]) -> None:
    seen: set[str] = set()
    last_layer, layers = None, set()
    for atom in atoms:
        if atom.name in seen:
            raise ProgramError(f"kernel {atom.name.removeprefix(atom.layer)[1:]} of layer '{atom.layer}' occurs twice")
        seen.add(atom.name)
        if atom.layer != last_layer:
            if atom.layer in layers:
                raise ProgramError(f"the kernels of layer '{atom.layer}' must stand together")
            last_layer = atom.layer
            layers.add(atom.layer)
        if atom.operator not in OPERATORS:
            raise ProgramError(f"{atom.name}: operator '{atom.operator}' is not one of {', '.join(OPERATORS)}")
        if atom.region not in _KNOWN:
            raise ProgramError(f"{atom.name}: region '{atom.region}' is not one of {', '.join(_KNOWN[1:])}")
        if not isinstance(atom.column, int) or not 0 <= atom.column < 2**31:
            raise ProgramError(f"layer '{atom.layer}': {atom.column} is not a kernel number")
        if not np.isfinite(atom.constant):
            raise ProgramError(f"{atom.name}: the threshold {atom.constant!r} is not a finite float32 number")
