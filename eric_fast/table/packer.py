"""`TablePacker`: from tables to the packed bits of a program's comparisons."""

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.program.table_atoms import TEXT_KINDS, TableAtoms, TableQuantiser
from eric_fast.table.category_codes import find_value_codes, refuse_numbers
from eric_fast.table.column_names import bind_columns, is_nameless
from eric_fast.table.columns import KnownTexts, NumberColumn, find_codes
from eric_fast.table.number_tests import NumberTests, list_number_tests
from eric_fast.table.table import Table, as_table

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "loose": torch.float64}


class TablePacker:
    """A quantiser's comparisons, laid out once for the kernels and applied to any number of tables.

    Args:
        quantiser: of a table.
        named: whether columns are matched by name; else by position, since their names are made up.
        categories, optional: see `RuleModel`.
        odd: what becomes of a text that spells no number in a column of numbers; see `Table.read_numbers`.
    """

    def __init__(
        self,
        quantiser: TableQuantiser,
        *,
        named: bool = True,
        categories: Mapping[str, Sequence[float | str]] = MappingProxyType({}),
        optional: Collection[str] = (),
        odd: str = "refuse",
    ) -> None:
        self.named = named
        self._odd = odd
        self.categories = categories
        self.quantiser = quantiser
        atoms = quantiser.atoms
        sets: dict[int, list[int]] = {}  # column -> its atoms that are sets
        for index, atom in enumerate(() if isinstance(atoms, TableAtoms) else atoms):
            if atom.operator == "in":
                sets.setdefault(atom.column, []).append(index)
        self._sets = [_SetColumn(quantiser, column, rows) for column, rows in sets.items()]
        self._set_tests = _SetTests(quantiser, sets, self._sets)
        numbers = list_number_tests(atoms)
        kinds = np.array([column.kind for column in quantiser.columns])[numbers.columns]
        self._groups = [_Group(numbers, np.flatnonzero(kinds == kind), kind) for kind in np.unique(kinds).tolist()]
        self._used = sorted({*sets, *np.unique(numbers.columns).tolist()})
        self._names = tuple(column.name for column in quantiser.columns)
        self._n_optional = len(optional)

    def pack(self, data: Any, *, engine: str = "auto") -> tuple[Tensor, int]:
        """The bits of a table: int32 words `[n_atoms, n_words]` on the data's device, and the number of rows.

        Columns are matched by name, ignoring case if only one matches; by position if there are no names. For
        comparisons with numbers, values are rounded to nearest in the column's kind, integers above 2^53 too; a text is
        the number that it spells; a bool is 1 or 0. For comparisons with texts, a number equals the texts
        that spell it: `2.0` and `2` for 2.0, also `0` for -0.0; `True`, `true` and `1` for True. None, NaN, NA and null
        are missing values. Where the model knows the codes of a column's categories, a number in a table without names
        is such a code; with names it is a value.

        Args:
            data: `[n_rows, n_columns]`: a `Table`, a NumPy array (of objects or structured too), a tensor on any
                device, a pandas or polars frame, a pyarrow table, a mapping of columns, or a list of rows, which are
                values or mappings of names to them; a single mapping of names to values is one row.
            engine: see `kernels.pack_columns`; for `gpu` the values of columns are moved to the GPU.

        Raises:
            DataError: not a table; a column is missing, or holds neither numbers nor texts; a column of numbers
                holds a text that spells none and is refused; a column of
                categories holds numbers in place of texts, or a code that isn't whole.
        """
        table = as_table(data)
        return self.read(table, engine=engine).pack(0, table.n_rows), table.n_rows

    def read(self, table: Table, *, engine: str = "auto") -> "PackableTable":
        """The columns of a table as they are compared, ready to pack any of its rows; see `pack`."""
        names = table.names if self.named else None
        places = bind_columns(self._used, self._names, names, table.n_columns, self._n_optional)
        device = table.device
        if engine == "gpu" and device.type != "cuda" and torch.cuda.is_available():
            device = torch.device("cuda", torch.cuda.current_device())
        numbers = []
        for group in self._groups:
            of_group = [places[column] for column in group.columns]
            stacked, column_of = table.stack_numbers(
                of_group, group.dtype, odd="keep" if group.kind == "loose" else self._odd
            )
            numbers.append((stacked.to(device), group.compare(column_of)))
        codes = None
        if self._sets:
            codes = torch.stack([self._find_codes(table, places[known.column], known) for known in self._sets]).T
            codes = codes.to(device)
        return PackableTable(len(self.quantiser.atoms), device, numbers, codes, self._set_tests, engine)

    def _find_codes(self, table: Table, place: int, known: "_SetColumn") -> Tensor:
        """float32 `[n_rows]`: the index of each value in the sets' values, -1 for others, NaN if missing."""
        name, kind, values = known.name, known.kind, known.values
        if place < 0:  # an optional column
            return torch.full((table.n_rows,), torch.nan)
        few = table.list_few_texts(place) if known.texts is not None else None
        if few is not None and known.texts is not None:
            return torch.tensor([math.nan if text is None else known.texts.find(text) for text in few])
        data = table.read(place)
        if isinstance(data, NumberColumn):
            if name in self.categories and is_nameless(self._names, table.names):
                return find_value_codes(data, name, self.categories[name], values).float()
            if kind == "text":
                refuse_numbers(data, name, [str(value) for value in self.categories.get(name, values)])
        if known.texts is not None:
            return data.to_codes(known.texts)
        numbers = table.read_numbers(place, _DTYPES[kind], odd=self._odd)
        return find_codes(numbers, torch.tensor(values, dtype=numbers.dtype, device=numbers.device)).float()


class _Group:
    """The comparisons with numbers of one kind of column, as the kernels take them.

    Args:
        places: the indices of these comparisons in `numbers`.
    """

    def __init__(self, numbers: NumberTests, places: NDArray[np.int64], kind: str) -> None:
        columns, column_of_atom = np.unique(numbers.columns[places], return_inverse=True)
        self.kind = kind
        self.dtype = _DTYPES[kind]
        self.columns: list[int] = columns.tolist()
        self._column_of_atom = torch.from_numpy(column_of_atom.reshape(-1))
        self._constants = torch.from_numpy(numbers.constants[places]).to(self.dtype)
        self._operators = torch.from_numpy(numbers.operators[places])
        self._rows = torch.from_numpy(numbers.rows[places])
        self._made: dict[tuple[int, ...], kernels.Comparisons] = {}

    def compare(self, column_of: Sequence[int]) -> kernels.Comparisons:
        """The comparisons for a matrix with the group's columns at these indices; cached."""
        key = tuple(column_of)
        if key not in self._made:
            column_of_atom = torch.tensor(column_of)[self._column_of_atom]
            self._made[key] = kernels.Comparisons(column_of_atom, self._constants, self._operators, self._rows)
        return self._made[key]


class _SetColumn:
    """A column that sets of values are compared with: all their values, and the texts among them."""

    def __init__(self, quantiser: TableQuantiser, column: int, rows: Sequence[int]) -> None:
        self.column = column
        self.name, self.kind = quantiser.columns[column].name, quantiser.columns[column].kind
        self.values: list[float | str] = sorted({v for row in rows for v in quantiser.atoms[row].constant})  # type: ignore[union-attr]
        is_text = self.kind in TEXT_KINDS
        self.texts = KnownTexts(list(map(str, self.values)), loose=self.kind == "loose") if is_text else None


class _SetTests:
    """The sets of all columns, as tests of single values of a matrix with a column of codes for each.

    A set is the union of its values' bits. In round `i` every set that has as many takes its value `i`.
    """

    def __init__(
        self, quantiser: TableQuantiser, rows_of: Mapping[int, Sequence[int]], columns: Sequence[_SetColumn]
    ) -> None:
        tests: list[tuple[int, float, int]] = []
        parts: dict[int, list[int]] = {}
        for place, (column, rows) in enumerate(zip(columns, rows_of.values(), strict=True)):
            first = len(tests)
            number_of = {value: first + i for i, value in enumerate(column.values)}
            tests += [(place, float(i), kernels.EQUAL) for i in range(len(column.values))]
            tests.append((place, 0.0, kernels.MISSING))
            for row in rows:
                atom = quantiser.atoms[row]
                parts[row] = [number_of[value] for value in atom.constant]  # type: ignore[union-attr]
                parts[row] += [len(tests) - 1] if atom.missing else []
        places, constants, operators = zip(*tests, strict=True) if tests else ((), (), ())
        self._comparisons = kernels.Comparisons(
            torch.tensor(places, dtype=torch.int64),
            torch.tensor(constants, dtype=torch.float32),
            torch.tensor(operators, dtype=torch.int8),
        )
        self._n_tests = len(tests)
        self._rows = torch.tensor(list(parts), dtype=torch.int64)
        self._rounds = []
        for i in range(max(map(len, parts.values()), default=0)):
            chosen = {row: numbers[i] for row, numbers in parts.items() if len(numbers) > i}
            self._rounds.append((torch.tensor(list(chosen)), torch.tensor(list(chosen.values()))))

    def pack(self, codes: Tensor, out: Tensor, engine: str) -> None:
        """Write the sets' bits, rows of int32 words `[n_atoms, n_words]`."""
        shape = self._n_tests, out.shape[1]
        singles = torch.empty(shape, dtype=torch.int32, device=out.device)
        kernels.pack_comparisons(codes, self._comparisons, out=singles, engine=engine)
        out[self._rows.to(out.device)] = 0
        for rows, numbers in self._rounds:
            rows = rows.to(out.device)
            out[rows] |= singles[numbers.to(out.device)]


class PackableTable(NamedTuple):
    """A table's columns as they are compared: numbers of each dtype, and codes of the sets' values."""

    n_atoms: int
    device: torch.device
    numbers: list[tuple[Tensor, kernels.Comparisons]]
    codes: Tensor | None
    sets: _SetTests
    engine: str

    def pack(self, first: int, last: int, out: Tensor | None = None) -> Tensor:
        """The bits of rows `first` to `last`, int32 words `[n_atoms, n_words]`, written to `out` if given."""
        if out is None:
            out = torch.empty(self.n_atoms, count_words(last - first), dtype=torch.int32, device=self.device)
        for numbers, comparisons in self.numbers:
            kernels.pack_comparisons(numbers[first:last], comparisons, out=out, engine=self.engine)
        if self.codes is not None:
            self.sets.pack(self.codes[first:last], out, self.engine)
        return out
