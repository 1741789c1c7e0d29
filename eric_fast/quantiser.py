"""`Quantiser`: which comparison of which number each input atom of a program stands for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eric_fast.errors import ProgramError

NORMS = ("l1", "l2", "max", "mean")
CRITERIA = ("entropy", "gini")  # what splits are chosen by, of norms and of bits
OPERATORS = (">", "<=", "==")


@dataclass(frozen=True, slots=True)
class InputAtom:
    """One comparison: `norm of kernel `column` of `layer`` `operator` `constant`, in float32.

    False where the norm is missing (NaN). `constant` is rounded to float32 when the atom is made.
    """

    layer: str
    column: int
    operator: str
    constant: float

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # past the largest float32 it becomes infinite, and is refused
            object.__setattr__(self, "constant", float(np.float32(self.constant)))

    @property
    def name(self) -> str:
        """How a person and a `BitMatrix` call it: `features.19:17`."""
        return f"{self.layer}:{self.column}"


@dataclass(frozen=True)
class Quantiser:
    """The atoms of every layer that a program may start from, layer by layer in execution order.

    Attributes:
        atoms: all atoms; those of one layer lie together.
        norm: how a feature map was reduced to one number: one of `NORMS`.

    Raises:
        ProgramError: an atom that occurs twice, a constant that float32 can't hold, an unknown operator.
    """

    atoms: tuple[InputAtom, ...]
    norm: str = "l1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(self.atoms))
        self.validate()

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in execution order."""
        return tuple(dict.fromkeys(atom.layer for atom in self.atoms))

    @cached_property
    def rows_of_layer(self) -> dict[str, range]:
        """Layer -> the indices of its atoms."""
        rows: dict[str, range] = {}
        for i, atom in enumerate(self.atoms):
            first = rows[atom.layer].start if atom.layer in rows else i
            rows[atom.layer] = range(first, i + 1)
        return rows

    def atoms_of_layer(self, layer: str) -> tuple[InputAtom, ...]:
        rows = self.rows_of_layer[layer]
        return self.atoms[rows.start : rows.stop]

    def validate(self) -> None:
        if self.norm not in NORMS:
            raise ProgramError(f"norm '{self.norm}' is not one of {', '.join(NORMS)}")
        seen: set[str] = set()
        last_layer, layers = None, set()
        for atom in self.atoms:
            if atom.name in seen:
                raise ProgramError(f"kernel {atom.column} of layer '{atom.layer}' occurs twice")
            seen.add(atom.name)
            if atom.layer != last_layer:
                if atom.layer in layers:
                    raise ProgramError(f"the kernels of layer '{atom.layer}' must stand together")
                last_layer = atom.layer
                layers.add(atom.layer)
            if atom.operator not in OPERATORS:
                raise ProgramError(f"{atom.name}: operator '{atom.operator}' is not one of {', '.join(OPERATORS)}")
            if not isinstance(atom.column, int) or not 0 <= atom.column < 2**31:
                raise ProgramError(f"layer '{atom.layer}': {atom.column} is not a kernel number")
            if not np.isfinite(atom.constant):
                raise ProgramError(f"{atom.name}: the threshold {atom.constant!r} is not a finite float32 number")
