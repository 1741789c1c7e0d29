"""What weight rules of no larger size would keep, beside trees: measured on held-back training images."""

from dataclasses import replace
from typing import Any, NamedTuple

from eric_fast.extract import ExtractOptions, WeightOptions
from eric_fast.processes import Processes
from eric_fast.program import Program
from eric_fast.store import Source
from eric_fast.training.held_back import start_trial
from eric_fast.training.prepare import select_training


class Alternative(NamedTuple):
    """Weight rules in place of trees.

    Attributes:
        options: what learns them.
        n_literals: literals of a rule of a kernel; None if no kernel has rules.
        n_votes: class rules of each start, of one literal and one whole number each.
        size: rules, literals and integers, from the lowest layer.
        n_images: held-back images.
        trees, weights: the shares of these that trees like those of the program, and weight rules, get right, from the
            lowest layer; both learned from the other images.
    """

    options: ExtractOptions
    n_literals: int | None
    n_votes: int
    size: tuple[int, int, int]
    n_images: int
    trees: float
    weights: float

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {name: value for name, value in self._asdict().items() if name != "options"}


def measure_weight_rules(
    source: Source, options: ExtractOptions, program: Program, processes: Processes | None = None
) -> Alternative | None:
    """Score weight rules that are as large as a program of trees; None if too few images can be held back.

    A literal and its whole number count as much as two literals of a tree's rule. So classes get a vote for every two
    literals of their trees' rules, and a kernel at most one literal for every two that it has now, on average.
    """
    if source.settings.has_labels:
        return None
    n_heads = len({rule.head for rule in program.kernel_rules})
    n_literals = None
    if n_heads:
        n_tree_literals = sum(len(rule.body) for rule in program.kernel_rules)
        n_literals = max(1, min(WeightOptions().most_literals, n_tree_literals // (2 * n_heads)))
    n_votes = max(1, sum(len(rule.body) for rule in program.class_rules) // 2)
    wanted = ExtractOptions(
        layers=options.layers,
        threshold=options.threshold,
        per_kernel=options.per_kernel,
        grid=options.grid,
        criterion=options.criterion,
        target=options.target,
        grown_on=options.grown_on,
        rules="weights",
        votes="single",
        n_votes=n_votes,
        weight_options=WeightOptions(n_literals or WeightOptions().most_literals),
    )
    trial = start_trial(select_training(source, wanted, processes, warn=False), wanted)
    if trial is None:
        return None
    n_images = program.n_images or trial.learned.n_images
    share = options.count_min_leaf(n_images) / n_images  # a trial learns from fewer images
    same = replace(options, max_loss=None, min_leaf=min(share, 0.5))
    trees, learned = (trial.learn(own) for own in (same, wanted))
    own = learned.start_at()
    size = len(own.class_rules) + len(own.kernel_rules), own.n_literals, own.n_integers
    return Alternative(
        wanted, n_literals, n_votes, size, trial.scored.n_images, trial.score(trees), trial.score(learned)
    )
