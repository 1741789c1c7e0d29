"""`eric-fast evaluate` and `predict` of programs that answer with several labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eric_fast.output import write_json
from eric_fast.show.printer import Printer

if TYPE_CHECKING:
    from eric_fast.label_score import LabelScore
    from eric_fast.program import Program


def print_label_scores(
    score: "LabelScore",
    chains: "Sequence[LabelScore]",
    printer: Printer,
    json: Path | None,
    *,
    is_training: bool,
    n_bad_images: int,
    force: bool,
) -> None:
    """Print the score of a program and of its labels; with `chains`, the scores from each start instead of its own."""
    from eric_fast.show.scores import (
        TRAINED_ON_THESE,
        describe_bad_images,
        tabulate_label_accuracy,
        tabulate_label_scores,
        tabulate_labels,
    )

    if json is not None:
        content = {**score.to_dict(), "chains": [row.to_dict() for row in chains], "is_training": is_training}
        write_json({**content, "n_bad_images": n_bad_images}, json, force=force)
    if is_training:
        printer.say(TRAINED_ON_THESE)
    if n_bad_images:
        printer.say(describe_bad_images(n_bad_images))
    printer.say(
        f"{score.n_images:,} images, {len(score.labels):,} labels; baseline (always the more frequent answer): "
        f"agreement {score.fidelity.baseline:.4f}"
    )
    printer.show(tabulate_label_scores(chains or [score]))
    accuracy = tabulate_label_accuracy(chains or [score])
    if accuracy is not None:
        printer.show(accuracy)
    printer.show(tabulate_labels(score))


def list_true_labels(program: "Program", row: Sequence[bool]) -> str:
    """The labels that are true, with semicolons between them; names that would be misread stand in quotes."""
    return "; ".join(_quote(name) for name, is_true in zip(program.classes, row, strict=True) if is_true)


def _quote(name: str) -> str:
    """A name as a field of CSV that semicolons separate: `cat`, or `"cat; dog"`."""
    if name and name == name.strip() and not set(name) & set(';"\n\r'):
        return name
    return '"' + name.replace('"', '""') + '"'
