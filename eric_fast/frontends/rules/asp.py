"""Programs as text: our own, and those of FOLD-RM, FOLD-R++, FOLD-SE-M, NeSyFOLD, clingo and s(CASP)."""

import re
from collections.abc import Sequence
from typing import Any

from eric_fast.frontends.front_end import FrontEnd, is_rule_text, peek_file
from eric_fast.frontends.rules.asp_build import build_program
from eric_fast.frontends.rules.asp_reader import Reader
from eric_fast.program import TableQuantiser
from eric_fast.table.model import RuleModel
from eric_fast.text import load_program, parse_program
from eric_fast.text.files import decode_text, read_file

_FORMAT = re.compile(r"(?:^|[\s.])format\(\s*\d+\s*\)\s*\.")
_RULE = re.compile(r"[)\s\w]:-|\)\s*\.\s*(?:\Z|[\n%])")


def from_asp(
    text: str, *, columns: Sequence[str] | None = None, class_predicate: str | None = None, source: str = "program"
) -> RuleModel:
    """The model of rules such as `class(X,'a') :- age(X,N0), N0>3.5, not job(X,'none'), not ab1(X).`

    A literal about the sample `X` is one of

    - `ab1(X)` or `kind(X,'big')`, if rules define it: whether one of them holds;
    - `job(X,'none')`: the column `job` holds this text (see the kind `loose` of `Column`); `age(X,66)`: this number;
    - `age(X,N0), N0>3.5`: one or more comparisons by `<`, `=<` or `<=`, `>`, `>=`, `=`, `\\=` or `!=`, which are false
      if there is no number; `N0='a'` compares texts;
    - `age(X,_)`: there is a value; `age(X,null)`: it is missing or empty;
    - `54(X)`, if no rule defines it: the column `54` holds 1 or true.

    A predicate that rules define may be a column, too, unless it is the class or is called `ab1` or `rule1`: it is true
    where a rule makes it so or the column does, as in clingo. Such columns are optional; see `RuleModel`.

    Rules without variables, such as `a :- b, not c.`, are about each row: atoms are columns that hold 1 or true, and
    `predict` answers with the truth of each head, in the order of `program.outputs`; `class_predicate` makes one the
    class.

    A confidence behind a class rule, as CON-FOLD writes it, `[confidence: 0.73]`, is kept: see `predict_proba`.

    `not` and `\\+` are negation as failure, `not(p(X))` too. `row(X)` and the like, which clingo needs, are ignored.

    The rules for the class are tried in order, and the first whose body holds decides, as in the short form of FOLD-RM.
    In its long form guards such as `not rule1(X)` let at most one class rule hold; guards against earlier rules are
    left out. If no rule holds, there is no class.

    Args:
        columns: names of the table's columns, in order; by default those that the rules mention, as they occur, and
            then the optional ones.
        class_predicate: the predicate of the class; by default the one that no body mentions.
        source: what errors call the text.

    Raises:
        ProgramError: all errors of the text, each with its line and column, facts about single samples among them.

    Examples:
        >>> rules = "play(X,'no') :- wind(X,N0), N0>20, not ab1(X). ab1(X) :- sun(X). play(X,'yes') :- calm(X)."
        >>> model = ef.from_asp(rules)
        >>> model.predict({"wind": [30, 30, 5], "sun": [0, 1, 0], "calm": [0, 0, 1]}).tolist()
        ['no', None, 'yes']
    """
    reader = Reader(text, source)
    built = build_program(reader, columns, class_predicate)
    return RuleModel(built.program, "answer set program", optional=built.optional)


def _matches(source: Any) -> bool:
    """Whether it is a text with rules, or a file that holds one."""
    if is_rule_text(source):
        return True
    head = peek_file(source)
    return b"\0" not in head and _RULE.search(head.decode("utf-8", "replace")) is not None


def _load(source: Any) -> RuleModel:
    """See `from_asp`. Raises ProgramError: a file that can't be read, or isn't UTF-8."""
    if is_rule_text(source):
        return from_asp(source)
    return from_asp(decode_text(read_file(source), str(source)), source=str(source))


def _is_own(source: Any) -> bool:
    """Whether it is a program as `Program.to_asp` and the commands write it, or a file that holds one."""
    text = source if is_rule_text(source) else peek_file(source).decode("utf-8", "replace")
    return _FORMAT.search(text) is not None


def _load_own(source: Any) -> RuleModel:
    """Raises ProgramError: the text is invalid; the error says where."""
    program = parse_program(source) if is_rule_text(source) else load_program(source)
    return RuleModel.from_program(program) if isinstance(program.quantiser, TableQuantiser) else RuleModel(program)


PROGRAM_TEXT = FrontEnd("eric_fast", _is_own, _load_own)
ASP = FrontEnd("answer set programs and Prolog", _matches, _load)
