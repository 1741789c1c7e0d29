"""`Program` to text."""

from collections.abc import Iterator, Sequence

from eric_fast.program.data import ProgramData
from eric_fast.program.layer_graph import TO_CLASSES
from eric_fast.program.printers.names import (
    NEGATED,
    close_negated,
    decision_rules,
    find_format,
    format_float,
    name_predicates,
    quote,
)
from eric_fast.program.rules import Rule
from eric_fast.program.table_atoms import TableAtom, TableQuantiser


def print_program(program: ProgramData) -> str:
    """The program as ASP text: `parse_program(print_program(p)) == p`, and clingo answers as we do.

    Whoever runs clingo adds `image("id").` for each image, and the bits of the lowest layer as `k_...("id").`

    Examples:
        >>> program = ef.parse_program(PETS)
        >>> ef.parse_program(ef.print_program(program)) == program
        True
    """
    predicates = name_predicates(program)
    sections = (
        ("Where this program comes from.", _print_origin(program)),
        ("Which layers feed which, and which the classes.", _print_edges(program)),
        ("Where it starts: starts(NUMBER,LAYER); what it answers with: start(NUMBER).", _print_starts(program)),
        ("Classes.", (f"classes({i},{quote(name)})." for i, name in enumerate(program.classes))),
        (
            "Class rules: rule(NUMBER,CLASS,WEIGHT), support(NUMBER,IMAGES COVERED,OF THOSE CORRECT), the rule itself.",
            _print_class_rules(program, predicates),
        ),
        ("Kernel rules; several for one kernel are alternatives.", _print_kernel_rules(program, predicates)),
        (
            f"Kernels that are true where no rule fires: the rules for {NEGATED}KERNEL say where it is false.",
            (close_negated(predicates[atom]) for atom in program.negated),
        ),
        ("How class rules become one class.", _print_decision(program)),
        ("What answers.", _print_outputs(program, predicates)),
        (
            "What each atom means: the norm of kernel NUMBER of LAYER, or the value of COLUMN, compared.",
            _print_quantiser(program, predicates),
        ),
        ("What clingo is given from outside, or may find empty.", _print_defined(program, predicates)),
    )
    parts = [[f"% {title}", *lines] for title, lines in sections]
    return "\n\n".join("\n".join(part) for part in parts if len(part) > 1) + "\n"


def _print_origin(program: ProgramData) -> Iterator[str]:
    yield f"format({find_format(program)})."
    if program.fingerprint:
        yield f"fingerprint({quote(program.fingerprint)})."
    if program.n_images is not None:
        yield f"trained_on({program.n_images})."
    for key, value in program.settings:
        yield f"setting({quote(key)},{quote(value)})."


def _print_starts(program: ProgramData) -> Iterator[str]:
    for number, start in enumerate(program.starts):
        yield from (f"starts({number},{quote(layer)})." for layer in start)
    if program.starts:
        yield f"start({program.starts.index(program.graph.lowest)})."


def _print_edges(program: ProgramData) -> Iterator[str]:
    for source, target in program.edges:
        yield f"feeds_classes({quote(source)})." if target == TO_CLASSES else f"feeds({quote(source)},{quote(target)})."


def _print_defined(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    helpers = ["image/1", "fires/2", "rule/3", "classes/2", "default/1"]
    helpers += ["also/3", "base/2"] if program.decision.adds_weights else []
    helpers += ["start_base/3"] if program.start_bases else []
    negated = set(program.negated)
    given = [
        f"{NEGATED if atom in negated else ''}{name}/1"
        for atom, name in enumerate(predicates)
        if atom not in program.rules_of_atom
    ]
    for names in (helpers, *(given[start : start + 8] for start in range(0, len(given), 8))):
        yield " ".join(f"#defined {name}." for name in names)


def _print_quantiser(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    quantiser = program.quantiser
    if isinstance(quantiser, TableQuantiser):
        for number, column in enumerate(quantiser.columns):
            yield f"column({number},{quote(column.name)},{quote(column.kind)})."
        for comparison, predicate in zip(quantiser.atoms, predicates, strict=False):
            yield _print_comparison(comparison, predicate, quantiser.columns[comparison.column].kind)
    else:
        yield f"norm({quote(quantiser.norm)})."
        for atom, predicate in zip(quantiser.atoms, predicates, strict=False):
            constant = quote(format_float(atom.constant))
            region = f" region({predicate},{quote(atom.region)})." if atom.region else ""
            yield f"kernel({predicate},{quote(atom.layer)},{atom.column},{quote(atom.operator)},{constant}).{region}"
    for name, predicate in zip(program.derived, predicates[len(quantiser.atoms) :], strict=True):
        yield f"derived({predicate},{quote(name)})."
    for index, label in program.labels:
        yield f"label({predicates[index]},{quote(label)})."


def _print_comparison(atom: TableAtom, predicate: str, kind: str) -> str:
    if isinstance(atom.constant, tuple):
        values = [value if isinstance(value, str) else format_float(value, kind) for value in atom.constant]
        facts = [f"among({predicate},{atom.column})."] + [f"value({predicate},{quote(value)})." for value in values]
    else:
        constant = quote(format_float(atom.constant, kind))
        facts = [f"compare({predicate},{atom.column},{quote(atom.operator)},{constant})."]
    return " ".join([*facts, f"missing({predicate})."] if atom.missing else facts)


def _print_outputs(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    for number, (name, atom) in enumerate(program.outputs):
        yield f"output({number},{quote(name)},{predicates[atom]})."


def _print_class_rules(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    integers = program.has_integer_weights
    names = list(map(quote, program.classes))
    for number, rule in enumerate(program.class_rules, 1):
        facts = [f"rule({number},{names[rule.head]},{_format_weight(rule.weight, integers)})."]
        facts += [f"also({number},{names[c]},{_format_weight(weight, integers)})." for c, weight in rule.also]
        if rule.covered is not None:
            facts.append(f"support({number},{rule.covered},{rule.correct}).")
        if rule.given_confidence is not None:
            facts.append(f"confidence({number},{quote(repr(rule.given_confidence))}).")
        yield " ".join([*facts, f"fires(X,{number}) :- {_print_body(rule, predicates, rule.start)}."])


def _print_kernel_rules(program: ProgramData, predicates: Sequence[str]) -> Iterator[str]:
    counts: dict[int, int] = {}
    negated = set(program.negated)
    for rule in program.kernel_rules:
        counts[rule.head] = number = counts.get(rule.head, 0) + 1
        prefix = NEGATED if rule.head in negated else ""
        line = f"{prefix}{predicates[rule.head]}(X) :- {_print_body(rule, predicates)}."
        if rule.covered is not None:
            line = f"kernel_support({predicates[rule.head]},{number},{rule.covered},{rule.correct}). {line}"
        yield line


def _print_body(rule: Rule, predicates: Sequence[str], start: int | None = None) -> str:
    literals = [f"{predicates[lit]}(X)" if lit >= 0 else f"not {predicates[~lit]}(X)" for lit in rule.body]
    if rule.bound:
        terms = [
            f"{weight},{number} : {literal}"
            for number, (weight, literal) in enumerate(zip(rule.weights, literals, strict=True), 1)
        ]
        literals = [f"{rule.bound} <= #sum {{ {'; '.join(terms)} }}"]
    given = ["image(X)"] if start is None else ["image(X)", f"start({start})"]
    return ", ".join([*given, *literals])


def _print_decision(program: ProgramData) -> Iterator[str]:
    integers = program.has_integer_weights
    yield f"decision({quote(program.decision)})."
    if program.default is not None:
        yield f"default({quote(program.classes[program.default])})."
    if program.decision.adds_weights:
        of_starts = [(f"start_base({number},", base) for number, base in enumerate(program.start_bases)]
        for fact, base in of_starts or [("base(", program.full_base)]:
            for name, weight in zip(program.classes, base, strict=True):
                yield f"{fact}{quote(name)},{_format_weight(weight, integers)})."
    yield from decision_rules(program)


def _format_weight(weight: float, integers: bool) -> str:
    return str(int(weight)) if integers else quote(repr(float(weight)))
