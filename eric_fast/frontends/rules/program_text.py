"""Programs in our own text format, as `Program.to_asp` and the commands write them."""

import re
from pathlib import Path
from typing import Any

from eric_fast.frontends.files import read_head
from eric_fast.program import TableQuantiser
from eric_fast.table.model import RuleModel
from eric_fast.text import load_program, parse_program

_FORMAT = re.compile(r"(?:^|[\s.])format\(\s*\d+\s*\)\s*\.")


def matches(source: Any) -> bool:
    """Whether it is a program's text, or a file that holds one."""
    if isinstance(source, str) and ":-" in source:
        return _FORMAT.search(source) is not None
    head = read_head(source) if isinstance(source, str | Path) else None
    return head is not None and _FORMAT.search(head.decode("utf-8", "replace")) is not None


def load_source(source: Any) -> RuleModel:
    """Raises ProgramError: what is wrong with the text, and where."""
    is_text = isinstance(source, str) and ":-" in source
    program = parse_program(source) if is_text else load_program(source)
    return RuleModel.from_program(program) if isinstance(program.quantiser, TableQuantiser) else RuleModel(program)
