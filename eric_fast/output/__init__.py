"""Everything that is written: whose it is, and how it takes its place whole or not at all."""

from eric_fast.output.kinds import CAPTURE, DEMO, REPORT
from eric_fast.output.ownership import check_file, check_folder
from eric_fast.output.replace import replace_file, replace_folder, write_json, write_marker
from eric_fast.output.rewrite import lock_file

__all__ = [
    "CAPTURE",
    "DEMO",
    "REPORT",
    "check_file",
    "check_folder",
    "lock_file",
    "replace_file",
    "replace_folder",
    "write_json",
    "write_marker",
]
