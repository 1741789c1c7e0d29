"""Tables from frames, arrays, tensors and files, and programs over their columns."""

from eric_fast.table.column_names import bind_columns, match_name
from eric_fast.table.files import read_table
from eric_fast.table.packer import TablePacker
from eric_fast.table.table import Table, as_table

__all__ = ["Table", "TablePacker", "as_table", "bind_columns", "match_name", "read_table"]
