"""The tables of an analysis; each fits in 120 columns where names are short."""

from collections.abc import Sequence

from rich.table import Table

from eric_fast.analyse.effects import Answers
from eric_fast.analyse.relations import Pair
from eric_fast.analyse.study import LEAST_PHI, Analysis
from eric_fast.analyse.subclasses import LEAST_COHESION
from eric_fast.analyse.symbolic import LEAST_PRECISION, Symbol
from eric_fast.errors import say_count
from eric_fast.program import Program
from eric_fast.program.words import name_atom, name_literal
from eric_fast.show.grid import NO_FIGURE, make_table
from eric_fast.show.visible_text import Text

LEAST_P = 1e-300  # below it, float64 says 0


def tabulate_analysis(analysis: Analysis, limit: int = 10) -> list[Table]:
    """All of them, in the order in which they are read, each with `limit` rows at most (0: all)."""
    tables = [tabulate_effects(analysis, limit), tabulate_subclasses(analysis, limit)]
    symbols = (("classes", analysis.list_class_symbols()), ("sub-classes", analysis.list_rule_symbols()))
    tables += [tabulate_symbols(analysis.program, f"kernels that follow {of}", s, limit) for of, s in symbols if s]
    for what in ("redundant", "complementary"):
        pairs = [pair for layer in analysis.coactivation.values() for pair in getattr(layer, f"list_{what}")(LEAST_PHI)]
        if pairs:
            tables.append(tabulate_pairs(analysis.program, f"{what} kernels", pairs, limit))
    return tables


def tabulate_effects(analysis: Analysis, limit: int = 10) -> Table:
    """A row for each kernel, those first whose bit fidelity depends on most."""
    effects = analysis.effects
    rows, n_key = effects.rank(), len(effects.list_key())
    title = (
        f"key kernels: {n_key:,} of {len(rows):,} matter for fidelity (p < 0.05), which is {effects.now.fidelity:.4f}"
    )
    columns = [
        "true",
        "in rules",
        "fidelity\nfalse",
        "\ntrue",
        "\nswapped",
        "changed\nfalse",
        "\ntrue",
        "\nswapped",
        "p",
    ]
    table = make_table(title + _say_left_out(len(rows), limit), ["kernel"], columns)
    use = analysis.links.use_in_classes().sum(axis=1)
    for row in rows[: limit or None]:
        forced = (row.when_false, row.when_true, row.when_swapped)
        table.add_row(
            Text(name_atom(analysis.program, row.atom)),
            _percent(row.share_true),
            _percent(float(use[row.atom])),
            *(f"{answers.fidelity:.4f}" for answers in forced),
            *(_percent(answers.changed) for answers in forced),
            _write_p(row.p_value),
        )
    return table


def tabulate_subclasses(analysis: Analysis, limit: int = 10) -> Table:
    """A row for each class rule that covers enough images: those first that were found, then those that cover most."""
    subclasses, found = analysis.subclasses, analysis.subclasses.list_found()
    rows = sorted(subclasses.rows, key=lambda row: (row not in found, -row.n_covered))
    title = (
        f"sub-classes: {len(found):,} of {say_count(len(rows), 'rule')} cover one (p < 0.05, at most half a class, "
        f"cohesion {LEAST_COHESION:g} or more), in {subclasses.space}"
    )
    columns = ["images", "pure", "of class", "cohesion", "deviations\nfrom random", "distinct", "p"]
    table = make_table(title + _say_left_out(len(rows), limit), ["rule", "class"], columns)
    for row in rows[: limit or None]:
        table.add_row(
            _name_rule(analysis.program, row.rule),
            Text(analysis.program.classes[row.class_index]),
            f"{row.n_covered:,}",
            _percent(row.purity) if row.n_covered else NO_FIGURE,
            _percent(row.share_of_class),
            NO_FIGURE if row.cohesion is None else f"{row.cohesion:.3f}",
            NO_FIGURE if row.effect is None else f"{row.effect:+.1f}",
            NO_FIGURE if row.distinctness is None else f"{row.distinctness:.3f}",
            _write_p(row.p_value),
        )
    return table


def _name_rule(program: Program, rule: int) -> Text:
    """Its number; of a vote also the literal that has the points."""
    body = program.class_rules[rule].body
    has_points = program.decision.adds_weights and len(body) == 1
    return Text(f"{rule + 1}: {name_literal(program, body[0])}" if has_points else str(rule + 1))


def tabulate_symbols(program: Program, title: str, symbols: Sequence[Symbol], limit: int = 10) -> Table:
    """A row for each kernel that follows something, the best first, and whether it stands for it."""
    columns = ["phi", "precision", "recall", "lift"]
    n_precise = sum(symbol.is_precise for symbol in symbols)
    title = f"{title}: {n_precise:,} of {len(symbols):,} stand for one (precision of at least {LEAST_PRECISION:g})"
    table = make_table(title + _say_left_out(len(symbols), limit), ["kernel", "what it says"], columns)
    for symbol in symbols[: limit or None]:
        figures = (f"{value:.3f}" for value in (symbol.phi, symbol.precision, symbol.recall))
        table.add_row(_name(program, symbol.atom), Text(symbol.describe()), *figures, f"{symbol.lift:.2f}")
    return table


def tabulate_pairs(program: Program, title: str, pairs: Sequence[Pair], limit: int = 10) -> Table:
    """A row for each pair, the closest first."""
    table = make_table(title + _say_left_out(len(pairs), limit), ["kernel", "and"], ["phi", "images that differ"])
    for pair in pairs[: limit or None]:
        names = (_name(program, name) for name in (pair.first, pair.second))
        table.add_row(*names, f"{pair.phi:.3f}", f"{pair.differing:,}")
    return table


def describe_idle(analysis: Analysis) -> str:
    """One line: how many kernels are true on no image, or on all."""
    never = sum(len(layer.list_never_true()) for layer in analysis.coactivation.values())
    always = sum(len(layer.list_always_true()) for layer in analysis.coactivation.values())
    return f"{say_count(never, 'kernel')} never true, {always:,} always"


def _name(program: Program, name: str) -> Text:
    return Text(name_atom(program, program.atom_named(name)))


def _say_left_out(n_rows: int, limit: int) -> str:
    return f"; the first {limit:,} of {n_rows:,}" if limit and n_rows > limit else ""


def _write_p(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value >= LEAST_P else f"<{LEAST_P:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def describe_now(answers: Answers) -> str:
    """`fidelity 0.7494, accuracy 0.7130`."""
    accuracy = "unknown, as there are no labels" if answers.accuracy is None else f"{answers.accuracy:.4f}"
    return f"fidelity {answers.fidelity:.4f}, accuracy {accuracy}"
