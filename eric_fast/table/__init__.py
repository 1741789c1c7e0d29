"""Tables of any kind, frames, arrays, tensors and files, to the packed bits of a program's comparisons."""

from eric_fast.table.files import read_table
from eric_fast.table.names import bind_columns, match_name
from eric_fast.table.packer import TablePacker
from eric_fast.table.table import Table, as_table

__all__ = ["Table", "TablePacker", "as_table", "bind_columns", "match_name", "read_table"]
