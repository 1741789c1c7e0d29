"""Programs in our own text format, as `Program.to_asp` and the commands write them."""

import re
from typing import Any

from eric_fast.frontends.files import is_rule_text, peek_file
from eric_fast.frontends.front_end import FrontEnd
from eric_fast.program import TableQuantiser
from eric_fast.table.model import RuleModel
from eric_fast.text import load_program, parse_program

_FORMAT = re.compile(r"(?:^|[\s.])format\(\s*\d+\s*\)\s*\.")


def _matches(source: Any) -> bool:
    """Whether it is a program's text, or a file that holds one."""
    text = source if is_rule_text(source) else peek_file(source).decode("utf-8", "replace")
    return _FORMAT.search(text) is not None


def _load(source: Any) -> RuleModel:
    """Raises ProgramError: the text is invalid; the error says where."""
    program = parse_program(source) if is_rule_text(source) else load_program(source)
    return RuleModel.from_program(program) if isinstance(program.quantiser, TableQuantiser) else RuleModel(program)


PROGRAM_TEXT = FrontEnd("eric_fast", _matches, _load)
