"""`TableQuantiser`: the comparisons that turn a table's columns into the input atoms of a program."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program.array_sequence import ArraySequence

TABLE = "table"  # the one layer of a program over a table
TABLE_OPERATORS = (">", "<=", "==", "<", ">=", "!=", "in")
KINDS = ("float32", "float64", "text", "loose")
TEXT_KINDS = ("text", "loose")  # those whose sets hold texts


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as a program's source sees it.

    Attributes:
        name: how the source calls it.
        kind: what its values are made before they are compared: `float32` or `float64` numbers (rounded to nearest),
            missing where NaN; `text`, missing where there is none; or `loose`, as a person writes rules: a text that
            stands for the one in the program that it equals, or else for the only one that it equals without regard to
            case and with `_` for a space; and under a comparison with a number the float64 that it spells, missing
            where it spells none.
    """

    name: str
    kind: str = "float64"


@dataclass(frozen=True, slots=True)
class TableAtom:
    """One comparison of a column of a table: `feature` `operator` `constant`.

    Attributes:
        column: its place in `Quantiser.columns`.
        feature: its name there.
        operator: one of `TABLE_OPERATORS`; of kind `text` it is `in`.
        constant: a number that the column's kind can hold, infinite ones included; under `in` a tuple of such numbers,
            or of texts, each once.
        missing: the truth where the value is missing.
    """

    column: int
    feature: str
    operator: str
    constant: float | tuple[float | str, ...]
    missing: bool = False

    @property
    def layer(self) -> str:
        return TABLE

    @property
    def name(self) -> str:
        """How a person and a `BitMatrix` call it: `age <= 12.5`."""
        constant = self.constant
        written = "{" + ", ".join(map(str, constant)) + "}" if isinstance(constant, tuple) else str(constant)
        return f"{self.feature} {self.operator} {written}" + (" or missing" if self.missing else "")


@dataclass(frozen=True, eq=False)
class TableAtoms(ArraySequence[TableAtom]):
    """Comparisons with numbers as arrays, for the million of a forest; each is a `TableAtom` when it is asked for.

    Attributes:
        features: the names of the table's columns.
        columns: int32 `[n]`: places in `features`.
        operators: int8 `[n]`: places in `TABLE_OPERATORS`, not that of `in`.
        constants: float64 `[n]`.
        missing: bool `[n]`: the truth where the value is missing.

    Raises:
        ProgramError: arrays that don't belong together.
    """

    features: tuple[str, ...]
    columns: NDArray[np.int32]
    operators: NDArray[np.int8]
    constants: NDArray[np.float64]
    missing: NDArray[np.bool_]

    def __post_init__(self) -> None:
        dtypes = {"columns": np.int32, "operators": np.int8, "constants": np.float64, "missing": np.bool_}
        self._freeze(dtypes, "comparisons")
        for name, dtype in dtypes.items():
            if (length := len(getattr(self, name))) != len(self):
                raise ProgramError(
                    f"the {name} of comparisons must be {np.dtype(dtype)} [n], where n is {len(self)}, not {length}"
                )
        for array, n in ((self.columns, len(self.features)), (self.operators, TABLE_OPERATORS.index("in"))):
            if len(array) and not 0 <= array.min() <= array.max() < n:
                raise ProgramError(f"TableAtoms needs columns among the {len(self.features)} and no operator 'in'")

    def __len__(self) -> int:
        return len(self.columns)

    def _make(self, index: int) -> TableAtom:
        column = int(self.columns[index])
        operator = TABLE_OPERATORS[self.operators[index]]
        return TableAtom(
            column, self.features[column], operator, float(self.constants[index]), bool(self.missing[index])
        )

    def find_twin(self) -> int | None:
        """The place of a comparison that stands twice, if one does."""
        order = np.lexsort((self.missing, self.operators, self.constants, self.columns))
        same = np.ones(max(len(self) - 1, 0), np.bool_)
        for array in (self.columns, self.operators, self.constants, self.missing):
            in_order = array[order]
            same &= in_order[1:] == in_order[:-1]
        return int(order[same.argmax()]) if same.any() else None


@dataclass(frozen=True)
class TableQuantiser:
    """The input atoms of a program over a table, in the source's order.

    Attributes:
        atoms: a tuple, or `TableAtoms`, which equals it.
        columns: of the table, in the source's order, those that no atom compares among them.

    Raises:
        ProgramError: an atom that occurs twice, a constant that its column's kind can't hold, an unknown operator.

    Examples:
        >>> program = ef.from_asp("p(X) :- age(X,A), A > 30.").program
        >>> program.table_quantiser.columns[0].name
        'age'
    """

    atoms: tuple[TableAtom, ...] | TableAtoms
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", self.atoms if isinstance(self.atoms, TableAtoms) else tuple(self.atoms))
        object.__setattr__(self, "columns", tuple(self.columns))
        _check_columns(self.columns)
        if isinstance(self.atoms, TableAtoms):
            _check_arrays(self.atoms, self.columns)
        else:
            _check_atoms(self.atoms, self.columns)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """`TABLE` alone."""
        return (TABLE,)

    @cached_property
    def rows_of_layer(self) -> dict[str, range]:
        """`TABLE` -> the indices of all atoms."""
        return {TABLE: range(len(self.atoms))}

    @cached_property
    def names_of_layer(self) -> dict[str, tuple[str, ...]]:
        """`TABLE` -> the names of all atoms."""
        return {TABLE: tuple(atom.name for atom in self.atoms)}


def _check_columns(columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.kind not in KINDS:
            raise ProgramError(f"column '{column.name}': kind '{column.kind}' is not one of {', '.join(KINDS)}")
        if not column.name or column.name in seen:
            raise ProgramError(
                f"two columns are called '{column.name}'; rename one"
                if column.name
                else "a column has no name; give it one"
            )
        seen.add(column.name)


def _check_atoms(atoms: Sequence[TableAtom], columns: Sequence[Column]) -> None:
    """There may be a million of them, so numbers are checked together."""
    numbers: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for atom in atoms:
        if not 0 <= atom.column < len(columns) or columns[atom.column].name != atom.feature:
            raise ProgramError(f"{atom.name}: column {atom.column} of the table is not '{atom.feature}'")
        kind, constant = columns[atom.column].kind, atom.constant
        if atom.operator not in TABLE_OPERATORS:
            raise ProgramError(f"{atom.name}: operator '{atom.operator}' is not one of {', '.join(TABLE_OPERATORS)}")
        if (atom.operator == "in") != (type(constant) is tuple):
            raise ProgramError(f"{atom.name}: 'in' needs a tuple of values, any other operator a number")
        if type(constant) is not tuple:
            numbers[kind].append(cast(float, constant))
        elif len(set(constant)) < len(constant):
            raise ProgramError(f"{atom.name}: the set has a value twice")
        elif kind not in TEXT_KINDS:
            numbers[kind] += cast(tuple[float, ...], constant)
        elif not all(type(value) is str for value in constant):
            raise ProgramError(f"{atom.name}: a column of text can only be compared with strings")
        if kind == "text" and atom.operator != "in":
            raise ProgramError(f"{atom.name}: a column of text can only be compared by 'in'")
    if len(set(atoms)) < len(atoms):
        twice = next(atom for atom, count in Counter(atoms).items() if count > 1)
        raise ProgramError(f"the comparison {twice.name} occurs twice")
    for kind, values in numbers.items():
        if not all(type(value) is float for value in values):
            wrong = next(value for value in values if type(value) is not float)
            raise ProgramError(f"a column of kind {kind} can only be compared with floats, not with {wrong!r}")
        _check_constants(np.array(values, np.float64), kind)


def _check_arrays(atoms: TableAtoms, columns: Sequence[Column]) -> None:
    if atoms.features != tuple(column.name for column in columns):
        raise ProgramError("the names in TableAtoms.features are not those of the columns")
    twin = atoms.find_twin()
    if twin is not None:
        raise ProgramError(f"the comparison {atoms[twin].name} occurs twice")
    kinds = np.array([KINDS.index(column.kind) for column in columns])[atoms.columns]
    for number, kind in enumerate(KINDS):
        of_kind = kinds == number
        if kind != "text":
            _check_constants(atoms.constants[of_kind], kind)
        elif of_kind.any():
            raise ProgramError(f"{atoms[int(of_kind.argmax())].name}: a column of text can only be compared by 'in'")


def _check_constants(constants: NDArray[np.float64], kind: str) -> None:
    with np.errstate(over="ignore"):
        lost = constants != constants.astype("float32" if kind == "float32" else "float64")
    if lost.any():  # NaN too
        raise ProgramError(
            f"a column of kind {kind} can't be compared with {constants[lost][0]}, which {kind} can't hold"
        )
