"""A comparison of two programs as tables for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from eric_fast.compare.programs import Comparison
from eric_fast.compare.rules import ChangedRule, NamedRule
from eric_fast.errors import say_count
from eric_fast.show.grid import fits_terminal, make_table, tabulate_counts
from eric_fast.show.scores import describe_baseline, format_share
from eric_fast.show.visible_text import Text

MOST_PAIRS = 10  # of classes that a confusion which is too wide is shown by


def tabulate_comparison(comparison: Comparison, limit: int) -> Iterator[RenderableType]:
    """What people read. `limit`: rules and images shown of each kind at most; 0: all."""
    yield _tabulate_scores(comparison)
    baselines = list(dict.fromkeys(map(describe_baseline, comparison.scores)))  # of two models, two
    yield Text("; ".join(baselines))
    yield from _describe_agreement(comparison)
    yield _tabulate_confusion(comparison)
    yield _tabulate_classes(comparison)
    yield from _list_differing(comparison, limit)
    yield from _list_rules(comparison, limit)
    for name, kernels in zip(("first", "second"), comparison.kernels, strict=True):
        shown = ", ".join(kernels[: limit or None]) + (", ..." if limit and len(kernels) > limit else "")
        yield Text(f"{say_count(len(kernels), 'kernel')} in the {name} alone" + (f": {shown}" if kernels else ""))


def _tabulate_scores(comparison: Comparison) -> Table:
    figures = ("fidelity", "accuracy", "coverage", "class rules", "kernel rules", "literals", "integers")
    table = make_table(None, ["program", "start layer"], figures)
    rows = zip(("first", "second"), comparison.scores, comparison.n_rules, strict=True)
    for name, score, (n_class_rules, n_kernel_rules) in rows:
        table.add_row(
            name,
            Text(score.start_layer),
            f"{score.fidelity:.4f}",
            format_share(score.accuracy),
            f"{score.coverage:.4f}",
            f"{n_class_rules:,}",
            f"{n_kernel_rules:,}",
            f"{score.n_literals:,}",
            f"{score.n_integers:,}",
        )
    return table


def _describe_agreement(comparison: Comparison) -> Iterator[Text]:
    n, n_agree = comparison.n_images, comparison.n_agree
    text = f"they agree on {n_agree:,} of {say_count(n, 'image')} ({n_agree / n:.4f}) and differ on {n - n_agree:,}"
    first, second, neither = comparison.count_right()
    if first + second + neither:
        text += f": the first is right on {first:,} of those, the second on {second:,}, neither on {neither:,}"
    yield Text(text)
    if comparison.model_agreement < 1:
        yield Text(f"their models agree on {comparison.model_agreement:.4f} of the images")
    if any(comparison.n_left_out):
        a, b = comparison.n_left_out
        yield Text(f"left out images that only one side has: {a:,} of the first, {b:,} of the second")


def _tabulate_confusion(comparison: Comparison) -> Table:
    names = (*comparison.classes, "none")
    if not fits_terminal(names):
        return _tabulate_pairs(comparison, names)
    title = "images by the first program (row) and the second (column)"
    return tabulate_counts(title, "first", names, zip(names, comparison.confusion.tolist(), strict=True))


def _tabulate_pairs(comparison: Comparison, names: Sequence[str]) -> Table:
    """The commonest pairs of answers that differ."""
    pairs = [
        (count, i, j)
        for i, row in enumerate(comparison.confusion.tolist())
        for j, count in enumerate(row)
        if count and i != j
    ]
    table = make_table("commonest differences", ["first", "second"], ["images"])
    for count, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:MOST_PAIRS]:
        table.add_row(Text(names[i]), Text(names[j]), f"{count:,}")
    return table


def _tabulate_classes(comparison: Comparison) -> Table:
    """By class: how many images each program gives it, and how many both do."""
    table = make_table("images by class", ["class"], ["first", "second", "both"])
    confusion = comparison.confusion
    for i, name in enumerate((*comparison.classes, "none")):
        counts = int(confusion[i].sum()), int(confusion[:, i].sum()), int(confusion[i, i])
        if any(counts):
            table.add_row(Text(name), *(f"{count:,}" for count in counts))
    return table


def _list_differing(comparison: Comparison, limit: int) -> Iterator[Text]:
    places = comparison.list_differing()
    for place in places[: limit or None]:
        first, second = (comparison.name_answer(int(answers[place])) or "nothing" for answers in comparison.answers)
        yield Text(f"  {comparison.ids[place]}: {first} | {second}")
    yield from _say_rest(len(places), limit, "image", "on which they differ")


def _list_rules(comparison: Comparison, limit: int) -> Iterator[Text]:
    rules = comparison.rules
    order = "" if rules.in_order else "; the class rules of both are in another order"
    yield Text(
        f"{say_count(len(rules.same), 'rule')} in both, {len(rules.changed):,} with other thresholds, "
        f"{len(rules.gone):,} in the first alone, {len(rules.new):,} in the second alone{order}"
    )
    for changed in rules.changed[: limit or None]:
        yield Text(f"  ~ {_name_rule(changed.first)}\n      {_describe_thresholds(changed)}")
    yield from _say_rest(len(rules.changed), limit, "rule", "with other thresholds")
    for sign, alone, where in (
        ("-", rules.gone, "in the first alone"),
        ("+", rules.new, "in the second alone"),
    ):
        for rule in alone[: limit or None]:
            yield Text(f"  {sign} {_name_rule(rule)}")
        yield from _say_rest(len(alone), limit, "rule", where)


def _name_rule(rule: NamedRule) -> str:
    support = f" (support {rule.covered:,})" if rule.covered is not None else ""
    return f"{rule.head}  if  {rule.text}{support}"


def _describe_thresholds(changed: ChangedRule) -> str:
    shown = [f"{name}: {_format(before)} becomes {_format(after)}" for name, before, after in changed.thresholds]
    return ", ".join(shown)


def _format(constant: object) -> str:
    return f"{constant:.6g}" if isinstance(constant, float) else str(constant)


def _say_rest(n: int, limit: int, noun: str, where: str) -> Iterator[Text]:
    if limit and n > limit:
        yield Text(f"  ... and {say_count(n - limit, 'more ' + noun)} {where}; --show 0 shows all")
