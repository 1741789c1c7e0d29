"""Tables from CSV, parquet and NumPy files. Nothing is unpickled."""

import csv
import math
import tokenize
import zlib
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from eric_fast.errors import DataError
from eric_fast.processes.memory import find_free_memory, format_bytes
from eric_fast.table.table import Table, as_table

SUFFIXES = (".csv", ".tsv", ".parquet", ".npy", ".npz")
# What the readers of these formats raise where a file isn't as it should be
_DAMAGED = (
    *(pa.ArrowException, ValueError, EOFError, csv.Error),
    *(BadZipFile, zlib.error, NotImplementedError, RuntimeError),  # a zip's
    *(tokenize.TokenError, SyntaxError, TypeError),  # a NumPy header's
)
_BLOCK = 2**20  # bytes of a CSV file that are parsed at a time
_MOST_PER_BYTE = 2**16  # values of a parquet file, whose runs of one value take a few bytes
_BLOCK_PER_COLUMN = 256  # at least: each column of each block is an array of its own


def read_table(path: str | Path, *, header: bool = True) -> Table:
    """The table in a file, whose format its suffix tells, one of `SUFFIXES`.

    The values of a CSV file are read as texts, so that `2` and `02` differ; they become numbers where a program
    compares numbers. An empty value is the empty text. An `.npz` file holds one matrix, or columns. An `.npy` file is
    mapped into memory, and read where its values are used.

    Args:
        header: whether a CSV file starts with the column names.

    Raises:
        DataError: a file that can't be read, or has no table.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("t.csv").write_text("age,job\\n41,clerk\\n17,none\\n")
        >>> ef.read_table("t.csv").names
        ('age', 'job')
    """
    path = Path(path)
    try:
        match path.suffix.lower():
            case ".csv" | ".tsv":
                return _read_csv(path, header)
            case ".parquet":
                return as_table(_read_parquet(path))
            case ".npy":
                with path.open("rb") as file:
                    n_values = _check_header(file, path.stat().st_size, path.name)
                return as_table(np.load(path, mmap_mode="r" if n_values else None, allow_pickle=False))
            case ".npz":
                _check_members(path)
                with np.load(path, allow_pickle=False) as arrays:
                    return _read_arrays({name: arrays[name] for name in arrays.files})
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error
    except _DAMAGED as error:
        reason = "it holds pickled objects, which are never loaded" if "allow_pickle" in str(error) else error
        raise DataError(f"{path} can't be read as a table: {reason}") from error
    raise DataError(f"{path} is not a table: its name must end in one of {', '.join(SUFFIXES)}")


def _read_parquet(path: Path) -> pa.Table:
    """The table of a file, or of all files in a folder. Raises DataError, ValueError, and what Arrow raises."""
    parts = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    # No list or text of a footer is longer than its file. By Arrow's own limits a short one takes gigabytes.
    limit = max([1, *(part.stat().st_size for part in parts)])
    limits = {"thrift_string_size_limit": limit, "thrift_container_size_limit": limit}
    claimed = 8 * sum(_count_values(part, limits) for part in parts)
    if claimed > (free := find_free_memory()):
        raise DataError(f"{path} unpacks to {format_bytes(claimed)}, of {format_bytes(free)} free; cut it")
    table = pa.parquet.read_table(path, **limits)
    table.validate(full=True)  # texts that aren't UTF-8, and the like
    return table


def _count_values(path: Path, limits: dict[str, int]) -> int:
    """The values that a parquet file says it holds: Arrow takes memory for a group's rows before it reads any.

    pyarrow ends the process where it is asked for a column of a damaged group, so that rows alone are asked for.
    """
    with pa.parquet.ParquetFile(path, **limits) as file:
        found = file.metadata
    rows = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
    n_values: int = sum(rows) * found.num_columns
    n_bytes = path.stat().st_size
    if min(rows, default=0) < 0 or n_values > _MOST_PER_BYTE * n_bytes:
        raise ValueError(f"it says {sum(rows):,} rows, but it has {n_bytes:,} bytes")
    return n_values


def _read_csv(path: Path, header: bool) -> Table:
    """All columns as texts, in the order of the file; names may occur twice."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    n_empty, names = _read_first_record(path, delimiter)
    if not names:
        return Table(0, () if header else None, ())
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    # With one column an empty line is a row of one empty value; with more it is ignored.
    parse.ignore_empty_lines = len(names) > 1
    n_before = header * (1 if parse.ignore_empty_lines else n_empty + 1)
    numbered = [str(i) for i in range(len(names))]  # unique, whatever the columns are called
    block = max(_BLOCK, _BLOCK_PER_COLUMN * len(names))
    read = pa.csv.ReadOptions(column_names=numbered, skip_rows_after_names=n_before, block_size=block)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(numbered, pa.string()), strings_can_be_null=False)
    table = pa.csv.read_csv(path, read, parse, convert)
    return Table(table.num_rows, tuple(names) if header else None, tuple(table.columns))


def _read_first_record(path: Path, delimiter: str) -> tuple[int, list[str]]:
    """The number of empty lines at the start, and the values of the line after them.

    Arrow tells names only after it has guessed each column's type. Raises ValueError.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        for n_empty, record in enumerate(csv.reader(file, delimiter=delimiter)):
            if "\0" in (text := "".join(record)) or any("\udc80" <= letter <= "\udcff" for letter in text):
                raise ValueError("its first line is not UTF-8 text; write it as UTF-8")
            if record:
                return n_empty, record
    return 0, []


def _check_header(file: IO[bytes], size: int, name: str) -> int:
    """Check what the header of a NumPy file says, before it is believed; returns the number of its values.

    Raises DataError, ValueError.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    claimed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed > size:
        raise DataError(f"{name}: its header says {claimed:,} bytes of values, but it has {size:,}; write it again")
    return 0 if dtype.hasobject else math.prod(shape)


def _check_members(path: Path) -> None:
    with ZipFile(path) as archive:
        members = archive.infolist()
        total, free = sum(member.file_size for member in members), find_free_memory()
        if total > free:
            raise DataError(f"{path} unpacks to {format_bytes(total)}, of {format_bytes(free)} free; cut it")
        for member in members:
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    _check_header(file, member.file_size, f"{path}: {member.filename}")


def _read_arrays(arrays: dict[str, np.ndarray]) -> Table:
    if len(arrays) == 1:
        (array,) = arrays.values()
        if array.ndim == 2 or array.dtype.names:
            return as_table(array)
    if not all(array.ndim == 1 for array in arrays.values()):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in list(arrays.items())[:8])
        raise DataError(f"expected one matrix, or columns of one dimension, got {shapes or 'nothing'}")
    return as_table(arrays)
