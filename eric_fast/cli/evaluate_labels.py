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
    scores: "Sequence[LabelScore]",
    printer: Printer,
    json: Path | None,
    *,
    is_training: bool,
    n_bad_images: int,
    force: bool,
) -> None:
    """Print scores, of each start layer one; of the last one the labels, too."""
    from eric_fast.show.scores import tabulate_label_scores, tabulate_labels

    score = scores[-1]
    if json is not None:
        chains = [row.to_dict() for row in scores] if len(scores) > 1 else []
        content = {**score.to_dict(), "chains": chains, "is_training": is_training, "n_bad_images": n_bad_images}
        write_json(content, json, force=force)
    if is_training:
        printer.say("these are the images that the program was extracted from: score it on others")
    printer.say(
        f"{score.n_images:,} images, {len(score.labels):,} labels; always the commoner answer: agreement "
        f"{score.baseline:.4f}"
    )
    printer.show(tabulate_label_scores(scores))
    printer.show(tabulate_labels(score))


def list_true_labels(program: "Program", row: Sequence[bool]) -> str:
    """The labels that are true, with semicolons between them."""
    return "; ".join(name for name, is_true in zip(program.classes, row, strict=True) if is_true)
