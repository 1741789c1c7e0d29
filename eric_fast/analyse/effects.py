"""Effects of single bits: what the program answers if one is forced true or false, or taken from another image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control
from torch import Tensor

from eric_fast.analyse.cut import list_cuts, list_part, take_part
from eric_fast.analyse.leads import flip_atoms, measure_leads
from eric_fast.analyse.sets import count_true
from eric_fast.bits import BitMatrix, read_bits
from eric_fast.errors import CaptureError, ProgramError
from eric_fast.evaluator import NO_RULE, Evaluator
from eric_fast.program import Program
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.activations import UNKNOWN

_Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """How the program does with one bit forced.

    Attributes:
        fidelity: share of images on which it agrees with the model.
        accuracy: share of images with a known label on which the answer is that label; None if no label is known.
        changed: share of images whose answer changes.
    """

    fidelity: float
    accuracy: float | None
    changed: float


@dataclass(frozen=True)
class Effect:
    """The effect of one atom's bit; a row of `Effects`.

    Attributes:
        atom: index into the program's atoms.
        name: the atom's name.
        share_true: share of images on which the program derives the atom.
        when_false: the bit is false on every image.
        when_true: the bit is true on every image.
        when_swapped: the bits are permuted among the images; the mean over all permutations. The loss of fidelity is
            the atom's permutation importance.
        p_value: how likely flipping the bit on every image would lose as much agreement with the model by chance
            (McNemar's exact test, one-sided), adjusted over all atoms of `Effects` (Benjamini and Hochberg).
    """

    atom: int
    name: str
    share_true: float
    when_false: Answers
    when_true: Answers
    when_swapped: Answers
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        forced = {name: vars(getattr(self, name)) for name in ("when_false", "when_true", "when_swapped")}
        return {"atom": self.atom, "name": self.name, "share_true": self.share_true, **forced, "p_value": self.p_value}


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of all atoms' bits, as numbers of images.

    Axes of size 2 are for the atom forced false and forced true.

    Attributes:
        program: the whole program; `atoms` are indices of its atoms.
        start_layer: the layer whose bits are given; empty for a program that compares nothing.
        n_images: all images.
        n_labelled: images whose label is known.
        atoms: int64 `[n]`: the atoms from `start_layer` up.
        n_true: int64 `[n]`: images on which the program derives the atom.
        agrees: int64 `[n, 2, n_classes]`: images on which program and model agree, by class of the model.
        correct: int64 `[n, 2, n_classes]`: images on which the program gives the label, by class of the label.
        answers: int64 `[n, 2, n_classes + 1]`: images by answer of the program; the last column: no answer.
        changed: int64 `[n, 2, n_classes + 1]`: images whose answer changes, by their answer without forcing.
        n_lost: int64 `[n]`: images on which program and model agree, but disagree with the bit flipped.
        n_gained: int64 `[n]`: images on which program and model disagree, but agree with the bit flipped.
        p_values: float64 `[n]`: see `Effect`.
        of_model: int64 `[n_classes]`: images by class of the model.
        of_label: int64 `[n_classes]`: images by label.
        agrees_now: int64 `[n_classes]`: as `agrees`, without forcing.
        correct_now: int64 `[n_classes]`: as `correct`, without forcing.
        answers_now: int64 `[n_classes + 1]`: as `answers`, without forcing.
    """

    program: Program
    start_layer: str
    n_images: int
    n_labelled: int
    atoms: _Integers
    n_true: _Integers
    agrees: _Integers
    correct: _Integers
    answers: _Integers
    changed: _Integers
    n_lost: _Integers
    n_gained: _Integers
    p_values: NDArray[np.float64]
    of_model: _Integers
    of_label: _Integers
    agrees_now: _Integers
    correct_now: _Integers
    answers_now: _Integers

    @property
    def now(self) -> Answers:
        """The program without forcing."""
        accuracy = int(self.correct_now.sum()) / self.n_labelled if self.n_labelled else None
        return Answers(int(self.agrees_now.sum()) / self.n_images, accuracy, 0.0)

    def row(self, index: int) -> Effect:
        """The effect of `atoms[index]`."""
        share = int(self.n_true[index]) / self.n_images
        agrees, correct = self.agrees[index].sum(axis=1), self.correct[index].sum(axis=1)
        changed = self.changed[index].sum(axis=1)

        def answer(weights: NDArray[np.float64]) -> Answers:
            accuracy = float(weights @ correct) / self.n_labelled if self.n_labelled else None
            return Answers(float(weights @ agrees) / self.n_images, accuracy, float(weights @ changed) / self.n_images)

        # A permuted bit is true with probability `share`, and an image's answer depends on its own bit alone
        false, true, swapped = map(answer, np.array([[1, 0], [0, 1], [1 - share, share]]))
        atom = int(self.atoms[index])
        name = self.program.atoms[atom].name
        return Effect(atom, name, share, false, true, swapped, float(self.p_values[index]))

    def of_atom(self, atom: int) -> Effect:
        """The effect of one atom of the program.

        Raises:
            ProgramError: the atom lies below the start layer.
        """
        (places,) = np.nonzero(self.atoms == atom)
        if not len(places):
            name = self.program.atoms[atom].name
            raise ProgramError(f"{name} lies below '{self.start_layer}', from which effects were measured")
        return self.row(int(places[0]))

    def rank(self) -> list[Effect]:
        """List all effects, the highest loss of fidelity by swapping first, then the most changed answers."""
        rows = [self.row(i) for i in range(len(self.atoms))]
        return sorted(rows, key=lambda row: (row.when_swapped.fidelity, -row.when_swapped.changed, row.atom))

    def list_key(self, alpha: float = 0.05) -> list[Effect]:
        """List the key kernels: those whose flipped bit loses agreement with the model, with `p_value` below `alpha`.

        About a share of `alpha` of the list is expected to be there by chance.
        """
        return [row for row in self.rank() if row.p_value < alpha]


def measure_effects(
    program: Program,
    bits: BitMatrix,
    model_predictions: Tensor,
    labels: Tensor | None = None,
    *,
    start: str | None = None,
    engine: str = "auto",
    progress: Progress = ignore_progress,
) -> Effects:
    """Force every atom from layer `start` up, one at a time, on all images, and count exactly what changes.

    The bits of `start` are given and the atoms above are derived, as in `predict_bits`. Forcing a derived atom replaces
    its rules by a value (Pearl's do-operator): the atoms below it stay as they are, and those above follow. To see the
    effects of the network's own bits of a higher layer, pass that layer as `start`.

    One evaluation for each atom, with its bit flipped on every image, is enough: under any forcing or permutation, an
    image has either its own bit or the flipped one. Under `vote` with whole weights it leaves out images whose answer
    is too far ahead to change (`measure_leads`).

    Args:
        program: a program that answers with a class.
        bits: of layer `start` at least; rows are found by name.
        model_predictions: int64 `[n_images]`, the model's classes.
        labels: int64 `[n_images]`, `UNKNOWN` where not known.
        start: the lowest layer by default.
        engine: see `Evaluator`.
        progress: told how far the work is.

    Raises:
        ProgramError: see `take_part`.
        CaptureError: there are no images.
    """
    if bits.n_samples == 0:
        raise CaptureError("there are no images to measure effects on")
    part = take_part(program, start)
    evaluator = Evaluator(part, engine=engine)
    truth = evaluator.truth(bits)
    labels = torch.full_like(model_predictions, UNKNOWN) if labels is None else labels
    counts = _Counts(truth, evaluator.classes(bits), model_predictions, labels, len(program.classes))
    leads = measure_leads(evaluator, bits)
    done, total = 0, len(part.atoms)
    for cut in list_cuts(part, engine):
        for atom, samples, flipped in flip_atoms(cut, truth, leads):
            counts.add_flip(atom, samples, flipped)
            done += 1
            progress("forced bits", done, total)
    if done < total:  # no class rule builds on the other atoms
        progress("forced bits", total, total)
    first = program.layer_to_start(start) if program.layers else ""
    return counts.finish(program, first, list_part(program, start))


class _Counts:
    """The counts of `Effects`: without forcing at first, then with the changes of each flip added.

    In NumPy on one thread: each count is short, and torch's threads would wait for each other longer than they work.
    """

    def __init__(
        self, truth: BitMatrix, classes: Tensor, model_predictions: Tensor, labels: Tensor, n_classes: int
    ) -> None:
        self._truth, self._n_classes = truth, n_classes
        self._answers = classes.cpu().numpy()
        self._truths = {"agrees": model_predictions.cpu().numpy(), "correct": labels.cpu().numpy()}
        self._n_atoms = n_atoms = len(truth.atoms)
        self._now = {
            name: _count_classes(truth[truth == self._answers], n_classes) for name, truth in self._truths.items()
        }
        self._now["answers"] = _count_classes(self._answers, n_classes + 1)
        self._forced = {name: np.tile(now, (n_atoms, 2, 1)) for name, now in self._now.items()}
        self._changed = np.zeros((n_atoms, 2, n_classes + 1), np.int64)
        self._n_lost, self._n_gained = np.zeros((2, n_atoms), np.int64)

    def add_flip(self, atom: int, samples: _Integers, flipped: Tensor) -> None:
        """Add the answers with an atom's bit flipped on these samples, int32 `[n]`; others have the answer they had."""
        answers = flipped.cpu().numpy()
        changed = answers != self._answers[samples]
        images = samples[changed]
        if not len(images):
            return
        before, after = self._answers[images], answers[changed]
        forced = ~read_bits(self._truth.words[atom], images)  # to the value that the bit doesn't have
        for name, truth in self._truths.items():
            known = truth[images]
            gained, lost = after == known, before == known
            self._forced[name][atom] += _count_forced(forced[gained], known[gained], self._n_classes)
            self._forced[name][atom] -= _count_forced(forced[lost], known[lost], self._n_classes)
            if name == "agrees":
                self._n_lost[atom], self._n_gained[atom] = lost.sum(), gained.sum()
        self._changed[atom] = _count_forced(forced, before, self._n_classes + 1)
        self._forced["answers"][atom] += _count_forced(forced, after, self._n_classes + 1) - self._changed[atom]

    def finish(self, program: Program, start_layer: str, atoms: NDArray[np.int64]) -> Effects:
        truth, n_classes = self._truth, self._n_classes
        trials = self._n_lost + self._n_gained
        p_values = np.where(trials > 0, binom.sf(self._n_lost - 1, trials, 0.5), 1.0)  # this many lost or more
        model, labels = self._truths["agrees"], self._truths["correct"]
        return Effects(
            program=program,
            start_layer=start_layer,
            n_images=truth.n_samples,
            n_labelled=int((labels != UNKNOWN).sum()),
            atoms=atoms,
            n_true=count_true(truth.words, truth.n_samples),
            changed=self._changed,
            n_lost=self._n_lost,
            n_gained=self._n_gained,
            p_values=false_discovery_control(p_values) if self._n_atoms else p_values,
            of_model=_count_classes(model, n_classes),
            of_label=_count_classes(labels[labels != UNKNOWN], n_classes),
            agrees_now=self._now["agrees"],
            correct_now=self._now["correct"],
            answers_now=self._now["answers"],
            **self._forced,
        )


def _count_forced(forced: NDArray[np.bool_], classes: NDArray[Any], n: int) -> _Integers:
    """Count images by forced value and by class, `NO_RULE` last: int64 `[2, n]`."""
    return _count_classes(forced * n + np.where(classes == NO_RULE, n - 1, classes), 2 * n).reshape(2, n)


def _count_classes(classes: NDArray[Any], n: int) -> _Integers:
    """Count images by class, `NO_RULE` last: int64 `[n]`."""
    return np.bincount(np.where(classes == NO_RULE, n - 1, classes), minlength=n)
