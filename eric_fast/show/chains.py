"""The tables of a study of chains; each fits in 100 columns where layers have short names."""

from rich.table import Table

from eric_fast.chains.study import ChainStudy, name_leaf, name_rules
from eric_fast.score import Score
from eric_fast.show.grid import NO_FIGURE, make_table
from eric_fast.show.scores import format_share
from eric_fast.show.visible_text import Text


def tabulate_chains(study: ChainStudy) -> list[Table]:
    """All of them, in the order in which they are read."""
    tabulates = [tabulate_fidelity, tabulate_sizes, tabulate_kernels]
    if len(study.min_leaves) > 1:
        tabulates.append(tabulate_sweep)
    return [tabulate(study) for tabulate in tabulates]


def tabulate_fidelity(study: ChainStudy) -> Table:
    """A row for each start layer: fidelity and accuracy at the first minimum leaf, beside what the bits allow."""
    columns = [
        *_both("fidelity"),
        "re-\ngained",
        "no\nchain",
        *(["bits\nallow"] if study.bounds else []),
        *_both("accuracy"),
        "coverage",
    ]
    scores = [study.find_row(way, layer).score for layer in study.starts for way in ("true", "predicted", "direct")]
    widest = max((high - low) / 2 for low, high in (score.fidelity_interval for score in scores))
    title = (
        f"by start layer, {name_rules(study)}; baseline (always the most frequent class): fidelity "
        f"{study.commonest_class:.3f}\n95 % intervals of fidelity: at most ±{widest:.3f}"
    )
    table = make_table(title, ["start layer"], columns)
    for layer in study.starts:
        true, predicted, direct = (study.find_row(way, layer).score for way in ("true", "predicted", "direct"))
        bound = study.find_bound(layer)
        table.add_row(
            Text(layer),
            f"{true.fidelity:.3f}",
            f"{predicted.fidelity:.3f}",
            f"{predicted.fidelity - true.fidelity:+.3f}" if layer != study.starts[-1] else NO_FIGURE,
            f"{direct.fidelity:.3f}",
            *([f"{bound.fidelity:.3f}"] if bound else []),
            _short(true.accuracy),
            _short(predicted.accuracy),
            f"{min(true.coverage, predicted.coverage):.3f}",
        )
    return table


def tabulate_kernels(study: ChainStudy) -> Table:
    """A row for each layer above the lowest: the share of its bits right, from the one below and from the lowest."""
    lowest = study.starts[0]
    columns = ["commoner\nvalue", "from the layer\nbelow, true bits", *(f"from {lowest},\n{way}" for way in _WAYS)]
    table = make_table(f"kernel bits right, {name_rules(study)}", ["layer"], columns)
    for layer, commoner in study.commoner_value.items():
        shares = [
            commoner,
            study.find_row("true", study.find_below(layer)).bits_right[layer],
            *(study.find_row(way, lowest).bits_right[layer] for way in ("true", "predicted")),
        ]
        table.add_row(Text(layer), *(f"{share:.3f}" for share in shares))
    return table


def tabulate_sizes(study: ChainStudy) -> Table:
    """A row for each start layer: all kernel bits right above it, and the three sizes, at the first minimum leaf."""
    columns = [*_both("bits right"), *_say_sizes()]
    table = make_table(f"by start layer, {name_rules(study)}", ["start layer"], columns)
    for layer in study.starts:
        rows = [study.find_row(way, layer) for way in ("true", "predicted")]
        table.add_row(
            Text(layer),
            *(NO_FIGURE if row.share_right is None else f"{row.share_right:.3f}" for row in rows),
            *(_format_sizes(row.score) for row in rows),
        )
    return table


def tabulate_sweep(study: ChainStudy) -> Table:
    """A row for each start layer and minimum leaf, largest leaf first: fidelity against size."""
    columns = ["minimum\nleaf", *_both("fidelity"), *_say_sizes()]
    table = make_table("fidelity against size", ["start layer"], columns)
    in_order = study.order_leaves()
    for layer in study.starts:
        for number, min_leaf in enumerate(in_order, 1):
            rows = [study.find_row(way, layer, min_leaf) for way in ("true", "predicted")]
            table.add_row(
                Text(layer if number == 1 else ""),
                name_leaf(min_leaf),
                *(f"{row.score.fidelity:.3f}" for row in rows),
                *(_format_sizes(row.score) for row in rows),
                end_section=number == len(in_order),
            )
    return table


_WAYS = ("true bits", "predicted")


def _both(name: str) -> list[str]:
    return [f"{name}\n{way}" for way in _WAYS]


def _say_sizes() -> list[str]:
    return [f"rules / literals /\nintegers, {way}" for way in _WAYS]


def _format_sizes(score: Score) -> str:
    return f"{score.n_rules:,} / {score.n_literals:,} / {score.n_integers:,}"


def _short(share: float | None) -> str:
    return format_share(share) if share is None else f"{share:.3f}"
