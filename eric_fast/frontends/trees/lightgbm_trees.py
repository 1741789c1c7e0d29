"""The text that LightGBM writes: blocks of `key=value` lines, and a tree of each but the first."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.parts import describe
from eric_fast.frontends.trees.nodes import Cases, Tree, list_runs

_ZERO = float(np.float32(1e-35))  # a value that is no further from zero is zero to LightGBM
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2


@dataclass(frozen=True)
class Block:
    """Lines of `key=value`; keys without a value have an empty one.

    Attributes:
        place: what errors call it.
    """

    values: dict[str, str]
    place: str

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def get(self, key: str) -> str:
        """The text of a key, empty where there is none."""
        return self.values.get(key, "")

    def get_words(self, key: str, n: int) -> list[str]:
        words = self.get(key).split()
        if len(words) != n:
            raise self.fail(f"'{key}' needs {n:,} words, not {len(words):,}")
        return words

    def get_numbers(self, key: str, n: int) -> NDArray[np.float64]:
        """float64 `[n]`."""
        words = self.get_words(key, n)
        try:
            return np.array(list(map(float, words)), np.float64)
        except ValueError as error:
            raise self.fail(f"'{key}': {describe(str(error))}") from error

    def get_ints(self, key: str, n: int) -> NDArray[np.int64]:
        """int64 `[n]`."""
        words = self.get_words(key, n)
        try:
            return np.array(list(map(int, words)), np.int64)
        except (ValueError, OverflowError) as error:
            raise self.fail(f"'{key}': {describe(str(error))}") from error

    def get_int(self, key: str, least: int, most: int) -> int:
        number = int(self.get_ints(key, 1)[0])
        if not least <= number <= most:
            raise self.fail(f"'{key}' must be from {least} to {most}, not {number}")
        return number


@dataclass(frozen=True)
class Names:
    """What the codes of categorical columns stand for: column -> texts, or numbers; the codes themselves otherwise."""

    texts: dict[int, list[str]]
    numbers: dict[int, list[float]]


def read_blocks(text: str, name: str) -> tuple[Block, list[Block], str]:
    """The header, the trees, and what follows them.

    Raises:
        ProgramError: lines that are something else, or an end that is missing.
    """
    body, end, tail = text.partition("\nend of trees")
    if not end:
        raise ProgramError(f"{name}: 'end of trees' is missing: the file is cut short")
    lines = body.splitlines()
    if not lines or lines[0].strip() != "tree":
        raise ProgramError(f"{name}: the first line must be 'tree'")
    blocks = [Block({}, f"{name}: header")]
    for number, line in enumerate(lines[1:], 2):
        key, _, value = line.partition("=")
        key = key.strip()
        if key == "Tree":
            blocks.append(Block({}, f"{name}: tree {len(blocks) - 1}"))
        elif key in blocks[-1].values:
            raise ProgramError(f"{name}:{number}: {describe(key)} stands twice")
        elif key:
            blocks[-1].values[key] = value.strip()
    return blocks[0], blocks[1:], tail


def read_tree(block: Block, output: int, names: Names) -> Tree:
    """One tree; its inner nodes come first, then its leaves.

    Raises:
        ModelError: a tree whose leaves are linear models. ProgramError: numbers that don't belong together.
    """
    if block.get("is_linear") not in ("", "0"):
        raise ModelError(
            f"{block.place}: its leaves are linear models, which no rule can hold: train without linear_tree"
        )
    n_leaves = block.get_int("num_leaves", 1, 2**31 - 1)
    n_inner = n_leaves - 1
    leaf_values = block.get_numbers("leaf_value", n_leaves)
    column, constant = np.full(n_inner + n_leaves, -1), np.zeros(n_inner + n_leaves)
    yes, no = np.full((2, n_inner + n_leaves), -1)
    missing = np.zeros(n_inner + n_leaves, np.bool_)
    values = np.concatenate([np.zeros(n_inner), leaf_values])
    tree = Tree(column, constant, yes, no, missing, values, "<=", output, {}, {}, _number_nodes(n_inner, n_leaves))
    if n_inner == 0:
        return tree
    column[:n_inner] = block.get_ints("split_feature", n_inner)
    thresholds = block.get_numbers("threshold", n_inner)
    for to, key in ((yes, "left_child"), (no, "right_child")):
        child = block.get_ints(key, n_inner)
        to[:n_inner] = np.where(child < 0, n_inner + ~child, np.where(child < n_inner, child, -1))
    if (column[:n_inner] < 0).any():
        raise block.fail("'split_feature' has a negative number")
    decisions = block.get_ints("decision_type", n_inner)
    kind, default_left = (decisions >> 2) & 3, (decisions & _DEFAULT_LEFT) != 0
    is_set = (decisions & _CATEGORICAL) != 0
    constant[:n_inner] = np.where(is_set, thresholds, _pass_zero(thresholds))
    inside = np.where(kind == _MISSING_NONE, thresholds >= 0, default_left)  # without missing values NaN is 0
    missing[:n_inner] = inside & ~is_set  # no missing value is in a set
    sets, cases = _read_sets(block, np.flatnonzero(is_set), column, constant, names)
    zeros = np.flatnonzero((kind == _MISSING_ZERO) & ~is_set).tolist()
    cases |= {node: _split_zero(float(constant[node]), bool(default_left[node])) for node in zeros}
    return Tree(
        column,
        constant,
        yes,
        no,
        missing,
        values,
        "<=",
        output,
        sets,
        {node: case for node, case in cases.items() if case},
        tree.numbers,
    )


def _number_nodes(n_inner: int, n_leaves: int) -> NDArray[np.int64]:
    """LightGBM counts leaves from 0."""
    return np.concatenate([np.zeros(n_inner, np.int64), np.arange(n_leaves)])


def _pass_zero(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thresholds for values as they are, where LightGBM takes values so near to zero for zero."""
    near = np.abs(thresholds) <= _ZERO
    return np.where(near, np.where(thresholds < 0, np.nextafter(-_ZERO, -1), _ZERO), thresholds)


def _split_zero(constant: float, default_left: bool) -> Cases:
    """What goes left where zero and missing values go by default: empty where `<= constant` says it, too."""
    if np.isnan(constant) or (constant >= _ZERO if default_left else constant < -_ZERO):
        return ()
    below = ("<=", constant, False)
    if default_left:
        return (below,), ((">=", -_ZERO, True), ("<=", _ZERO, True))
    return (below, ("<", -_ZERO, False)), (below, (">", _ZERO, False))


def _read_sets(
    block: Block, nodes: NDArray[np.int64], column: NDArray[Any], constant: NDArray[np.float64], names: Names
) -> tuple[dict[int, tuple[float | str, ...]], dict[int, Cases]]:
    """Node -> the categories that it sends left; and the same of codes, which LightGBM cuts numbers off to."""
    sets: dict[int, tuple[float | str, ...]] = {}
    cases: dict[int, Cases] = {}
    taken: set[float] = set()
    if len(nodes) == 0:
        return sets, cases
    n_sets = block.get_int("num_cat", 1, len(nodes))
    ends = block.get_ints("cat_boundaries", n_sets + 1)
    words = block.get_ints("cat_threshold", len(block.get("cat_threshold").split()))
    if ends[0] != 0 or (np.diff(ends) < 0).any() or ends[-1] > len(words):
        raise block.fail("'cat_boundaries' doesn't cut 'cat_threshold' into sets")
    if ((words < 0) | (words >= 2**32)).any():
        raise block.fail("'cat_threshold' has a number of more than 32 bits")
    for node in nodes.tolist():
        which = constant[node]
        if not (which >= 0 and which < n_sets and which == int(which)):
            raise block.fail(f"node {node}: its set is none of the {n_sets}")
        if which in taken:  # else a small file would make many large sets
            raise block.fail(f"node {node}: its set is another node's, too")
        taken.add(which)
        first, last = ends[int(which) : int(which) + 2]
        bits = np.unpackbits(words[first:last].astype("<u4").view(np.uint8), bitorder="little")
        codes = np.flatnonzero(bits).tolist()
        feature = int(column[node])
        known: Any = names.texts.get(feature) or names.numbers.get(feature)
        if known is None:
            cases[node] = list_runs(codes, to_zero=True)
        elif codes and codes[-1] >= len(known):
            raise block.fail(f"node {node}: category {codes[-1]} is none of the {len(known)} of its feature")
        else:
            sets[node] = tuple(known[code] for code in codes)
    return sets, cases
