"""What the text format calls things: predicates, strings, numbers, and the fixed rules that decide."""

from collections.abc import Sequence

import numpy as np

from eric_fast.program.atoms import InputAtom
from eric_fast.program.data import ProgramData, plain_identifier
from eric_fast.program.decision import Decision
from eric_fast.program.table_atoms import TableQuantiser

# 2 where the program has what 1 lacks: weight bodies, class rules for one start, quarters of maps, labels, edges
FORMATS = (1, 2)
NEGATED = "n_"  # before a kernel's predicate: true where the kernel is false, by rules of its own

# What clingo needs to answer as `Program` says it should; the facts differ, these rules never do.
DECIDE_FIRST = (
    "seen(X,R) :- fires(X,R).",
    "seen(X,R+1) :- seen(X,R), rule(R+1,_,_).",
    "class(X,C) :- fires(X,R), not seen(X,R-1), rule(R,C,_).",
)
DECIDE_VOTE = (
    "weight(R,C,W) :- rule(R,C,W).",
    "weight(R,C,W) :- also(R,C,W).",
    "score(X,I,B+S) :- image(X), classes(I,C), base(C,B), S = #sum { W,R : fires(X,R), weight(R,C,W) }.",
    "beaten(X,I) :- score(X,I,S), score(X,_,T), S < T.",
    "beaten(X,I) :- score(X,I,S), score(X,J,S), J < I.",
    "class(X,C) :- fires(X,_), classes(I,C), score(X,I,_), not beaten(X,I).",
)
DECIDE_BASE = ("base(C,B) :- start(S), start_base(S,C,B).",)
DECIDE_DEFAULT = ("class(X,C) :- image(X), default(C), not fires(X,_).",)
DECIDE = {
    Decision.FIRST: DECIDE_FIRST + DECIDE_DEFAULT,
    Decision.VOTE: DECIDE_VOTE + DECIDE_DEFAULT,
    Decision.SUM: DECIDE_VOTE[:3],
    Decision.LABELS: (*DECIDE_VOTE[:3], "holds(X,C) :- score(X,I,S), classes(I,C), S > 0."),
    Decision.BITS: (),
}


def find_format(program: ProgramData) -> int:
    """The lowest text format that holds everything that the program has."""
    has_regions = not isinstance(program.quantiser, TableQuantiser) and program.quantiser.has_several_atoms
    has_more = program.has_weight_bodies or program.starts or program.edges or program.has_given_confidences
    has_more = has_more or program.decision.gives_labels
    return 2 if has_more or has_regions else 1


def decision_rules(program: ProgramData) -> tuple[str, ...]:
    """The fixed rules of a program's text. clingo can't add reals, so a program that adds them up has none."""
    if program.decision.adds_weights and not program.has_integer_weights:
        return ()
    return (DECIDE_BASE if program.start_bases else ()) + DECIDE[program.decision]


def name_predicates(program: ProgramData) -> tuple[str, ...]:
    """One predicate per atom; layers, columns and derived atoms whose names would collide are numbered.

    `k_features_19_17` is kernel 17 of a layer, `c_age_2` the second comparison of a column, `d_ab1` a derived atom.
    """
    quantiser = program.quantiser
    derived = [f"d_{spelling}" for spelling in spell_apart(program.derived)]
    if not isinstance(quantiser, TableQuantiser):
        layers = dict(zip(program.layers, spell_apart(program.layers), strict=True))
        return (*(f"k_{layers[atom.layer]}_{_spell_kernel(atom)}" for atom in quantiser.atoms), *derived)
    columns = spell_apart([column.name for column in quantiser.columns])
    counts = [0] * len(columns)
    compared = []
    for atom in quantiser.atoms:
        counts[atom.column] += 1
        compared.append(f"c_{columns[atom.column]}_{counts[atom.column]}")
    return (*compared, *derived)


def _spell_kernel(atom: InputAtom) -> str:
    return f"{atom.column}_{plain_identifier(atom.region)}" if atom.region else str(atom.column)


def spell_apart(names: Sequence[str]) -> list[str]:
    """Plain identifiers, all different."""
    used: set[str] = set()
    number_of: dict[str, int] = {}  # the last that was tried, so that many names of one spelling take no longer
    spellings = []
    for name in names:
        plain = candidate = plain_identifier(name)
        while candidate in used:
            number_of[plain] = number_of.get(plain, 1) + 1
            candidate = f"{plain}_{number_of[plain]}"
        used.add(candidate)
        spellings.append(candidate)
    return spellings


def close_negated(predicate: str) -> str:
    """The rule that makes a kernel true where none of the rules that say where it is false fires."""
    return f"{predicate}(X) :- image(X), not {NEGATED}{predicate}(X)."


def quote(text: str) -> str:
    r"""An ASP string; clingo knows the escapes \\, \" and \n alone."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def unquote(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    parts = token[1:-1].split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace('\\"', '"') for part in parts)


def format_float(number: float, kind: str = "float32") -> str:
    """The shortest text that reads back as the same float32 or float64."""
    return str(np.float32(number)) if kind == "float32" else repr(float(number))
