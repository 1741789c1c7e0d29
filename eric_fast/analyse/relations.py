"""Relations: which kernels' rules build on which, and which kernels are true on the same images."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.analyse.cut import take_part
from eric_fast.analyse.sets import count_true
from eric_fast.bits import BitMatrix
from eric_fast.errors import EricError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.program import Program

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Links:
    """Which atoms the rules of which head mention: the program as a graph, weighted by what its rules cover.

    Attributes:
        program: the whole program; indices of atoms are its own.
        n_images: on which the rules fired, or not.
        heads: int64 `[n]`: the atom whose rules mention another, or `len(program.atoms) + class`.
        atoms: int64 `[n]`: the atom mentioned. Sorted by head, then by atom; each pair once.
        n_positive, n_negative: int64 `[n]`: rules of the head that need the atom true, false. Of a head in
            `program.negated` the rules say where it is false.
        fires: int64 `[n]`: images on which those rules fire, added up over the rules.
    """

    program: Program
    n_images: int
    heads: Counts
    atoms: Counts
    n_positive: Counts
    n_negative: Counts
    fires: Counts

    @property
    def n_atoms(self) -> int:
        return len(self.program.atoms)

    def use_in_classes(self) -> NDArray[np.float64]:
        """float64 `[n_atoms, n_classes]`: how often an atom stands in rules of a class, weighted by what these cover.

        The images on which a rule that mentions it fires, over all images, added up over the class's rules. Where at
        most one class rule fires, as with the leaves of a tree, a row's sum is the share of images that are decided by
        a rule that mentions the atom.
        """
        use = np.zeros((self.n_atoms, len(self.program.classes)))
        of_class = self.heads >= self.n_atoms
        np.add.at(use, (self.atoms[of_class], self.heads[of_class] - self.n_atoms), self.fires[of_class])
        return use / self.n_images

    def use_in_kernels(self) -> NDArray[np.float64]:
        """float64 `[n_atoms]`: the same over the rules of kernels."""
        of_kernel = self.heads < self.n_atoms
        return np.bincount(self.atoms[of_kernel], self.fires[of_kernel], self.n_atoms) / self.n_images

    def find_below(self, heads: Iterable[int]) -> dict[str, list[int]]:
        """The atoms that the rules of these heads build on, through those of others too: layer -> atoms, ascending."""
        return self._walk(heads, self.heads, self.atoms)

    def find_above(self, atoms: Iterable[int]) -> dict[str, list[int]]:
        """The atoms, and under `class` the classes by their index, whose rules build on these, through others' too."""
        return self._walk(atoms, self.atoms, self.heads)

    def _walk(self, seeds: Iterable[int], sources: Counts, ends: Counts) -> dict[str, list[int]]:
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
    """The links of the rules from layer `start` (the lowest by default) up.

    Args:
        bits: of layer `start` at least: what the rules' coverage is counted on.

    Raises:
        ProgramError: see `take_part`.
    """
    part = take_part(program, start)
    n_atoms, n_below = len(part.atoms), len(program.atoms) - len(part.atoms)
    all_rules = part.kernel_arrays.append(part.class_arrays, n_atoms + part.class_arrays.heads)
    lengths, heads = np.diff(all_rules.offsets), all_rules.heads.astype(np.int64)
    # A rule that says a literal twice mentions it once
    rules = np.repeat(np.arange(len(lengths)), lengths)
    rules, literals = np.unique(np.stack([rules, all_rules.literals]), axis=1)
    atoms, holds = np.where(literals >= 0, literals, ~literals), literals >= 0
    fires = Evaluator(part, engine=engine).counts(bits).numpy()[rules]
    pairs, place = np.unique(heads[rules] * (n_atoms + 1) + atoms, return_inverse=True)
    n = len(pairs)
    return Links(
        program,
        bits.n_samples,
        pairs // (n_atoms + 1) + n_below,
        pairs % (n_atoms + 1) + n_below,
        np.bincount(place, holds, n).astype(np.int64),
        np.bincount(place, ~holds, n).astype(np.int64),
        np.bincount(place, fires, n).astype(np.int64),
    )


@dataclass(frozen=True)
class Pair:
    """Two atoms that go together, or that exclude each other.

    Attributes:
        first, second: their names.
        phi: correlation of their bits, between -1 and 1.
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
    """On how many images any two atoms are true together.

    Attributes:
        n_images: in all.
        rows, columns: names of atoms; the same ones where atoms are compared among themselves.
        together: int64 `[n_rows, n_columns]`: images on which both are true.
        n_rows_true: int64 `[n_rows]`, n_columns_true: int64 `[n_columns]`: images on which each is true.
    """

    n_images: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    together: Counts
    n_rows_true: Counts
    n_columns_true: Counts

    def select_columns(self, columns: Iterable[str]) -> "Coactivation":
        """The same rows against these columns alone."""
        wanted = set(columns)
        kept = [i for i, name in enumerate(self.columns) if name in wanted]
        names = tuple(self.columns[i] for i in kept)
        return replace(self, columns=names, together=self.together[:, kept], n_columns_true=self.n_columns_true[kept])

    def phi(self) -> NDArray[np.float64]:
        """float64 `[n_rows, n_columns]`: the correlation of two bits; NaN where one never changes.

        1 is true on the same images, -1 on exactly the others.
        """
        n, a, b = self.n_images, self.n_rows_true[:, None].astype(float), self.n_columns_true[None].astype(float)
        spread = a * (n - a) * (b * (n - b))
        with np.errstate(invalid="ignore", divide="ignore"):
            phi: NDArray[np.float64] = (n * self.together.astype(float) - a * b) / np.sqrt(spread)
        return np.where(spread > 0, phi.clip(-1, 1), np.nan)

    def lift(self) -> NDArray[np.float64]:
        """float64 `[n_rows, n_columns]`: how many times as often both are true as if they knew nothing of each other.

        NaN where one is never true.
        """
        expected = self.n_rows_true[:, None].astype(float) * self.n_columns_true[None].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            lift: NDArray[np.float64] = self.n_images * self.together / expected
        return np.where(expected > 0, lift, np.nan)

    def differing(self) -> Counts:
        """int64 `[n_rows, n_columns]`: images on which exactly one of the two is true."""
        return self.n_rows_true[:, None] + self.n_columns_true[None] - 2 * self.together

    def list_never_true(self) -> list[str]:
        """The rows that are true on no image."""
        return [name for name, count in zip(self.rows, self.n_rows_true, strict=True) if count == 0]

    def list_always_true(self) -> list[str]:
        """The rows that are true on every image."""
        return [name for name, count in zip(self.rows, self.n_rows_true, strict=True) if count == self.n_images]

    def list_redundant(self, least: float = 0.9) -> list[Pair]:
        """Pairs whose phi is at least `least`: one says what the other says. The closest first."""
        return self._list_pairs(least, 1)

    def list_complementary(self, least: float = 0.9) -> list[Pair]:
        """Pairs whose phi is at most `-least`: one is true where the other is not. The closest first."""
        return self._list_pairs(least, -1)

    def _list_pairs(self, least: float, sign: int) -> list[Pair]:
        if not 0 < least <= 1:
            raise SettingError(f"pairs are listed from a phi above 0 and at most 1, not from {least}")
        phi, differing = self.phi(), self.differing()
        with np.errstate(invalid="ignore"):
            close = sign * phi >= least
        if self.rows == self.columns:
            close = np.triu(close, 1)
        pairs = [
            Pair(self.rows[i], self.columns[j], float(phi[i, j]), int(differing[i, j])) for i, j in np.argwhere(close)
        ]
        return sorted(pairs, key=lambda pair: -abs(pair.phi))  # stable: of equals the lower atoms first


def measure_coactivation(bits: BitMatrix, others: BitMatrix | None = None, *, engine: str = "auto") -> Coactivation:
    """Compare any two atoms of `bits`, or each of them with each of `others` (say of the layer below).

    Raises:
        EricError: bits of different samples.
    """
    others = bits if others is None else others
    if bits.n_samples != others.n_samples:
        raise EricError(f"bits of {bits.n_samples} and of {others.n_samples} samples can't be compared")
    return Coactivation(
        bits.n_samples,
        bits.atoms,
        others.atoms,
        kernels.count(others.words, bits.words, engine=engine).cpu().numpy().astype(np.int64),
        count_true(bits.words, bits.n_samples, engine=engine),
        count_true(others.words, bits.n_samples, engine=engine),
    )
