"""Scores of a program for the terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from eric_fast.program import Program
from eric_fast.score import Score

WIDEST = 100  # characters of class names that a confusion matrix in a terminal has room for


def tabulate_scores(scores: Sequence[Score]) -> Table:
    """One row for each start layer."""
    table = Table()
    table.add_column("start layer")
    for name in ("fidelity", "accuracy", "coverage", "rules", "literals"):
        table.add_column(name, justify="right")
    for score in scores:
        table.add_row(
            Text(score.start_layer),
            f"{score.fidelity:.4f}",
            format_share(score.accuracy),
            f"{score.coverage:.4f}",
            f"{score.n_rules:,}",
            f"{score.n_literals:,}",
        )
    return table


def tabulate_confusion(program: Program, score: Score) -> Table:
    """Images by what the model says (rows) and what the program says (columns)."""
    table = Table(title="images by model (row) and program (column)", title_justify="left")
    table.add_column("model")
    for name in (*program.classes, "none"):
        table.add_column(Text(name), justify="right")
    for name, counts in zip(program.classes, score.confusion.tolist(), strict=True):
        table.add_row(Text(name), *(str(count) if count else "." for count in counts))
    return table


def fits_terminal(program: Program) -> bool:
    """Whether a confusion matrix of these classes can be read in a terminal."""
    return sum(max(len(name), 3) + 3 for name in program.classes) <= WIDEST


def describe_disagreements(program: Program, score: Score, n_pairs: int = 5) -> Iterator[str]:
    """The commonest pairs (model, program) that differ, in words."""
    names = (*program.classes, "nothing")
    cells = zip(*(places.tolist() for places in score.confusion.nonzero()), strict=True)
    pairs = [(int(score.confusion[m, p]), m, p) for m, p in cells if m != p]
    for count, m, p in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:n_pairs]:
        yield f"{count:,} images: the model says {names[m]}, the program {names[p]}"


def format_share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.4f}"
