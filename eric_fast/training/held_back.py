"""Trials: a program is learned from some training images, thresholds included, and scored on others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.extract import ExtractOptions, extract_program
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.program.prune import choose_held_back
from eric_fast.quantise import ScaledLogits, quantise_activations
from eric_fast.store import Selection, cut_parts, split_selection
from eric_fast.training.prepare import find_logits, find_quantiser

SHARE = 0.2  # of the images is held back
TRIAL_IMAGES = 25_000  # of both kinds
PART = 8192  # images read at a time


@dataclass(frozen=True, eq=False)
class Trial:
    """Images to learn from, and images to score on, which were chosen by a hash of their names.

    Attributes:
        learned, scored: the images; at most `TRIAL_IMAGES` together, of all processes.
        quantiser: the atoms, with thresholds of the images that are learned from.
        bits: of these atoms, on the images that are learned from.
        logits: what votes are fitted to, if that isn't the target; see `extract_program`.
        unseen: the bits of the images that are scored.
    """

    learned: Selection
    scored: Selection
    quantiser: Quantiser
    bits: BitMatrix
    logits: ScaledLogits | None
    unseen: BitMatrix

    def learn(
        self, options: ExtractOptions, quantiser: Quantiser | None = None, graph: LayerGraph | None = None
    ) -> Program:
        """Learn a program from the atoms of a quantiser, by default of all; `graph` says which layers feed which."""
        quantiser = quantiser or self.quantiser
        return extract_program(
            self.bits.select_atoms([atom.name for atom in quantiser.atoms]),
            quantiser,
            self.learned.targets,
            self.learned.classes,
            options,
            grown_on=options.grown_on,
            combine=self.learned.processes.combine,
            scores=self.logits if options.votes_by else None,
            graph=graph or self.learned.graph,
        )

    def score(self, program: Program, start: str | None = None) -> float:
        """The share of the unseen images, or of their labels, on which a program gives the target."""
        found, targets = Evaluator(program, start).predict(self.unseen), self.scored.targets
        answers = found.classes if found.labels is None else found.labels
        n_right = (answers.cpu() == targets).sum().reshape(1)
        return int(self.scored.processes.combine(n_right)) / (self.scored.n_images * targets.shape[1:].numel())


def start_trial(training: Selection, options: ExtractOptions) -> Trial | None:
    """Hold images back, and prepare the others; None if too few are left: they need two classes.

    Args:
        options: layers and thresholds, and what votes are fitted to if they ask for votes.
    """
    share = min(1.0, TRIAL_IMAGES / training.n_images)
    training = replace(training, parts=tuple(cut_parts(training.parts, PART)))
    sample, _ = split_selection(training, partial(_choose, share=share))
    scored, learned = split_selection(sample, partial(_choose, share=SHARE * share))
    own = learned.targets
    of_class = own.sum(dim=0) if own.ndim > 1 else own.bincount(minlength=len(learned.classes))
    n_seen = int((learned.processes.combine(of_class) > 0).sum())
    if not scored.n_images or n_seen < (1 if own.ndim > 1 else 2):
        return None
    quantiser = find_quantiser(learned, options, warn=False)
    return Trial(
        learned=learned,
        scored=scored,
        quantiser=quantiser,
        bits=quantise_activations(learned, quantiser),
        logits=find_logits(learned, options, warn=False),
        unseen=quantise_activations(scored, quantiser),
    )


def find_error(share: float, n_images: int) -> float:
    """The standard error of a share of images."""
    return float(np.sqrt(share * (1 - share) / n_images))


def _choose(ids: Sequence[str], share: float) -> NDArray[np.bool_]:
    """As images are held back to prune on; but other ones, since those may be left out already."""
    return choose_held_back([f"{name} " for name in ids], share) if share < 1 else np.ones(len(ids), np.bool_)
