"""Relations between kernels: whose rules mention which others, and which are true on the same images."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.analyse.cut import list_part, take_part
from eric_fast.analyse.sets import count_true
from eric_fast.bits import BitMatrix
from eric_fast.errors import EricError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Program

_Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Links:
    """The program as a graph: an edge from each head to each atom that its rules mention.

    Edges are sorted by head, then by atom; each pair occurs once.

    Attributes:
        program: the whole program; `heads` and `atoms` are indices of its atoms.
        n_images: images that `fires` counts.
        heads: int64 `[n]`: the atom whose rules mention another, or `len(program.atoms) + class`.
        atoms: int64 `[n]`: the mentioned atom.
        n_positive: int64 `[n]`: rules of the head that need the atom true. The rules of a head in `program.negated` say
            where it is false.
        n_negative: int64 `[n]`: rules of the head that need the atom false.
        weights: int64 `[n]`: weights of the atom's literals, summed over the rules; 1 in a conjunction.
        fires: int64 `[n]`: images on which those rules fire because of the atom, summed over the rules: its literal is
            pivotal, as the rule would not fire without it. A conjunction needs each of its literals wherever it fires.
    """

    program: Program
    n_images: int
    heads: _Counts
    atoms: _Counts
    n_positive: _Counts
    n_negative: _Counts
    weights: _Counts
    fires: _Counts

    @property
    def n_atoms(self) -> int:
        return len(self.program.atoms)

    def use_in_classes(self) -> NDArray[np.float64]:
        """How much the rules of each class use each atom: float64 `[n_atoms, n_classes]`.

        For each rule that mentions the atom, the share of images on which it fires because of it, summed over the rules
        of the class; see `fires`.
        If at most one class rule fires on an image, as with the leaves of a tree, the sum over classes is the share of
        images that a rule with this atom decides.
        """
        use = np.zeros((self.n_atoms, len(self.program.classes)))
        of_class = self.heads >= self.n_atoms
        np.add.at(use, (self.atoms[of_class], self.heads[of_class] - self.n_atoms), self.fires[of_class])
        return use / self.n_images

    def use_in_kernels(self) -> NDArray[np.float64]:
        """How much the rules for kernels use each atom: float64 `[n_atoms]`, as in `use_in_classes`."""
        of_kernel = self.heads < self.n_atoms
        return np.bincount(self.atoms[of_kernel], self.fires[of_kernel], self.n_atoms) / self.n_images

    def find_below(self, heads: Iterable[int]) -> dict[str, list[int]]:
        """Find the atoms that these heads build on, directly or through other rules: layer -> atoms, ascending."""
        return self._walk(heads, self.heads, self.atoms)

    def find_above(self, atoms: Iterable[int]) -> dict[str, list[int]]:
        """Find what builds on these atoms, directly or through others: layer -> atoms, and `class` -> class indices."""
        return self._walk(atoms, self.atoms, self.heads)

    def _walk(self, seeds: Iterable[int], sources: _Counts, ends: _Counts) -> dict[str, list[int]]:
        found = np.zeros(self.n_atoms + len(self.program.classes), np.bool_)
        fresh = np.zeros_like(found)
        fresh[list(seeds)] = True
        while fresh.any():
            reached = np.zeros_like(found)
            reached[ends[fresh[sources]]] = True
            fresh = reached & ~found
            found |= reached
        by_layer: dict[str, list[int]] = {}
        for node in np.flatnonzero(found).tolist():
            if node >= self.n_atoms:
                by_layer.setdefault("class", []).append(node - self.n_atoms)
            else:
                by_layer.setdefault(self.program.atoms[node].layer, []).append(node)
        return by_layer


def list_links(program: Program, bits: BitMatrix, *, start: str | None = None, engine: str = "auto") -> Links:
    """List which atoms the rules from layer `start` up mention.

    Args:
        program: a program that answers with a class.
        bits: of layer `start` at least, to count on how many images the rules fire; rows are found by name.
        start: the lowest layer by default.
        engine: see `Evaluator`.

    Raises:
        ProgramError: see `take_part`.
    """
    part = take_part(program, start)
    n_atoms, n_classes = len(part.atoms), len(program.classes)
    node_of = np.concatenate([list_part(program, start), len(program.atoms) + np.arange(n_classes)])
    of_classes = part.class_arrays.bodies
    all_rules = part.kernel_arrays.append(of_classes._replace(heads=n_atoms + of_classes.heads))
    lengths, heads = np.diff(all_rules.offsets), all_rules.heads.astype(np.int64)
    # A literal that stands twice in a rule counts once
    rules = np.repeat(np.arange(len(lengths)), lengths)
    (rules, literals), places = np.unique(np.stack([rules, all_rules.literals]), axis=1, return_index=True)
    atoms, holds = np.where(literals >= 0, literals, ~literals), literals >= 0
    evaluator = Evaluator(part, engine=engine)
    fires = evaluator.counts(bits).numpy()[rules]
    weights = np.ones(len(rules), np.int64)
    if part.has_weight_bodies:
        weights = np.maximum(all_rules.weights[places], 1).astype(np.int64)
        of_sums = np.flatnonzero(all_rules.bounds[rules] > 0)
        fires[of_sums] -= _count_without(part, rules[of_sums], literals[of_sums], evaluator.truth(bits), engine)
    pairs, place = np.unique(heads[rules] * (n_atoms + 1) + atoms, return_inverse=True)
    n = len(pairs)
    return Links(
        program,
        bits.n_samples,
        node_of[pairs // (n_atoms + 1)],
        node_of[pairs % (n_atoms + 1)],
        np.bincount(place, holds, n).astype(np.int64),
        np.bincount(place, ~holds, n).astype(np.int64),
        np.bincount(place, weights, n).astype(np.int64),
        np.bincount(place, fires, n).astype(np.int64),
    )


def _count_without(program: Program, rules: _Counts, literals: _Counts, truth: BitMatrix, engine: str) -> _Counts:
    """Count the images on which each of these weight rules fires without its literal: int64 `[n]`."""
    all_rules = (*program.kernel_rules, *program.class_rules)
    n_without = np.zeros(len(rules), np.int64)
    places, shorter = [], []
    for place, (number, literal) in enumerate(zip(rules.tolist(), literals.tolist(), strict=True)):
        rule = all_rules[number]
        rest = [(other, weight) for other, weight in zip(rule.body, rule.weights, strict=True) if other != literal]
        if sum(weight for _, weight in rest) >= rule.bound:
            body, weights = zip(*rest, strict=True)
            places.append(place)
            shorter.append(ClassRule(0, body, weights=weights, bound=rule.bound))
    asked = replace(program, classes=("fires",), class_rules=tuple(shorter), kernel_rules=(), default=None, base=())
    evaluator = Evaluator(asked, given=truth.atoms, engine=engine)
    n_without[places] = evaluator.counts(truth).numpy()
    return n_without


@dataclass(frozen=True)
class Pair:
    """Two atoms whose bits nearly agree or nearly exclude each other.

    Attributes:
        first: the name of one.
        second: the name of the other.
        phi: correlation of their bits, from -1 to 1.
        differing: images on which their bits differ.
    """

    first: str
    second: str
    phi: float
    differing: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return vars(self)


@dataclass(frozen=True, eq=False)
class Coactivation:
    """On how many images two atoms are true together, for every pair of a row and a column.

    Attributes:
        n_images: all images.
        rows: names of atoms.
        columns: names of atoms or of sets of images; equal to `rows` if atoms are compared among themselves.
        together: int64 `[n_rows, n_columns]`: images on which both are true.
        n_rows_true: int64 `[n_rows]`: images on which each row is true.
        n_columns_true: int64 `[n_columns]`: images on which each column is true.
    """

    n_images: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    together: _Counts
    n_rows_true: _Counts
    n_columns_true: _Counts

    def select_columns(self, columns: Iterable[str]) -> "Coactivation":
        """Keep these columns only."""
        wanted = set(columns)
        kept = [i for i, name in enumerate(self.columns) if name in wanted]
        names = tuple(self.columns[i] for i in kept)
        return replace(self, columns=names, together=self.together[:, kept], n_columns_true=self.n_columns_true[kept])

    def phi(self) -> NDArray[np.float64]:
        """Correlation of the two bits: float64 `[n_rows, n_columns]`, NaN where one never changes.

        1 means true on the same images, -1 true on exactly the others.
        """
        n, a, b = self.n_images, self.n_rows_true[:, None].astype(float), self.n_columns_true[None].astype(float)
        spread = a * (n - a) * (b * (n - b))
        with np.errstate(invalid="ignore", divide="ignore"):
            phi: NDArray[np.float64] = (n * self.together.astype(float) - a * b) / np.sqrt(spread)
        return np.where(spread > 0, phi.clip(-1, 1), np.nan)

    def lift(self) -> NDArray[np.float64]:
        """How often both are true, relative to independent bits: float64 `[n_rows, n_columns]`.

        NaN where one is never true.
        """
        expected = self.n_rows_true[:, None].astype(float) * self.n_columns_true[None].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            lift: NDArray[np.float64] = self.n_images * self.together / expected
        return np.where(expected > 0, lift, np.nan)

    def differing(self) -> _Counts:
        """Images on which exactly one of the two is true: int64 `[n_rows, n_columns]`."""
        return self.n_rows_true[:, None] + self.n_columns_true[None] - 2 * self.together

    def list_never_true(self) -> list[str]:
        """List the rows that are true on no image."""
        return [name for name, count in zip(self.rows, self.n_rows_true, strict=True) if count == 0]

    def list_always_true(self) -> list[str]:
        """List the rows that are true on every image."""
        return [name for name, count in zip(self.rows, self.n_rows_true, strict=True) if count == self.n_images]

    def list_redundant(self, least: float = 0.9) -> list[Pair]:
        """List the pairs with a phi of `least` or more, whose bits nearly agree; the highest first."""
        return self._list_pairs(least, 1)

    def list_complementary(self, least: float = 0.9) -> list[Pair]:
        """List the pairs with a phi of `-least` or less, whose bits nearly exclude each other; the lowest first."""
        return self._list_pairs(least, -1)

    def _list_pairs(self, least: float, sign: int) -> list[Pair]:
        if not 0 < least <= 1:
            raise SettingError(f"the least phi is {least}; it must be above 0 and at most 1")
        phi, differing = self.phi(), self.differing()
        with np.errstate(invalid="ignore"):
            close = sign * phi >= least
        if self.rows == self.columns:
            close = np.triu(close, 1)
        pairs = [
            Pair(self.rows[i], self.columns[j], float(phi[i, j]), int(differing[i, j])) for i, j in np.argwhere(close)
        ]
        return sorted(pairs, key=lambda pair: -abs(pair.phi))  # stable: on a tie the lower atoms first


def measure_coactivation(bits: BitMatrix, others: BitMatrix | None = None, *, engine: str = "auto") -> Coactivation:
    """Count on how many images two atoms are true together, among `bits` or for each of `bits` with each of `others`.

    Raises:
        EricError: `bits` and `others` have different numbers of samples.
    """
    others = bits if others is None else others
    if bits.n_samples != others.n_samples:
        raise EricError(f"bits of {bits.n_samples} samples can't be compared with bits of {others.n_samples}")
    return Coactivation(
        bits.n_samples,
        bits.atoms,
        others.atoms,
        kernels.count(others.words, bits.words, engine=engine).cpu().numpy().astype(np.int64),
        count_true(bits.words, bits.n_samples, engine=engine),
        count_true(others.words, bits.n_samples, engine=engine),
    )
