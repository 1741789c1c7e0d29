"""The text that LightGBM writes: blocks of `key=value` lines, a header and then the trees."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.fields import describe_value, parse_number
from eric_fast.frontends.trees.categories import Categories, list_bits
from eric_fast.frontends.trees.nodes import Cases, StoredTree, list_runs

_ZERO = float(np.float32(1e-35))  # LightGBM takes values up to here for zero
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2


@dataclass(frozen=True)
class Block:
    """Lines of `key=value`; `place` is what errors call it."""

    values: dict[str, str]
    place: str

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def get(self, key: str) -> str:
        """The value of a key; empty if it is missing."""
        return self.values.get(key, "")

    def get_words(self, key: str, n: int) -> list[str]:
        words = split_at_spaces(self.get(key))
        if len(words) != n:
            raise self.fail(f"expected {n:,} values of '{key}', got {len(words):,}")
        return words

    def get_numbers(self, key: str, n: int) -> NDArray[np.float64]:
        """float64 `[n]`."""
        return self._parse(key, n, float)

    def get_ints(self, key: str, n: int) -> NDArray[np.int64]:
        """int64 `[n]`."""
        return self._parse(key, n, int)

    def get_int(self, key: str, least: int, most: int) -> int:
        number = int(self.get_ints(key, 1)[0])
        if not least <= number <= most:
            raise self.fail(f"'{key}' must be from {least} to {most}, not {number}")
        return number

    def _parse(self, key: str, n: int, kind: type[int] | type[float]) -> NDArray[Any]:
        words = self.get_words(key, n)
        odd = next((word for word in words if word != word.strip()), None)
        if odd is not None:  # Python takes `\t8` for 8, LightGBM for 0
            raise self.fail(f"'{key}': {describe_value(odd)} is not a number")
        try:
            numbers = list(map(parse_number, words))
            return np.array(list(map(int, words)) if kind is int else numbers, np.int64 if kind is int else np.float64)
        except (ValueError, OverflowError) as error:
            raise self.fail(f"'{key}': {describe_value(str(error))}") from error


def split_at_spaces(text: str) -> list[str]:
    """At spaces alone, as LightGBM does, and at no other character that Python takes for one."""
    return [word for word in text.split(" ") if word]


def read_blocks(text: str, name: str) -> tuple[Block, list[Block], str]:
    """The header, the trees, and the text after them.

    Raises:
        ProgramError: no first line `tree`, no `end of trees` from version 2.2 on, a key twice in a block, or another
            number of trees than the header says.
    """
    if "\0" in text:
        raise ProgramError(f"{name}: the file holds a zero byte, where LightGBM stops reading")
    body, end, tail = text.partition("\nend of trees")
    if not end and text.startswith(("tree\nversion=v2", "tree\r\nversion=v2")):
        # LightGBM 2.0 and 2.1 write no such line.
        body, *rest = re.split(r"\nfeature[ _]importances:", text, maxsplit=1)
        end = tail = "".join(rest)
    if not end:
        raise ProgramError(f"{name}: 'end of trees' is missing: the file is cut short")
    lines = body.split("\n")
    if not lines or lines[0].strip() != "tree":
        raise ProgramError(f"{name}: the first line must be 'tree'")
    blocks = [Block({}, f"{name}: header")]
    for number, line in enumerate(lines[1:], 2):
        key, equals, value = line.partition("=")
        key = key.strip()
        if key == "Tree":
            blocks.append(Block({}, f"{name}: tree {len(blocks) - 1}"))
        elif key in blocks[-1].values:
            raise ProgramError(f"{name}:{number}: {describe_value(key)} occurs twice")
        elif key and not equals and len(blocks) > 1:  # LightGBM would go on into the next tree
            raise ProgramError(f"{name}:{number}: expected key=value, got {describe_value(key)}")
        elif key:
            blocks[-1].values[key] = value.strip(" \r")
    n_sizes = len(split_at_spaces(blocks[0].get("tree_sizes")))
    if "tree_sizes" in blocks[0].values and n_sizes != len(blocks) - 1:
        raise blocks[0].fail(f"'tree_sizes' is of {n_sizes:,} trees, but there are {len(blocks) - 1:,}")
    return blocks[0], blocks[1:], tail


def read_lightgbm_tree(block: Block, output: int, categories: Categories) -> StoredTree:
    """One tree; its inner nodes come first, then its leaves.

    Raises:
        ModelError: a tree whose leaves are linear models. ProgramError: numbers that don't fit together.
    """
    if block.get("is_linear") not in ("", "0"):
        raise ModelError(f"{block.place}: leaves that are linear models can't be rules; train without linear_tree")
    n_leaves = block.get_int("num_leaves", 1, 2**31 - 1)
    n_inner = n_leaves - 1
    leaf_values = block.get_numbers("leaf_value", n_leaves)
    n_nodes = n_inner + n_leaves
    tree = StoredTree(
        column=np.full(n_nodes, -1),
        constant=np.zeros(n_nodes),
        yes=np.full(n_nodes, -1),
        no=np.full(n_nodes, -1),
        missing=np.zeros(n_nodes, np.bool_),
        values=np.concatenate([np.zeros(n_inner), leaf_values]),
        output=output,
        numbers=np.concatenate([np.zeros(n_inner, np.int64), np.arange(n_leaves)]),  # LightGBM's count from 0
    )
    if n_inner:
        _read_splits(block, n_inner, tree, categories)
    return tree


def _read_splits(block: Block, n_inner: int, tree: StoredTree, categories: Categories) -> None:
    """Fill in the tree's inner nodes."""
    tree.column[:n_inner] = block.get_ints("split_feature", n_inner)
    thresholds = block.get_numbers("threshold", n_inner)
    for to, key in ((tree.yes, "left_child"), (tree.no, "right_child")):
        child = block.get_ints(key, n_inner)
        to[:n_inner] = np.where(child < 0, n_inner + ~child, np.where(child < n_inner, child, -1))
    if (tree.column[:n_inner] < 0).any():
        raise block.fail("'split_feature' has a negative number")
    decisions = block.get_ints("decision_type", n_inner)
    kind, default_left = (decisions >> 2) & 3, (decisions & _DEFAULT_LEFT) != 0
    is_set = (decisions & _CATEGORICAL) != 0
    tree.constant[:n_inner] = np.where(is_set, thresholds, _pass_zero(thresholds))
    inside = np.where(kind == _MISSING_NONE, thresholds >= 0, default_left)  # without missing values NaN is 0
    tree.missing[:n_inner] = inside & ~is_set  # no missing value is in a set
    _read_sets(block, np.flatnonzero(is_set), tree, categories)
    for node in np.flatnonzero((kind == _MISSING_ZERO) & ~is_set).tolist():
        case = _split_zero(float(tree.constant[node]), bool(default_left[node]))
        if case:
            tree.cases[node] = case


def _pass_zero(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thresholds for values as they are: LightGBM replaces values near zero by zero first."""
    near = np.abs(thresholds) <= _ZERO
    return np.where(near, np.where(thresholds < 0, np.nextafter(-_ZERO, -1), _ZERO), thresholds)


def _split_zero(constant: float, default_left: bool) -> Cases:
    """What goes left if zero and missing values go by default; empty if `<= constant` says the same."""
    if np.isnan(constant) or (constant >= _ZERO if default_left else constant < -_ZERO):
        return ()
    below = ("<=", constant, False)
    if default_left:
        return (below,), ((">=", -_ZERO, True), ("<=", _ZERO, True))
    return (below, ("<", -_ZERO, False)), (below, (">", _ZERO, False))


def _read_sets(block: Block, nodes: NDArray[np.int64], tree: StoredTree, categories: Categories) -> None:
    """Fill in the categories that these nodes send left: as sets, or as ranges where numbers are cut to codes."""
    if len(nodes) == 0:
        return
    n_sets = block.get_int("num_cat", 1, len(nodes))
    ends = block.get_ints("cat_boundaries", n_sets + 1)
    words = block.get_ints("cat_threshold", len(split_at_spaces(block.get("cat_threshold"))))
    if ends[0] != 0 or (np.diff(ends) < 0).any() or ends[-1] > len(words):
        raise block.fail("'cat_boundaries' must ascend from 0 to the length of 'cat_threshold' at most")
    if ((words < 0) | (words >= 2**32)).any():
        raise block.fail("'cat_threshold' has a number of more than 32 bits")
    taken: set[float] = set()
    for node in nodes.tolist():
        which = tree.constant[node]
        if not (which >= 0 and which < n_sets and which == int(which)):
            raise block.fail(f"node {node} asks for set {which:g}, but there are only {n_sets}")
        if which in taken:  # else a small file could make many large sets
            raise block.fail(f"node {node} shares its set with another node")
        taken.add(which)
        codes = list_bits(words[ends[int(which)] : ends[int(which) + 1]])
        known = categories.name_codes(int(tree.column[node]), codes, block.fail)
        if known is None:
            tree.cases[node] = list_runs(codes, to_zero=True)
        else:
            tree.sets[node] = known
