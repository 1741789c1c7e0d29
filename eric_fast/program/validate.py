"""Checks of a program, made once, when it is created."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from eric_fast.errors import ProgramError, say_count
from eric_fast.program.class_rules import ClassRules
from eric_fast.program.data import ProgramData, atom_of
from eric_fast.program.layer_graph import check_graph, name_start
from eric_fast.program.rules import INT32_MAX, Rule
from eric_fast.program.table_atoms import TableAtoms, TableQuantiser


def validate_program(program: ProgramData) -> None:
    """Raise ProgramError for anything that `Program` says it refuses."""
    _check_names("class", program.classes)
    _check_names("layer", program.layers)
    check_texts(program)
    n_atoms, n_classes = len(program.atoms), len(program.classes)
    if program.default is not None:
        _expect_index("the default is class", program.default, n_classes)
    if program.n_images is not None and not 0 <= program.n_images <= INT32_MAX:
        raise ProgramError(f"n_images must be from 0 to 2^31 - 1, not {program.n_images}")
    check_graph(program.graph)
    n_inputs = program.n_given
    heads = program.kernel_arrays.heads
    for head in heads[(heads < 0) | (heads >= n_atoms)].tolist():
        _expect_index("a rule is for atom", head, n_atoms)
    _check_outputs(program)
    _check_heads(program)
    _check_bodies(program)
    _check_weight_bodies(program)
    _check_support(program)
    _check_weights(program)
    _check_starts(program)
    _check_negated(program, n_inputs)
    _ = program.strata  # of rules that build on themselves there are none
    for head in program.rules_of_atom:
        if head < n_inputs:
            name = program.atoms[head].name
            raise ProgramError(f"{name} can't have a rule: it is in the lowest layer, whose bits are given", head)
    if program.edges:
        _check_sources(program)


def _expect_index(mention: str, index: int, count: int) -> None:
    """Raise ProgramError unless there is an atom, or a class, of this index; `mention` ends with which of the two."""
    if not 0 <= index < count:
        kind = mention.rpartition(" ")[2]
        raise ProgramError(f"{mention} {index}, but the program has only {say_count(count, kind)}")


def _check_sources(program: ProgramData) -> None:
    """Rules for a kernel, and exceptions to them, mention kernels of the layers that feed its own."""
    rows, place_of = program.quantiser.rows_of_layer, {layer: i for i, layer in enumerate(program.layers)}
    layer_of = np.full(len(program.atoms), -1)
    feeds = np.zeros((len(program.layers), len(program.layers)), np.bool_)
    for layer, place in place_of.items():
        layer_of[rows[layer].start : rows[layer].stop] = place
        feeds[place, [place_of[source] for source in program.graph.sources[layer]]] = True
    of_derived: dict[int, set[int]] = {}  # derived atom -> the layers that it builds on
    for atom in (atom for stratum in program.strata for atom in stratum):
        found: set[int] = set()
        for rule in program.rules_of_atom[atom]:
            for other in map(atom_of, rule.body):
                found |= {int(layer_of[other])} if layer_of[other] >= 0 else of_derived.get(other, set())
        if layer_of[atom] < 0:
            of_derived[atom] = found
            continue
        own = int(layer_of[atom])
        strange = next((layer for layer in sorted(found) if not feeds[own, layer]), None)
        if strange is not None:
            sources = " and ".join(map(repr, program.graph.sources[program.layers[own]]))
            raise ProgramError(
                f"a rule for {program.atoms[atom].name} mentions a kernel of '{program.layers[strange]}', but "
                f"'{program.layers[own]}' is fed by {sources} alone; remove the literal, or add the edge",
                atom,
            )


def _check_outputs(program: ProgramData) -> None:
    """What each decision needs and can't have, and the names of derived atoms and outputs."""
    _check_names("derived atom", program.derived)
    _check_names("output", [name for name, _ in program.outputs])
    inputs = {atom.name for atom in program.quantiser.atoms} if program.derived else ()
    for name in program.derived:
        if name in inputs:
            raise ProgramError(f"two atoms are called '{name}'; rename one")
    for name, atom in program.outputs:
        _expect_index(f"output '{name}' mentions atom", atom, len(program.atoms))
    if program.decision.gives_bits and (program.classes or len(program.class_rules)):
        raise ProgramError("a program with decision 'bits' can't have classes or class rules")
    if program.outputs and not program.decision.gives_bits:
        raise ProgramError("outputs need decision 'bits'")
    if program.decision.adds_weights and not program.decision.gives_class and program.default is not None:
        raise ProgramError(f"a program with decision '{program.decision}' can't have a default; set its base instead")


def _name_rule(program: ProgramData, index: int) -> str:
    """What to call a rule in an error; class rules are counted after the kernel rules."""
    if index < len(program.kernel_rules):
        return f"a rule for {program.atoms[program.kernel_rules[index].head].name}"
    return f"class rule {index - len(program.kernel_rules) + 1}"


def _check_heads(program: ProgramData) -> None:
    offsets, outputs = program.class_arrays.vote_offsets, program.class_arrays.vote_classes
    n_classes = len(program.classes)
    for place in np.flatnonzero((outputs < 0) | (outputs >= n_classes)).tolist():
        number = int(np.searchsorted(offsets, place, "right"))
        what = "is for" if offsets[number - 1] == place else "adds to"
        _expect_index(f"class rule {number} {what} class", int(outputs[place]), n_classes)


def _check_bodies(program: ProgramData) -> None:
    n_atoms = len(program.atoms)
    n_before = 0
    for rules in (program.kernel_arrays, program.class_arrays):
        for place in np.flatnonzero(rules.atoms >= n_atoms).tolist():
            rule = n_before + int(np.searchsorted(rules.offsets, place, "right")) - 1
            name, literal = _name_rule(program, rule), rules.literals[place]
            raise ProgramError(f"{name} has literal {literal}, but the program has only {say_count(n_atoms, 'atom')}")
        n_before += len(rules.heads)


def _check_weight_bodies(program: ProgramData) -> None:
    """Weights and bounds: each literal once, and a sum that may reach its bound or not."""
    n_before = 0
    for rules in (program.kernel_arrays, program.class_arrays):
        lengths = np.diff(rules.offsets)
        of_literal = np.repeat(rules.bounds, lengths) if len(rules.bounds) else rules.bounds
        has_weight = of_literal != 0
        number = np.repeat(np.arange(len(lengths)), lengths)[has_weight] if len(rules.bounds) else rules.bounds
        literals, weights = rules.literals[: len(of_literal)][has_weight], rules.weights[has_weight].astype(np.int64)
        sums = np.bincount(number, weights, len(rules.bounds))  # exact in float64: each below 2^31, and few
        order = np.lexsort((literals, number))
        same = np.zeros(len(order), np.bool_)
        same[1:] = (np.diff(literals[order]) == 0) & (np.diff(number[order]) == 0)
        for bad, what in (
            (number[weights < 1], "its weights must be whole numbers from 1; give a negative one to the negation"),
            (number[order][same], "it has the same literal twice; add up the weights"),
            (np.flatnonzero(rules.bounds < 0), "its bound must be at least 1, or it is always true"),
            (np.flatnonzero(sums > INT32_MAX), f"its weights sum to more than {INT32_MAX:,}, where clingo would wrap"),
            (np.flatnonzero((rules.bounds > sums) & (rules.bounds > 0)), "its bound is more than its weights sum to"),
        ):
            if len(bad):
                raise ProgramError(f"{_name_rule(program, n_before + int(bad[0]))} has a weight body, but {what}")
        n_before += len(rules.heads)


def _check_support(program: ProgramData) -> None:
    most = INT32_MAX if program.n_images is None else program.n_images
    kernel_rules: Iterable[tuple[int, Rule]] = enumerate(program.kernel_rules)
    if isinstance(program.class_rules, ClassRules):
        covered_of, correct_of = program.class_rules.covered, program.class_rules.correct
        odd = (covered_of < correct_of) | (covered_of > most) | ((covered_of < 0) != (correct_of < 0))
        suspects: Iterable[int] = np.flatnonzero(odd).tolist()
    else:
        suspects = range(len(program.class_rules))
    first = len(program.kernel_rules)
    given = program.class_arrays.confidences
    strange = np.flatnonzero((given < 0) | (given > 1))
    if len(strange):
        raise ProgramError(
            f"{_name_rule(program, first + int(strange[0]))}: confidence {given[strange[0]]} is not from 0 to 1"
        )
    for index, rule in chain(kernel_rules, ((first + i, program.class_rules[i]) for i in suspects)):
        covered, correct = rule.covered, rule.correct
        if covered is None and correct is None:
            continue
        if covered is None or correct is None:
            raise ProgramError(f"{_name_rule(program, index)}: give both covered and correct, or neither")
        if not 0 <= correct <= covered <= most:
            raise ProgramError(
                f"{_name_rule(program, index)}: {correct} correct of {covered} covered of {most} images is impossible"
            )


def _check_negated(program: ProgramData, n_inputs: int) -> None:
    for atom, before in zip(program.negated, (None, *program.negated), strict=False):
        _expect_index("negated mentions atom", atom, len(program.atoms))
        name = program.atoms[atom].name
        if atom < n_inputs:
            raise ProgramError(f"{name} can't be negated: it is in the lowest layer, whose bits are given", atom)
        if atom == before:
            raise ProgramError(f"negated mentions {name} twice", atom)


def _check_weights(program: ProgramData) -> None:
    n_classes = len(program.classes)
    if program.base and (len(program.base) != n_classes or not program.decision.adds_weights):
        raise ProgramError(
            f"base needs decision 'vote', 'sum' or 'labels' and one number for each of the {n_classes} classes"
        )
    votes = program.class_arrays
    rule_of_vote = np.repeat(np.arange(len(votes)), np.diff(votes.vote_offsets))
    is_head = np.zeros(len(rule_of_vote), np.bool_)
    is_head[votes.vote_offsets[:-1]] = True
    follows = ~is_head & np.roll(~is_head, 1)  # after another that is no head, so of the same rule
    odd = ~is_head & ((votes.vote_classes == votes.heads[rule_of_vote]) | (votes.vote_weights == 0))
    odd |= follows & (votes.vote_classes <= np.roll(votes.vote_classes, 1))
    if odd.any():
        number = rule_of_vote[odd.argmax()] + 1
        raise ProgramError(f"class rule {number}: 'also' must list other classes once, ascending, without zeros")
    if not (np.isfinite(votes.vote_weights).all() and np.isfinite([*program.base, *chain(*program.start_bases)]).all()):
        raise ProgramError("weights must be finite numbers")


def _check_starts(program: ProgramData) -> None:
    """Starts of their own need layers that there are, the lowest among them, and bases that fit."""
    n_starts, layers = len(program.starts), program.layers if not isinstance(program.quantiser, TableQuantiser) else ()
    of_rules = program.class_arrays.starts
    strange = np.flatnonzero((of_rules < -1) | (of_rules >= n_starts))
    if len(strange):
        number = int(strange[0]) + 1
        raise ProgramError(f"class rule {number} is for start {of_rules[strange[0]]}, but the program has {n_starts}")
    for start in program.starts:
        if not start or not set(start) <= set(layers):
            raise ProgramError(f"a start must be layers of the program, not {', '.join(map(repr, start)) or 'none'}")
        if program.graph.find_start(start) != start:
            instead = name_start(program.graph.find_start(start))
            raise ProgramError(
                f"write the start '{name_start(start)}' as '{instead}': list its layers in order, "
                "without any that the others make unnecessary"
            )
    if len(set(program.starts)) != n_starts:
        raise ProgramError("a start stands twice; give its class rules one number")
    if n_starts and program.graph.lowest not in program.starts:
        lowest = name_start(program.graph.lowest)
        raise ProgramError(f"a program with starts needs one at its lowest layer, '{lowest}'")
    if not program.start_bases:
        return
    if len(program.start_bases) != n_starts or program.base or not program.decision.adds_weights:
        raise ProgramError("start bases need decision 'vote', 'sum' or 'labels', one for each start, and no other base")
    if any(len(base) != len(program.classes) for base in program.start_bases):
        raise ProgramError(f"start bases need one number for each of the {len(program.classes)} classes")


def _check_names(kind: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ProgramError(f"two of the {kind} names are {twice!r}; names must differ")
    for name in names:
        if not name:
            raise ProgramError(f"a {kind} has an empty name; give it one")


def check_texts(program: ProgramData) -> None:
    for atom, label in program.labels:
        _expect_index(f"label {label!r} is for atom", atom, len(program.atoms))
    for kind, keys in (
        ("label", [str(atom) for atom, _ in program.labels]),
        ("setting", [key for key, _ in program.settings]),
    ):
        if len(set(keys)) != len(keys):
            raise ProgramError(f"two {kind}s have the same key")
    texts = [*program.classes, *program.layers, program.fingerprint, *program.derived]
    texts += [name for name, _ in program.outputs]
    if isinstance(program.quantiser, TableQuantiser):
        texts += [column.name for column in program.quantiser.columns]
        texts += _list_values(program.quantiser)
    texts += [label for _, label in program.labels] + [text for pair in program.settings for text in pair]
    for text in texts:
        # A newline is written as \n; clingo knows no other escape, and takes no NUL or lone surrogate.
        if any(c in "\0\r" or 0xD800 <= ord(c) <= 0xDFFF for c in text):
            raise ProgramError(
                f"{text!r} contains NUL, a carriage return or a lone surrogate, which the text format can't hold"
            )


def _list_values(quantiser: TableQuantiser) -> Iterator[str]:
    """The texts that columns are compared with."""
    for atom in () if isinstance(quantiser.atoms, TableAtoms) else quantiser.atoms:
        if isinstance(atom.constant, tuple):
            yield from (value for value in atom.constant if isinstance(value, str))
