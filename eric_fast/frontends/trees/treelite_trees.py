"""The checkpoint of a treelite 4 model, as its documentation lays it out: read with every length checked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.trees.nodes import Cases, Tree, list_runs

_LEAF, _NUMERIC, _CATEGORICAL = 0, 1, 2
_OPERATORS = np.array(["", "==", "<", "<=", ">", ">="])
_FLOATS = {2: np.float32, 3: np.float64}


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of the whole model; see treelite's specification.

    Attributes:
        thresholds: the dtype in which features are compared.
        n_classes: of each target.
        n_outputs: targets by classes.
        outputs: of each tree, the one output that it adds to, or None for all.
    """

    thresholds: type[np.float32] | type[np.float64]
    n_features: int
    task: int
    averages: bool
    n_classes: list[int]
    n_outputs: int
    outputs: list[int | None]
    postprocessor: str
    sigmoid_alpha: float
    ratio_c: float
    base_scores: list[float]


def read_checkpoint(data: bytes, name: str) -> tuple[Header, list[Tree]]:
    """The header and the trees. Raises ProgramError: anything wrong, and at which byte."""
    reader = _Reader(data, name)
    major, minor, _ = (reader.read_number(np.int32) for _ in range(3))
    if major != 4:
        raise reader.fail(f"a checkpoint of treelite {major}.{minor}, not 4: save it again")
    types = [reader.read_number(np.uint8) for _ in range(2)]
    if any(kind not in _FLOATS for kind in types):
        raise reader.fail("thresholds and leaves must be float32 or float64")
    thresholds, leaves = (_FLOATS[kind] for kind in types)
    n_trees = reader.read_number(np.uint64)
    header = _read_header(reader, thresholds, n_trees)
    trees = [_read_tree(reader, header, leaves, output) for output in header.outputs]
    if reader.at != len(data):
        raise reader.fail("something follows the last tree")
    return header, trees


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.name}: byte {self.at}: {what}")

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self.data) - self.at:
            raise self.fail("the file ends here, and more was to come")
        self.at += n_bytes
        return self.data[self.at - n_bytes : self.at]

    def read_number(self, dtype: type[np.generic]) -> int:
        number: int = self._read(dtype, 1)[0].item()
        return number

    def read_float(self, dtype: type[np.generic]) -> float:
        number = float(self._read(dtype, 1)[0])
        if not np.isfinite(number):
            raise self.fail("a finite number is needed")
        return number

    def read_array(self, dtype: type[np.generic], length: int | None = None) -> NDArray[Any]:
        """An array `[length]`; of any length for None."""
        found = self.read_number(np.uint64)
        if length is not None and found != length:
            raise self.fail(f"{length} values are needed, not {found}")
        return self._read(dtype, found)

    def read_text(self) -> str:
        try:
            return self.take(self.read_number(np.uint64)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("a text that isn't UTF-8") from error

    def skip_fields(self) -> None:
        """Optional fields, of which no version has any yet: a name, the size of an element, how many there are."""
        for _ in range(self.read_number(np.int32)):
            self.read_text()
            size, n = self.read_number(np.uint16), self.read_number(np.uint64)
            self.take(size * n)

    def _read(self, dtype: type[np.generic], n: int) -> NDArray[Any]:
        stored = np.dtype(dtype).newbyteorder("<")
        return np.frombuffer(self.take(n * stored.itemsize), stored).astype(dtype)


def _read_header(reader: _Reader, thresholds: Any, n_trees: int) -> Header:
    n_features = reader.read_number(np.int32)
    task, averages = reader.read_number(np.uint8), reader.read_number(np.uint8) != 0
    n_targets = reader.read_number(np.int32)
    n_classes = reader.read_array(np.int32).tolist()
    shape = reader.read_array(np.int32, 2).tolist()
    targets, classes = (reader.read_array(np.int32, n_trees).tolist() for _ in range(2))
    postprocessor = reader.read_text()
    sigmoid_alpha, ratio_c = reader.read_float(np.float32), reader.read_float(np.float32)
    base_scores = reader.read_array(np.float64)
    reader.read_text()  # attributes
    reader.skip_fields()
    if n_features < 0 or n_targets < 1 or len(n_classes) != n_targets or min(n_classes) < 1 or task > 4:
        raise reader.fail("the header's numbers of features, targets or classes, or its task, can't be")
    n_outputs = n_targets * max(n_classes)
    if ratio_c == 0 or len(base_scores) != n_outputs or not np.isfinite(base_scores).all():
        raise reader.fail(f"{n_outputs} finite base scores are needed, and a ratio_c that isn't 0")
    n_values = shape[0] * shape[1]
    if min(shape) < 1 or n_values not in (1, n_outputs):
        raise reader.fail(f"leaves of {shape[0]} by {shape[1]} values for {n_outputs} outputs")
    outputs: list[int | None] = []
    for target, number in zip(targets, classes, strict=True):
        if not (-1 <= target < n_targets and -1 <= number < max(n_classes)):
            raise reader.fail("a tree is for a target or a class that there is not")
        if n_values > 1 and (target >= 0 < n_targets - 1 or number >= 0 < max(n_classes) - 1):
            raise reader.fail("a tree for one output has leaves for several")
        outputs.append(None if n_values > 1 else max(target, 0) * max(n_classes) + max(number, 0))
    return Header(
        thresholds,
        n_features,
        task,
        averages,
        n_classes,
        n_outputs,
        outputs,
        postprocessor,
        sigmoid_alpha,
        ratio_c,
        base_scores.tolist(),
    )


def _read_tree(reader: _Reader, header: Header, leaves: Any, output: int | None) -> Tree:
    n_nodes = reader.read_number(np.int32)
    if n_nodes < 1:
        raise reader.fail("a tree needs a node")
    reader.read_number(np.uint8)  # whether it has sets of categories
    kind = reader.read_array(np.int8, n_nodes)
    left, right, feature = (reader.read_array(np.int32, n_nodes).astype(np.int64) for _ in range(3))
    default_left = reader.read_array(np.uint8, n_nodes) != 0
    values: NDArray[Any] = reader.read_array(leaves, n_nodes)
    constants = reader.read_array(header.thresholds, n_nodes)
    operator = reader.read_array(np.int8, n_nodes)
    in_right = reader.read_array(np.uint8, n_nodes) != 0
    vectors = reader.read_array(leaves)
    vector_starts, vector_ends = reader.read_array(np.uint64, n_nodes), reader.read_array(np.uint64, n_nodes)
    categories = reader.read_array(np.uint32)
    starts, ends = reader.read_array(np.uint64, n_nodes), reader.read_array(np.uint64, n_nodes)
    for dtype in (np.uint64, np.uint8, np.float64, np.uint8, np.float64, np.uint8):  # counts, hessians, gains
        reader.read_array(dtype)
    reader.skip_fields()
    reader.skip_fields()
    is_leaf = left == -1
    if ((kind < 0) | (kind > _CATEGORICAL) | (is_leaf != (kind == _LEAF)) | (~is_leaf & (feature < 0))).any():
        raise reader.fail("a node is of no known type, or compares no feature")
    if (~is_leaf & (kind == _NUMERIC) & ((operator < 1) | (operator >= len(_OPERATORS)))).any():
        raise reader.fail("a node compares by no known operator")
    if output is None:
        values = _read_vectors(reader, vectors, vector_starts, vector_ends, is_leaf, header.n_outputs)
    cases: dict[int, Cases] = {}
    n_categories = 0
    yes, no, missing = left.copy(), right.copy(), default_left.copy()
    for node in np.flatnonzero(kind == _CATEGORICAL).tolist():
        start, end = int(starts[node]), int(ends[node])
        if not start <= end <= len(categories):
            raise reader.fail(f"the categories of node {node} are not all in the file")
        n_categories += end - start
        if n_categories > len(categories):  # else a small file would make many large sets
            raise reader.fail("the categories of several nodes overlap")
        if in_right[node]:
            yes[node], no[node], missing[node] = right[node], left[node], not default_left[node]
        cases[node] = list_runs(np.unique(categories[start:end]).tolist(), missing=bool(missing[node]))
    return Tree(
        np.where(is_leaf, -1, feature),
        constants,
        yes,
        no,
        missing,
        values,
        _OPERATORS[np.where(kind == _NUMERIC, operator, 2)],
        output or 0,
        cases=cases,
    )


def _read_vectors(
    reader: _Reader, vectors: NDArray[Any], starts: NDArray[Any], ends: NDArray[Any], is_leaf: NDArray[Any], n: int
) -> NDArray[Any]:
    """`[n_nodes, n]`: the leaves' numbers."""
    first, last = starts[is_leaf], ends[is_leaf]
    if (first > len(vectors)).any() or (last != first + np.uint64(n)).any() or (last > len(vectors)).any():
        raise reader.fail(f"a leaf's numbers are not {n} of those in the file")
    values = np.zeros((len(is_leaf), n), vectors.dtype)
    values[is_leaf] = vectors[first.astype(np.int64)[:, None] + np.arange(n)]
    return values
