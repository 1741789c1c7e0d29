"""Sub-classes: the images that each class rule covers, and whether they are a group of their own in their class.

Where votes decide, these are the images on which one rule adds most to the answer's lead (`list_groups`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom
from torch import Tensor

from eric_fast import kernels
from eric_fast.analyse.cut import take_part
from eric_fast.analyse.distances import RandomSets, Space
from eric_fast.analyse.groups import list_groups
from eric_fast.analyse.sets import count_true, pack_classes
from eric_fast.bits import BitMatrix, read_bits
from eric_fast.errors import CaptureError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.program import Program, atom_of
from eric_fast.progress import Progress, ignore_progress

MOST_OF_CLASS = 0.5  # a rule that covers more of its class is no sub-class of it
LEAST_COHESION = 0.1  # what is only significant is no effect


@dataclass(frozen=True)
class Subclass:
    """The images that one class rule covers; see `list_groups`.

    Attributes:
        name: `rule 7`, counted from 1; `rule 7 for dog` where votes decide.
        rule: index of the class rule, from 0; tables and texts count from 1.
        class_index: the rule's class, or the one for which it decides.
        n_fires: images on which the rule fires.
        n_covered: images that the rule covers.
        n_of_class: covered images to which the model gives the class as well: the sub-class.
        n_class: images to which the model gives the class.
        n_kernels: kernels of the last layer that distances are measured on: those that change and that the rule doesn't
            mention.
        cohesion: 1 minus the mean squared distance between two images of the sub-class, divided by that between two
            images of its class: 0 for random images of the class, 1 if all are alike, negative if they are farther
            apart. None if the sub-class is too small, or is the whole class.
        distinctness: the squared distance between the means of the sub-class and of the rest of its class, divided by
            the mean squared distance between two images of the class. None as above.
        effect: by how many standard deviations the images of the sub-class lie closer together than random subsets of
            the class of the same size: the mean squared distance of two images. None as above.
        p_pure: how likely as many random images would include so many of the class or more (hypergeometric).
        p_cohesive: how likely `n_of_class` random images of the class would be as cohesive or more.
        p_distinct: how likely `n_of_class` random images of the class would be as distinct or more.
        p_value: the highest of the three, adjusted over all sub-classes (Benjamini and Hochberg).
    """

    name: str
    rule: int
    class_index: int
    n_fires: int
    n_covered: int
    n_of_class: int
    n_class: int
    n_kernels: int
    cohesion: float | None
    distinctness: float | None
    effect: float | None
    p_pure: float
    p_cohesive: float
    p_distinct: float
    p_value: float

    @property
    def purity(self) -> float:
        """The share of covered images to which the model gives the class."""
        return self.n_of_class / self.n_covered

    @property
    def share_of_class(self) -> float:
        """The sub-class's share of the images to which the model gives the class."""
        return self.n_of_class / self.n_class if self.n_class else 0.0

    def is_found(self, alpha: float = 0.05) -> bool:
        """Whether it is a sub-class: beyond chance, at most half of its class, and cohesive enough to matter."""
        is_part = self.share_of_class <= MOST_OF_CLASS
        return self.p_value < alpha and is_part and self.cohesion is not None and self.cohesion >= LEAST_COHESION

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "purity": self.purity, "share_of_class": self.share_of_class}


@dataclass(frozen=True, eq=False)
class Subclasses:
    """The sub-classes of all classes.

    Attributes:
        program: the program whose class rules cover them.
        space: `norms` or `bits`: the values that distances are measured on.
        n_permutations: random sets for each sub-class.
        seed: the seed of the random sets.
        rows: sorted by class, then by images on which the rule fires, or decides, most first.
        covered: the images that each rule covers, in the order of `rows`, with their names.
        n_left_out: groups of too few images, or that exceed the most rules of a class.
    """

    program: Program
    space: str
    n_permutations: int
    seed: int
    rows: tuple[Subclass, ...]
    covered: BitMatrix
    n_left_out: int

    def of_class(self, class_index: int) -> list[Subclass]:
        return [row for row in self.rows if row.class_index == class_index]

    def of_rule(self, rule: int) -> Subclass | None:
        """Find the sub-class of a class rule, the first where votes decide; None if it was left out."""
        return next((row for row in self.rows if row.rule == rule), None)

    def find_images(self, rule: int) -> list[int]:
        """Find the images that a class rule covers, ascending; none if it was left out."""
        names = [row.name for row in self.rows if row.rule == rule]
        found: list[int] = self.covered.select_atoms(names).to_bools().any(dim=1).nonzero().flatten().tolist()
        return found

    def count_shared(self, class_index: int) -> NDArray[np.int64]:
        """Count the images that two rules of a class both cover: int64 `[n, n]`, in the order of `of_class`."""
        names = [row.name for row in self.of_class(class_index)]
        words = self.covered.select_atoms(names).words
        return kernels.count(words, words).cpu().numpy().astype(np.int64)

    def list_found(self, alpha: float = 0.05) -> list[Subclass]:
        """List the sub-classes that are pure, cohesive and distinct beyond chance, with `p_value` below `alpha`.

        They hold at most half of their class (`MOST_OF_CLASS`), and their cohesion is `LEAST_COHESION` at least: many
        images alone make none. About a share of `alpha` of the list is expected to be there by chance.
        """
        return [row for row in self.rows if row.is_found(alpha)]


def measure_subclasses(
    program: Program,
    bits: BitMatrix,
    model_predictions: Tensor,
    norms: Tensor | None = None,
    *,
    start: str | None = None,
    n_permutations: int = 999,
    seed: int = 0,
    min_images: int = 10,
    max_rules: int = 100,
    max_images: int = 2000,
    engine: str = "auto",
    progress: Progress = ignore_progress,
) -> Subclasses:
    """Test for each class rule whether the images that it covers are a sub-class.

    They are one if, beyond chance, the model gives them the rule's class (pure), they lie closer together than random
    images of the class (cohesive), and they lie away from the rest of the class (distinct). Distances are measured in
    the network's last layer, with every kernel scaled to variance 1 over all images. The kernels in the rule's own body
    are left out: its images agree on them by construction, so every rule would seem cohesive. A kernel that agrees with
    one of these is kept.

    Measure purity on images that the rules weren't grown on: on training images, even rules for shuffled classes look
    pure.

    Args:
        program: a program that answers with a class.
        bits: of layer `start` at least and, without `norms`, of the highest layer; rows are found by name.
        model_predictions: int64 `[n_images]`, the model's classes.
        norms: float32 `[n_images, n_kernels]` of the program's highest layer; None to measure distances on its bits.
        start: the layer whose bits are given; the lowest by default.
        n_permutations: random sets for each rule; no p-value lies below 1 / (1 + n_permutations).
        seed: of the random sets.
        min_images: see `list_groups`.
        max_rules: rules of each class that are tested, those that fire, or decide, most often.
        max_images: images of each class that distances are measured on, evenly spread.
        engine: see `Evaluator`.
        progress: told how far the work is.

    Raises:
        ProgramError: see `take_part`.
        SettingError: a number is below its minimum.
        CaptureError: there are no images.
    """
    for name, value, least in (
        ("permutations", n_permutations, 1),
        ("images of a rule", min_images, 2),
        ("rules of a class", max_rules, 1),
        ("images of a class", max_images, 2),
    ):
        if value < least:
            raise SettingError(f"the number of {name} must be at least {least}, not {value}")
    if bits.n_samples == 0:
        raise CaptureError("there are no images, and sub-classes are sets of images")
    program = program.select_start(start)
    groups = list_groups(Evaluator(take_part(program, start), engine=engine), bits, min_images, max_rules)
    covered = groups.images
    space = Space.of_layer(program, bits, norms)

    model = model_predictions.cpu()
    by_class = pack_classes(model, program.classes)
    n_of_class = kernels.count(covered.words, by_class.words).numpy()  # [n_classes, n_rules]
    n_covered, class_sizes = (count_true(each.words, bits.n_samples) for each in (covered, by_class))
    rows: list[Subclass] = []
    sets: RandomSets | None = None
    head = -1
    for i, (rule, class_index) in enumerate(zip(groups.rules.tolist(), groups.classes.tolist(), strict=True)):
        progress("sub-classes", i, len(groups.rules))
        if sets is None or head != class_index:
            head = class_index
            images = _spread((model == head).nonzero().flatten(), max_images)
            sets = RandomSets(space.place(images), n_permutations, (seed, head))
        body = {atom_of(literal) for literal in program.class_rules[rule].body}
        kept = space.leave_out(body)
        n_pure, n = int(n_of_class[head, i]), int(n_covered[i])
        chance = sets.compare(read_bits(covered.words[i], images.numpy()), kept)
        p_pure = float(hypergeom.sf(n_pure - 1, bits.n_samples, class_sizes[head], n)) if n else 1.0
        rows.append(
            Subclass(
                name=covered.atoms[i],
                rule=rule,
                class_index=head,
                n_fires=int(groups.n_fires[i]),
                n_covered=n,
                n_of_class=n_pure,
                n_class=int(class_sizes[head]),
                n_kernels=len(kept),
                cohesion=chance.cohesion,
                distinctness=chance.distinctness,
                effect=chance.effect,
                p_pure=p_pure,
                p_cohesive=chance.p_cohesive,
                p_distinct=chance.p_distinct,
                p_value=max(p_pure, chance.p_cohesive, chance.p_distinct),
            )
        )
    progress("sub-classes", len(rows), len(rows))
    adjusted = false_discovery_control([row.p_value for row in rows]).tolist() if rows else []
    return Subclasses(
        program=program,
        space="bits" if norms is None else "norms",
        n_permutations=n_permutations,
        seed=seed,
        rows=tuple(replace(row, p_value=p_value) for row, p_value in zip(rows, adjusted, strict=True)),
        covered=covered,
        n_left_out=groups.n_left_out,
    )


def _spread(images: Tensor, most: int) -> Tensor:
    """Choose `most` of these images, evenly spread; all if there are no more."""
    n = len(images)
    return images if n <= most else images[torch.arange(most) * n // most]
