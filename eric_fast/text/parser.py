"""Text to `Program`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eric_fast.errors import ProgramError, say_count, suggest_nearest
from eric_fast.processes.memory import pause_collector
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.layer_graph import TO_CLASSES, Edge, find_edge_fault
from eric_fast.program.printers.names import FORMATS, NEGATED, close_negated, decision_rules, find_format
from eric_fast.text.bodies import BodyReader, atom_named, split_negated
from eric_fast.text.quantiser import build_quantiser
from eric_fast.text.reader import read_statements
from eric_fast.text.statements import Statements, shorten_message

_NO_CONFIDENCE = (0, None, 0)
_NO_SUPPORT = (0, None, None, 0)  # of a rule without a fact about it: covered and correct are in the middle


@pause_collector()
def parse_program(text: str, source: str = "program") -> Program:
    """The program that `print_program` wrote, or that a person wrote in the same form.

    White space and comments are ignored. The order of statements matters only for the layers (by their first `kernel`
    fact), the rules of one kernel, and the settings. `source` names the text in errors.

    Raises:
        ProgramError: `source:line:column: what is wrong`, or `source: what is wrong` for the text as a whole.

    Examples:
        >>> program = ef.parse_program(PETS)
        >>> program.classes, len(program.class_rules)
        (('cat', 'dog'), 2)
        >>> ef.parse_program('format(1). classes(0,"a"). rule(1,"b",1). fires(X,1) :- image(X).', "my.lp")
        Traceback (most recent call last):
            ...
        eric_fast.errors.ProgramError: my.lp:1:28: 'b' is not a class of this program; there are 'a'
    """
    said = read_statements(text, source)
    version = said.find_only("format", None)
    if version not in FORMATS:
        found = "there is no fact format(...)" if version is None else f"it is of format {version}"
        raise ProgramError(f"{source}: not a program of format {' or '.join(map(str, FORMATS))}: {found}")
    with _locate_errors(said, {}):
        quantiser, atom_of_predicate = build_quantiser(said)
    derived = said.facts["derived"].values()
    for predicate, _, at in derived:
        if not predicate.startswith("d_"):
            raise said.error(at, f"the predicate of a derived atom must start with 'd_', unlike '{predicate}'")
        if atom_of_predicate.setdefault(predicate, len(atom_of_predicate)) != len(atom_of_predicate) - 1:
            raise said.error(at, f"'{predicate}' is given for two atoms; rename one")
    classes = tuple(name for _, name, _ in said.list_numbered("classes", "classes"))
    class_of_name = {name: index for index, name in enumerate(classes)}
    bodies = BodyReader(said, atom_of_predicate)
    kernel_rules, negated = _build_kernel_rules(said, atom_of_predicate, bodies)
    default = said.facts["default"].get(())
    base = [0.0] * len(classes)
    for name, weight, at in said.facts["base"].values():
        base[_class_named(said, at, name, class_of_name)] = weight
    starts, edges = _read_starts(said), _read_edges(said, quantiser.layers)
    with _locate_errors(said, atom_of_predicate):
        program = Program(
            quantiser=quantiser,
            classes=classes,
            class_rules=_build_class_rules(said, class_of_name, bodies, len(starts)),
            kernel_rules=kernel_rules,
            negated=negated,
            decision=said.find_only("decision", "first"),
            default=None if default is None else _class_named(said, default[1], default[0], class_of_name),
            base=tuple(base),
            labels=_build_labels(said, atom_of_predicate),
            fingerprint=said.find_only("fingerprint", ""),
            n_images=said.find_only("trained_on", None),
            settings=tuple(fact[:2] for fact in said.facts["setting"].values()),
            derived=tuple(name for _, name, _ in derived),
            outputs=_build_outputs(said, atom_of_predicate),
            starts=starts,
            start_bases=_build_start_bases(said, class_of_name, len(starts)),
            edges=edges,
        )
    _check_decision_rules(said, program)
    needed = find_format(program)
    if version < needed:
        at = said.facts["format"][()][1]
        raise said.error(at, f"the program needs format {needed}; write format({needed}) instead of format({version})")
    return program


@contextmanager
def _locate_errors(said: Statements, atom_of_predicate: dict[str, int]) -> Iterator[None]:
    """Errors name their place: the first rule for the atom that an error is about, or else the source as a whole."""
    try:
        yield
    except ProgramError as error:
        if str(error).startswith(f"{said.source}:"):
            raise
        for predicate, at, _ in said.kernel_rules:
            if error.atom is not None and atom_of_predicate[split_negated(predicate)[1]] == error.atom:
                raise said.error(at, str(error)) from error
        raise ProgramError(f"{said.source}: {shorten_message(str(error))}") from error


def _build_outputs(said: Statements, atom_of_predicate: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(
        (name, atom_named(said, at, predicate, atom_of_predicate))
        for _, name, predicate, at in said.list_numbered("output", "outputs")
    )


def _read_edges(said: Statements, layers: Sequence[str]) -> tuple[Edge, ...]:
    """The edges of `LayerGraph`. Raises ProgramError for one that is between no layers, or goes down."""
    edges = list(said.facts["feeds"].values())
    for _, target, at in edges:
        if target == TO_CLASSES:
            raise said.error(at, "a layer that is fed needs a name; if the classes are meant, write feeds_classes")
    edges += [(source, TO_CLASSES, at) for source, at in said.facts["feeds_classes"].values()]
    for source, target, at in edges:
        fault = find_edge_fault(layers, (source, target))
        if fault is not None:
            raise said.error(at, fault)
    return tuple((source, target) for source, target, _ in edges)


def _read_starts(said: Statements) -> tuple[tuple[str, ...], ...]:
    """The layers of each start; the fact `start(NUMBER)` is for clingo, and names the lowest. Raises ProgramError."""
    starts: dict[int, list[str]] = {}
    for number, layer, at in said.facts["starts"].values():
        if not 0 <= number < len(said.facts["starts"]):
            raise said.error(at, f"starts must be numbered from 0 without gaps, and {number} is not among them")
        starts.setdefault(number, []).append(layer)
    if sorted(starts) != list(range(len(starts))):
        raise ProgramError(f"{said.source}: starts must be numbered from 0 without gaps")
    chosen = said.facts["start"].get(())
    if chosen is not None and chosen[0] not in starts:
        raise said.error(chosen[1], f"there is no fact starts({chosen[0]},LAYER)")
    return tuple(tuple(starts[number]) for number in range(len(starts)))


def _build_start_bases(said: Statements, class_of_name: dict[str, int], n_starts: int) -> tuple[tuple[float, ...], ...]:
    facts = said.facts["start_base"].values()
    bases = [[0.0] * len(class_of_name) for _ in range(n_starts if facts else 0)]
    for number, name, weight, at in facts:
        if not 0 <= number < n_starts:
            raise said.error(at, f"there is no fact starts({number},LAYER)")
        bases[number][_class_named(said, at, name, class_of_name)] = weight
    return tuple(map(tuple, bases))


def _build_class_rules(
    said: Statements, class_of_name: dict[str, int], bodies: BodyReader, n_starts: int
) -> tuple[ClassRule, ...]:
    facts, supports = said.facts["rule"], said.facts["support"]
    for number in range(1, len(facts) + 1):
        if (number,) not in facts:
            raise ProgramError(
                f"{said.source}: rules are numbered from 1 without gaps, and rule({number},...) is missing; "
                f"give that number to another rule, in 'rule' and in 'fires'"
            )
    for name in ("support", "confidence", "also"):
        for number, *_, at in said.facts[name].values():
            if not 1 <= number <= len(facts):
                raise said.error(at, f"there are only {len(facts)} rules, so no rule {number}")
    for number, (start, _) in said.class_bodies.items():
        if not 1 <= number <= len(facts):
            raise said.error(start, f"fires(X,{number}) needs a fact rule({number},CLASS,WEIGHT)")
    also: dict[int, list[tuple[int, float]]] = {}
    for number, name, weight, at in said.facts["also"].values():
        also.setdefault(number, []).append((_class_named(said, at, name, class_of_name), weight))
    rules = []
    for number in range(1, len(facts) + 1):
        _, name, weight, at = facts[(number,)]
        head = _class_named(said, at, name, class_of_name)
        body = said.class_bodies.get(number)
        if body is None:
            raise said.error(at, f"rule {number} has no body: expected 'fires(X,{number}) :- image(X), ...'")
        _, covered, correct, _ = supports.get((number,), _NO_SUPPORT)
        _, given, _ = said.facts["confidence"].get((number,), _NO_CONFIDENCE)
        votes = tuple(sorted(also[number])) if number in also else ()
        literals, weights, bound, only = bodies.build(body, n_starts)
        rules.append(
            ClassRule(
                head,
                literals,
                covered,
                correct,
                weight,
                votes,
                weights=weights,
                bound=bound,
                start=only,
                given_confidence=given,
            )
        )
    return tuple(rules)


def _build_kernel_rules(
    said: Statements, atom_of_predicate: dict[str, int], bodies: BodyReader
) -> tuple[tuple[Rule, ...], tuple[int, ...]]:
    """The rules for kernels as they stand, and the atoms whose rules say where they are false."""
    supports = said.facts["kernel_support"]
    rules = []
    heads: dict[str, tuple[str, int, str]] = {}  # as written -> predicate, atom, what closes it: looked up once each
    counts: dict[str, int] = {}
    place_of_head: dict[str, int] = {}  # k_g_5 or n_k_g_5 -> its first rule
    closed: dict[str, int] = {}  # k_g_5 -> its rule `k_g_5(X) :- image(X), not n_k_g_5(X).`
    for written, at, body in said.kernel_rules:
        if written not in heads:
            is_negated, predicate = split_negated(written)
            head = atom_named(said, at, predicate, atom_of_predicate)
            heads[written] = predicate, head, "" if is_negated else NEGATED + predicate
        predicate, head, closing = heads[written]
        if closing and bodies.mention_only(body, closing):
            if predicate in closed:
                raise said.error(at, f"a second rule '{close_negated(predicate)}'; remove one")
            closed[predicate] = at
            continue
        if written not in place_of_head:
            place_of_head[written] = at
        counts[predicate] = number = counts.get(predicate, 0) + 1
        *_, covered, correct, _ = supports.get((predicate, number), _NO_SUPPORT)
        literals, weights, bound, _ = bodies.build(body)
        rules.append(Rule(head, literals, covered, correct, weights=weights, bound=bound))
    for predicate, number, *_, at in supports.values():
        if not 1 <= number <= counts.get(predicate, 0):
            raise said.error(
                at, f"'{predicate}' has only {say_count(counts.get(predicate, 0), 'rule')}, so no rule {number}"
            )
    for written, at in place_of_head.items():
        is_negated, predicate = split_negated(written)
        if is_negated and predicate not in closed and predicate not in place_of_head:
            raise said.error(at, f"'{written}' needs the rule '{close_negated(predicate)}' once; add it")
        if not is_negated and (predicate in closed or NEGATED + predicate in place_of_head):
            raise said.error(
                at,
                f"the rules for a kernel say where it is true ('{predicate}') or where it is false "
                f"('{NEGATED}{predicate}'), not both; remove one kind",
            )
    return tuple(rules), tuple(atom_of_predicate[predicate] for predicate in closed)


def _build_labels(said: Statements, atom_of_predicate: dict[str, int]) -> tuple[tuple[int, str], ...]:
    labels = (
        (atom_named(said, at, predicate, atom_of_predicate), label)
        for predicate, label, at in said.facts["label"].values()
    )
    return tuple(sorted(labels))


def _class_named(said: Statements, at: int, name: str, class_of_name: dict[str, int]) -> int:
    output = class_of_name.get(name)
    if output is None:
        raise said.error(at, f"'{name}' is not a class of this program{suggest_nearest(name, class_of_name)}")
    return output


def _check_decision_rules(said: Statements, program: Program) -> None:
    """The rules that decide must be the ones that the decision means, or clingo would answer something else."""
    rules = decision_rules(program)
    expected = {rule.replace(" ", ""): rule for rule in rules}
    for written, at in said.other_rules.items():
        if written not in expected:
            known = " ".join(rules) or "none, since its weights are real numbers, or their sum could pass 2^31 - 1"
            raise said.error(at, f"not a rule for a kernel or a class; '{program.decision}' decides by: {known}")
    for written, rule in expected.items():
        if written not in said.other_rules:
            raise ProgramError(f"{said.source}: the rule '{rule}' is missing; '{program.decision}' decides by it")
