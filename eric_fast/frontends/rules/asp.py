"""Answer set programs and Prolog of other tools: FOLD-RM, FOLD-R++, FOLD-SE-M, NeSyFOLD, clingo, s(CASP)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eric_fast.errors import ProgramError
from eric_fast.frontends.files import decode_text, read_head
from eric_fast.frontends.rules.asp_build import build_program
from eric_fast.frontends.rules.asp_reader import Reader
from eric_fast.table.model import RuleModel

SOURCE = "answer set program"
_RULE = re.compile(r"[)\s]:-|\)\s*\.\s*(?:\Z|[\n%])")


def from_asp(
    text: str, *, columns: Sequence[str] | None = None, class_predicate: str | None = None, source: str = "program"
) -> RuleModel:
    """The model that rules such as `class(X,'a') :- age(X,N0), N0>3.5, not job(X,'none'), not ab1(X).` are.

    A literal about the sample `X` is one of

    - `ab1(X)`, `kind(X,'big')` where rules define it: what they say, negation as failure;
    - `job(X,'none')`: the column `job` holds this text (see the kind `loose` of `Column`); `age(X,66)`: this number;
    - `age(X,N0), N0>3.5`: the number compares so, by `<`, `=<` or `<=`, `>`, `>=`, `=`, `\\=` or `!=`, once or more;
      false where there is no number. `N0='a'` compares texts;
    - `age(X,_)`: there is a value; `age(X,null)`: there is none, or an empty one;
    - `54(X)` that no rule defines: the column `54` holds 1 or true.

    `not` and `\\+` negate. `row(X)` and the like, which clingo needs, say nothing.

    The rules for the class are tried in their order, and the first whose body holds decides. This is what the short
    form of FOLD-RM means. Its long form guards each rule by `not rule1(X), ...`, so that one class rule at most holds
    in the stable model: the first that holds is that one, in whatever order they stand. Guards against rules that are
    tried before anyway are left out. No rule: no class.

    Args:
        columns: names of the table's columns, in order; by default those that the rules mention, as they occur.
        class_predicate: whose rules are for classes; by default the one that no body mentions.
        source: what errors call the text.

    Raises:
        ProgramError: all errors of the text together, each `source:line:column: expected ..., came ...`.
    """
    reader = Reader(text, source)
    return RuleModel(build_program(reader, columns, class_predicate), SOURCE)


def matches(source: Any) -> bool:
    """Whether it is a text with rules, or a file that holds one."""
    if isinstance(source, str) and ":-" in source:
        return True
    if not isinstance(source, str | Path):
        return False
    head = read_head(source)
    return head is not None and b"\0" not in head and _RULE.search(head.decode("utf-8", "replace")) is not None


def load_source(source: Any) -> RuleModel:
    """See `from_asp`. Raises ProgramError: a file that can't be read, or isn't UTF-8."""
    if isinstance(source, str) and ":-" in source:
        return from_asp(source)
    path = Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProgramError(f"{path} can't be read: {error.strerror}") from error
    return from_asp(decode_text(content, str(path)), source=str(path))
