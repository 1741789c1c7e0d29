"""`Program` to Prolog that a person reads and SWI-Prolog runs."""

from collections.abc import Iterable, Iterator, Sequence

from eric_fast.program.data import ProgramData
from eric_fast.program.decision import Decision
from eric_fast.program.printers.names import NEGATED, name_predicates
from eric_fast.program.rules import Rule
from eric_fast.program.table_atoms import TEXT_KINDS, TableAtom, TableQuantiser

_KERNELS = """\
% Load this file and then the facts of each sample, its norms as float32 holds them:
%     sample(cat1).  norm(cat1, 'features.19', 17, 3.25)."""
_TABLE = """\
% Load this file and then the facts of each sample, numbers of a float32 column as float32 holds them:
%     sample(row1).  cell(row1, 'age', 42).  cell(row1, 'job', 'none').
% A value that is missing has no fact."""
_ANSWERS = {
    Decision.FIRST: "class(X, Class): the class of the first rule that fires.",
    Decision.VOTE: "class(X, Class): the class of the highest sum, the first of equals; score(X, Class, Sum).",
    Decision.SUM: "score(X, Output, Sum).",
    Decision.LABELS: "holds(X, Label): the labels whose sum is above 0; score(X, Label, Sum).",
    Decision.BITS: "output(X, Name): the outputs that are true.",
}
_NUMERIC = """\
% A number of a column, or the one that a text spells; inf and -inf are infinite.
numeric(X, Column, N) :-
    cell(X, Column, V), (number(V) -> M = V ; memberchk(V, [inf, -inf]) -> M is V ; atom_number(V, M)),
    (float(M) -> N = M ; N is float(M)), N =:= N."""
_TEXTUAL = """\
% A text of a column; a number is what spells it.
textual(X, Column, T) :- cell(X, Column, V), spelled(V, T).
spelled(V, T) :- atom(V), T = V.
spelled(V, T) :- string(V), atom_string(T, V).
spelled(V, T) :- number(V), V =:= V, format(atom(T), '~w', [V]).
spelled(V, T) :- float(V), abs(V) < inf, V =:= truncate(V), I is truncate(V), format(atom(T), '~w', [I])."""
_LOOSE = """\
% Which of the program's texts a text stands for: its equal, or else the only one that equals it when both are folded.
wording(X, Column, W) :- textual(X, Column, T), stands_for(Column, T, W).
stands_for(Column, T, W) :- word(Column, T), !, W = T.
stands_for(Column, T, W) :- folded(T, F), findall(V, (word(Column, V), folded(V, F)), [W]).
folded(T, F) :- downcase_atom(T, L), atomic_list_concat(Parts, ' ', L), atomic_list_concat(Parts, '_', F)."""
_SUMS = """\
fired(X, Rules) :- findall(R, (rule(R, _), once(fires(X, R))), Rules).
add_up([], Sum, Sum).
add_up([W|Ws], Sum0, Sum) :- Sum1 is Sum0 + W, add_up(Ws, Sum1, Sum).
score(X, Class, Sum) :-
    sample(X), fired(X, Rules), base(Class, Base),
    findall(W, (member(R, Rules), weight(R, Class, W)), Ws), add_up(Ws, Base, Sum)."""
_BEST = """\
best([], _-Class, Class).
best([S-C|Rest], S0-C0, Class) :- (S > S0 -> best(Rest, S-C, Class) ; best(Rest, S0-C0, Class))."""
_REACHES = """\
% The weights of the literals that are true sum to the bound at least.
reaches(Bound, Terms) :- aggregate_all(sum(W), (member(W-Literal, Terms), once(Literal)), Sum), Sum >= Bound."""
_OPERATORS = {">": ">", "<=": "=<", "==": "=:=", "<": "<", ">=": ">=", "!=": "=\\="}


def print_prolog(program: ProgramData) -> str:
    """The program as Prolog; whoever runs it adds facts about samples, which its first lines show.

    It answers as the program does. `class(X, Class)`, `score(X, Class, Sum)` and `output(X, Name)` ask about one
    sample, or about all.

    Examples:
        >>> print(ef.print_prolog(ef.parse_program(PETS)).splitlines()[0])
        :- encoding(utf8).
    """
    quantiser = program.quantiser
    predicates = name_predicates(program)
    is_table = isinstance(quantiser, TableQuantiser)
    facts = "sample/1, cell/3" if is_table else "sample/1, norm/4"
    sections: list[Iterable[str]] = [
        (
            ":- encoding(utf8).",
            *(_TABLE if is_table else _KERNELS).split("\n"),
            f"% Then ask {_ANSWERS[program.decision]}",
            f":- dynamic {facts}.",
            f":- multifile {facts}.",
        ),
        _REACHES.split("\n") if program.has_weight_bodies else (),
        _print_decision(program),
        _print_class_rules(program, predicates),
        (f"output(X, {quote_atom(name)}) :- sample(X), {predicates[atom]}(X)." for name, atom in program.outputs),
        _print_derived(program, predicates),
        _print_comparisons(program, predicates),
    ]
    return "\n\n".join(text for text in ("\n".join(section) for section in sections) if text) + "\n"


def _print_decision(program: ProgramData) -> Iterator[str]:
    if program.decision.adds_weights:
        yield from _SUMS.split("\n")
    default = "" if program.default is None else f" ; Class = {quote_atom(program.classes[program.default])}"
    if program.decision.takes_first:
        yield f"class(X, Class) :- sample(X), (fires(X, R) -> rule(R, Class){default})."
    if program.decision.gives_labels:
        yield "holds(X, Label) :- score(X, Label, Sum), Sum > 0."
    if program.decision is Decision.VOTE:
        yield from _BEST.split("\n")
        yield "class(X, Class) :-"
        best = "findall(S-C, score(X, C, S), [First|Rest]), best(Rest, First, Class)"
        yield f"    sample(X), (fires(X, _) -> {best}{default})."


def _print_class_rules(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    if program.decision.gives_bits:
        return
    rules = program.class_rules
    if not len(rules):
        yield ":- dynamic rule/2, fires/2, weight/3."
    for number, rule in enumerate(rules, 1):
        yield f"rule({number}, {quote_atom(program.classes[rule.head])})."
    for number, rule in enumerate(rules, 1):
        yield f"fires(X, {number}) :- {_print_body(rule, predicates)}."
    if not program.decision.adds_weights:
        return
    for number, rule in enumerate(rules, 1):
        for output, weight in rule.votes:
            yield f"weight({number}, {quote_atom(program.classes[output])}, {format_number(weight)})."
    if not program.classes:
        yield ":- dynamic base/2."
    for name, weight in zip(program.classes, program.full_base, strict=True):
        yield f"base({quote_atom(name)}, {format_number(weight)})."


def _print_derived(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    """The rules for each atom together, each answer kept in a table; `n_k_g_5` says where an atom is false."""
    negated = set(program.negated)
    for atom in range(program.n_given, len(program.atoms)):
        name = predicates[atom]
        if atom in negated:
            yield f"{name}(X) :- sample(X), \\+ {NEGATED}{name}(X)."
            name = f"{NEGATED}{name}"
        rules = program.rules_of_atom.get(atom, ())
        yield f":- {'table' if rules else 'dynamic'} {name}/1."
        for rule in rules:
            yield f"{name}(X) :- {_print_body(rule, predicates)}."


def _print_body(rule: Rule, predicates: Sequence[str]) -> str:
    literals = [
        f"{predicates[literal]}(X)" if literal >= 0 else f"\\+ {predicates[~literal]}(X)" for literal in rule.body
    ]
    if rule.bound:
        terms = [f"{weight}-({literal})" for weight, literal in zip(rule.weights, literals, strict=True)]
        literals = [f"reaches({rule.bound}, [{', '.join(terms)}])"]
    return ", ".join(["sample(X)", *literals])


def _print_comparisons(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    """The atoms of the lowest layer, or of the table, and what they need."""
    quantiser = program.quantiser
    if not isinstance(quantiser, TableQuantiser):
        for atom, name in zip(quantiser.atoms[: program.n_given], predicates, strict=False):
            test = f"N {_OPERATORS[atom.operator]} {format_number(atom.constant)}"
            column = quote_atom(f"{atom.column}@{atom.region}") if atom.is_quarter else atom.column
            yield f"{name}(X) :- norm(X, {quote_atom(atom.layer)}, {column}, N), {test}."
        return
    kinds = {(quantiser.columns[atom.column].kind, atom.operator == "in") for atom in quantiser.atoms}
    if any(not (is_set and kind in TEXT_KINDS) for kind, is_set in kinds):
        yield from _NUMERIC.split("\n")
    if any(is_set and kind in TEXT_KINDS for kind, is_set in kinds):
        yield from _TEXTUAL.split("\n")
    if ("loose", True) in kinds:
        yield from _LOOSE.split("\n")
        yield ":- dynamic word/2."
        yield from _print_words(quantiser)
    for comparison, name in zip(quantiser.atoms, predicates, strict=False):
        yield from _print_comparison(comparison, name, quantiser.columns[comparison.column].kind)


def _print_words(quantiser: TableQuantiser) -> Iterator[str]:
    words: dict[tuple[str, str], None] = {}
    for atom in quantiser.atoms:
        if atom.operator == "in" and quantiser.columns[atom.column].kind == "loose":
            assert isinstance(atom.constant, tuple)
            words |= dict.fromkeys((atom.feature, str(value)) for value in atom.constant)
    for column, word in words:
        yield f"word({quote_atom(column)}, {quote_atom(word)})."


def _print_comparison(atom: TableAtom, name: str, kind: str) -> Iterator[str]:
    column = quote_atom(atom.feature)
    is_text = atom.operator == "in" and kind in TEXT_KINDS
    source = "numeric" if not is_text else "wording" if kind == "loose" else "textual"
    if not isinstance(atom.constant, tuple):
        test = f"N {_OPERATORS[atom.operator]} {format_number(atom.constant)}"
    elif is_text:
        test = f"memberchk(N, [{', '.join(quote_atom(str(value)) for value in atom.constant)}])"
    else:
        test = f"member(C, [{', '.join(format_number(float(value)) for value in atom.constant)}]), N =:= C"
    yield f"{name}(X) :- {source}(X, {column}, N), {test}."
    if atom.missing:
        yield f"{name}(X) :- sample(X), \\+ {'textual' if is_text else 'numeric'}(X, {column}, _)."


def quote_atom(text: str) -> str:
    r"""A quoted atom; every control character is escaped."""
    plain = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return "'" + "".join(c if c.isprintable() else f"\\x{ord(c):x}\\" for c in plain) + "'"


def format_number(number: float) -> str:
    """The shortest float that reads back the same; Prolog's have a point before the exponent."""
    digits, e, exponent = repr(float(number)).partition("e")
    return digits if not e else f"{digits if '.' in digits else digits + '.0'}e{exponent}"
