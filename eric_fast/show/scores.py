"""Scores of a program for the terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from eric_fast.class_groups import GroupScores
from eric_fast.errors import say_count
from eric_fast.label_score import LabelScore, select_worst
from eric_fast.program import Program
from eric_fast.program.confidence import Interval
from eric_fast.score import FEW_IMAGES, Score
from eric_fast.show.grid import NO_FIGURE, make_table, tabulate_counts
from eric_fast.show.visible_text import Text

TRAINED_ON_THESE = "the program was extracted from these images; score it on others"


def tabulate_scores(scores: Sequence[Score]) -> Table:
    """One row for each start layer, with Wilson's intervals."""
    shares = ["fidelity", "(95 %)", "accuracy", "(95 %)"]
    table = make_table(None, ["start layer"], [*shares, "coverage", "rules", "literals", "integers"])
    for score in scores:
        table.add_row(
            Text(score.start_layer),
            f"{score.fidelity:.4f}",
            format_interval(score.fidelity_interval),
            format_share(score.accuracy),
            format_interval(score.accuracy_interval),
            f"{score.coverage:.4f}",
            f"{score.n_rules:,}",
            f"{score.n_literals:,}",
            f"{score.n_integers:,}",
        )
    return table


def tabulate_label_scores(scores: Sequence[LabelScore]) -> Table:
    """One row for each start layer."""
    table = make_table(
        None,
        ["start layer"],
        ["micro F1", "macro F1", "exact match", "agreement", "rules", "literals", "integers"],
    )
    for score in scores:
        found = score.fidelity
        shares = (found.micro_f1, found.macro_f1, found.exact, found.agreement)
        sizes = (score.n_rules, score.n_literals, score.n_integers)
        table.add_row(Text(score.start_layer), *(f"{share:.4f}" for share in shares), *(f"{n:,}" for n in sizes))
    return table


def tabulate_label_accuracy(scores: Sequence[LabelScore]) -> Table | None:
    """The network, and the program from each start layer, against the true labels; None if none is known."""
    names = ["micro F1", "macro F1", "exact match", "agreement", "images"]
    table = make_table("against the true labels", ["answers of"], names)
    rows = [("the network", scores[0].model_accuracy)]
    rows += [(f"the program from {score.start_layer}", score.accuracy) for score in scores]
    for name, found in rows:
        if found is not None:
            exact = f"{found.exact:.4f}" if found.n_images else NO_FIGURE
            figures = (f"{found.micro_f1:.4f}", f"{found.macro_f1:.4f}", exact, f"{found.agreement:.4f}")
            table.add_row(Text(name), *figures, f"{found.n_images:,}")
    return table if table.rows else None


def tabulate_labels(score: LabelScore, limit: int = 20) -> Table:
    """The labels of lowest F1, of those that program or network gives."""
    rows = select_worst(score, limit)
    title = f"labels, the lowest F1 first; {len(rows):,} of {say_count(len(score.labels), 'label')}"
    table = make_table(title, ["label"], ["network", "program", "both", "F1"])
    for row in rows:
        counts = (f"{row[name]:,}" for name in ("of_model", "of_program", "of_both"))
        table.add_row(Text(row["label"]), *counts, f"{row['f1']:.4f}")
    return table


def list_cautions(score: Score, *, is_training: bool) -> Iterator[str]:
    """What makes the figures worth less, to be said before them."""
    if is_training:
        yield TRAINED_ON_THESE
    if score.n_few:
        verb = "is" if score.n_few == 1 else "are"
        yield (
            f"{say_count(score.n_few, 'class')} {verb} the model's answer on fewer than {FEW_IMAGES} of these images, "
            "so their figures may be due to chance"
        )


def describe_bad_images(n: int) -> str:
    """Images that the scores say nothing of."""
    return f"skipped {say_count(n, 'image')} that can't be read"


def describe_baseline(score: Score) -> str:
    """What a program would get that always gives the most frequent answer."""
    return f"baseline (always the most frequent answer): fidelity {score.baseline:.4f}"


def tabulate_confusion(program: Program, score: Score) -> Table:
    """Images by what the model says (rows) and what the program says (columns)."""
    rows = zip(program.classes, score.confusion.tolist(), strict=True)
    return tabulate_counts("images by model (row) and program (column)", "model", (*program.classes, "none"), rows)


def tabulate_groups(scores: GroupScores) -> Table:
    """One row for each group of classes: how often program and model give the same class, and the same group."""
    title = f"by group of the model's answer; on {scores.fidelity:.4f} of the images the groups are the same"
    table = make_table(title, ["group"], ["classes", "images", "fidelity", "same group"])
    columns = (scores.n_classes, scores.n_images, scores.n_same_class, scores.confusion.diagonal())
    for name, n_classes, n, same_class, same_group in zip(scores.names, *(c.tolist() for c in columns), strict=True):
        shares = (f"{count / n:.4f}" if n else NO_FIGURE for count in (same_class, same_group))
        table.add_row(Text(name), f"{n_classes:,}", f"{n:,}", *shares)
    return table


def tabulate_both_groups(first: GroupScores, second: GroupScores) -> Table:
    """One row for each group of classes: how often two programs give the class of their model, and the same group."""
    figures = ["classes", "images", "first", "same group", "second", "same group"]
    table = make_table("by group of the model's answer: fidelity", ["group"], figures)
    for group, name in enumerate(first.names):
        cells = [f"{int(first.n_classes[group]):,}", f"{int(first.n_images[group]):,}"]
        for scores in (first, second):
            n = int(scores.n_images[group])
            counts = (int(scores.n_same_class[group]), int(scores.confusion[group, group]))
            cells += [f"{count / n:.4f}" if n else NO_FIGURE for count in counts]
        table.add_row(Text(name), *cells)
    return table


def tabulate_group_confusion(scores: GroupScores) -> Table:
    """Images by the group of what the model says (rows) and of what the program says (columns)."""
    rows = zip(scores.names, scores.confusion.tolist(), strict=True)
    title = "images by group of the model's answer (row) and the program's (column)"
    return tabulate_counts(title, "model", (*scores.names, "none"), rows)


def describe_disagreements(program: Program, score: Score, n_pairs: int = 5) -> Iterator[str]:
    """The commonest pairs (model, program) that differ, in words."""
    names = (*program.classes, "nothing")
    cells = zip(*(places.tolist() for places in score.confusion.nonzero()), strict=True)
    pairs = [(int(score.confusion[m, p]), m, p) for m, p in cells if m != p]
    for count, m, p in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:n_pairs]:
        yield f"{count:,} images: the model says {names[m]}, the program {names[p]}"


def format_interval(interval: Interval | None) -> str:
    """`0.741-0.758`."""
    return NO_FIGURE if interval is None else f"{interval.low:.3f}-{interval.high:.3f}"


def format_share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.4f}"
