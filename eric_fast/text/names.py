"""What the text format calls things: predicates, strings, numbers, and the fixed rules that decide."""

import numpy as np

from eric_fast.program import Program, plain_identifier

FORMAT = 1
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
DECIDE_DEFAULT = ("class(X,C) :- image(X), default(C), not fires(X,_).",)


def decision_rules(decision: str, *, integer_weights: bool) -> tuple[str, ...]:
    """The fixed rules of a program's text. clingo can't add reals, so a vote with real weights has none."""
    if decision == "first":
        return DECIDE_FIRST + DECIDE_DEFAULT
    return DECIDE_VOTE + DECIDE_DEFAULT if integer_weights else ()


def name_predicates(program: Program) -> tuple[str, ...]:
    """One predicate per atom, `k_features_19_17`; layers whose names would collide are numbered."""
    used: set[str] = set()
    spelling: dict[str, str] = {}
    for layer in program.layers:
        plain = plain_identifier(layer)
        candidate, number = plain, 2
        while candidate in used:
            candidate, number = f"{plain}_{number}", number + 1
        used.add(candidate)
        spelling[layer] = candidate
    return tuple(f"k_{spelling[atom.layer]}_{atom.column}" for atom in program.atoms)


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


def format_float32(number: float) -> str:
    """The shortest text that reads back as the same float32."""
    return str(np.float32(number))
