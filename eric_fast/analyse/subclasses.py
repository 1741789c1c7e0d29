"""Sub-classes: the images that each class rule covers, and whether they are a group of their own among their class."""

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
from eric_fast.analyse.sets import count_true, pack_classes
from eric_fast.bits import BitMatrix, read_bits
from eric_fast.errors import CaptureError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.program import Program, atom_of
from eric_fast.progress import Progress, ignore_progress


@dataclass(frozen=True)
class Subclass:
    """The images that one class rule covers: it fires, and the program answers its class.

    Attributes:
        rule: index of the class rule; a person counts it from 1.
        class_index: its class.
        n_fires: images on which it fires.
        n_covered: images that it covers.
        n_of_class: of those, the ones that the model gives this class: the sub-class.
        n_class: images that the model gives this class.
        n_kernels: of the last layer that the two figures that follow see: those that the rule doesn't mention and that
            change.
        cohesion: by which share a pair of the sub-class is nearer than a pair of its class, in mean squared distance:
            0 as random images of the class, 1 all the same, below 0 farther apart. None where that can't be said.
        distinctness: the squared distance between the means of the sub-class and of the rest of its class, over the
            mean squared distance of a pair of the class. None as above.
        p_pure: of that many of the class among as many random images (hypergeometric).
        p_cohesive, p_distinct: of that figure or more among random sets of `n_of_class` images of the class.
        p_value: of all three together, the highest of them, adjusted over all sub-classes (Benjamini and Hochberg).
    """

    rule: int
    class_index: int
    n_fires: int
    n_covered: int
    n_of_class: int
    n_class: int
    n_kernels: int
    cohesion: float | None
    distinctness: float | None
    p_pure: float
    p_cohesive: float
    p_distinct: float
    p_value: float

    @property
    def purity(self) -> float:
        """The share of covered images that the model gives the class."""
        return self.n_of_class / self.n_covered

    @property
    def share_of_class(self) -> float:
        """The share of the class's images that are of the sub-class."""
        return self.n_of_class / self.n_class if self.n_class else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "purity": self.purity, "share_of_class": self.share_of_class}


@dataclass(frozen=True, eq=False)
class Subclasses:
    """The sub-classes of all classes.

    Attributes:
        program: whose rules they are.
        space: `norms` or `bits`: what distances are measured in.
        n_permutations, seed: random sets for each sub-class, and where they come from.
        rows: by class, those first that cover most.
        covered: the images that each covers, in the order of `rows`.
        n_left_out: class rules that cover too few images, or that come after the most of a class.
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
        """The sub-class of a class rule, None if it was left out."""
        return next((row for row in self.rows if row.rule == rule), None)

    def find_images(self, rule: int) -> list[int]:
        """The images that a class rule covers, ascending; none where it was left out."""
        numbers = [i for i, row in enumerate(self.rows) if row.rule == rule]
        if not numbers:
            return []
        name = self.covered.atoms[numbers[0]]
        found: list[int] = self.covered.select_atoms([name]).to_bools()[:, 0].nonzero().flatten().tolist()
        return found

    def count_shared(self, class_index: int) -> NDArray[np.int64]:
        """int64 `[n, n]`: images that two rules of a class both cover, in the order of `of_class`."""
        names = [
            name for name, row in zip(self.covered.atoms, self.rows, strict=True) if row.class_index == class_index
        ]
        words = self.covered.select_atoms(names).words
        return kernels.count(words, words).cpu().numpy().astype(np.int64)

    def list_found(self, alpha: float = 0.05) -> list[Subclass]:
        """The sub-classes that are pure, cohesive and distinct beyond chance: `p_value` below `alpha`.

        Among all that are listed some `alpha` are expected to be there by chance.
        """
        return [row for row in self.rows if row.p_value < alpha]


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
    images of that class (cohesive), and away from the rest of it (distinct). Distances are those of the network's last
    layer, every kernel scaled to variance 1 over all images, but for the kernels in the rule's own body: on these its
    images agree by construction, and every rule would seem cohesive. A kernel that says the same as one of these stays.

    Purity must be measured on images that the rules weren't grown on: on those, rules for shuffled classes look pure.

    Args:
        bits: of layer `start` (the lowest by default) at least, and without `norms` of the highest layer too.
        model_predictions: int64 `[n_images]`.
        norms: float32 `[n_images, n_kernels]` of the program's highest layer; without them its bits are the space.
        n_permutations: random sets for each rule; no p-value lies below 1 / (1 + n_permutations).
        seed: of the random sets.
        min_images: rules that fire on fewer are left out.
        max_rules: of each class, those that fire most often.
        max_images: of each class, evenly spread, that distances are measured on.

    Raises:
        ProgramError: see `take_part`. SettingError: a number below its least. CaptureError: no images.
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
        raise CaptureError("there are no images to look for sub-classes in")
    evaluator, heads = Evaluator(take_part(program, start), engine=engine), program.class_arrays.heads
    fires = evaluator.counts(bits)[len(evaluator.program.kernel_rules) :].numpy()
    order = np.lexsort((-fires, heads))
    place_in_class = np.arange(len(order)) - np.searchsorted(heads[order], heads[order])
    chosen = order[(fires[order] >= min_images) & (place_in_class < max_rules)]
    covered = _find_covered(evaluator, bits, chosen)
    space = Space.of_layer(program, bits, norms)

    model = model_predictions.cpu()
    by_class = pack_classes(model, program.classes)
    n_of_class = kernels.count(covered.words, by_class.words).numpy()  # [n_classes, n_rules]
    n_covered, class_sizes = (count_true(each.words, bits.n_samples) for each in (covered, by_class))
    rows: list[Subclass] = []
    sets: RandomSets | None = None
    head = -1
    for i, rule in enumerate(chosen.tolist()):
        progress("sub-classes", i, len(chosen))
        if sets is None or head != heads[rule]:
            head = int(heads[rule])
            images = _spread((model == head).nonzero().flatten(), max_images)
            sets = RandomSets(space.place(images), n_permutations, (seed, head))
        body = {atom_of(literal) for literal in program.class_rules[rule].body}
        kept = space.leave_out(body)
        n_pure, n = int(n_of_class[head, i]), int(n_covered[i])
        chance = sets.compare(read_bits(covered.words[i], images.numpy()), kept)
        p_pure = float(hypergeom.sf(n_pure - 1, bits.n_samples, class_sizes[head], n)) if n else 1.0
        rows.append(
            Subclass(
                rule=rule,
                class_index=head,
                n_fires=int(fires[rule]),
                n_covered=n,
                n_of_class=n_pure,
                n_class=int(class_sizes[head]),
                n_kernels=len(kept),
                cohesion=chance.cohesion,
                distinctness=chance.distinctness,
                p_pure=p_pure,
                p_cohesive=chance.p_cohesive,
                p_distinct=chance.p_distinct,
                p_value=max(p_pure, chance.p_cohesive, chance.p_distinct),
            )
        )
    progress("sub-classes", len(chosen), len(chosen))
    adjusted = false_discovery_control([row.p_value for row in rows]).tolist() if rows else []
    return Subclasses(
        program=program,
        space="bits" if norms is None else "norms",
        n_permutations=n_permutations,
        seed=seed,
        rows=tuple(replace(row, p_value=p_value) for row, p_value in zip(rows, adjusted, strict=True)),
        covered=covered,
        n_left_out=len(heads) - len(chosen),
    )


def _find_covered(evaluator: Evaluator, bits: BitMatrix, rules: NDArray[np.int64]) -> BitMatrix:
    """On which images each of these rules fires and the program answers its class, on the CPU."""
    program, fires = evaluator.program, evaluator.fires(bits, rules.tolist()).to("cpu")
    of_class = pack_classes(evaluator.classes(bits).cpu(), program.classes)
    heads = torch.from_numpy(program.class_arrays.heads[rules].astype(np.int64))
    return BitMatrix(fires.words & of_class.words[heads], bits.n_samples, fires.atoms)


def _spread(images: Tensor, most: int) -> Tensor:
    """At most so many of them, evenly spread."""
    n = len(images)
    return images if n <= most else images[torch.arange(most) * n // most]
