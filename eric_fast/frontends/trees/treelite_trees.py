"""Checkpoints of treelite 4, as its documentation specifies them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.byte_reader import ByteReader
from eric_fast.frontends.fields import NUMBERS, check_claim
from eric_fast.frontends.trees.categories import cut_sets
from eric_fast.frontends.trees.nodes import Cases, StoredTree, list_runs

_LEAF, _NUMERIC, _CATEGORICAL = 0, 1, 2
_OPERATORS = np.array(["", "==", "<", "<=", ">", ">="])
_FLOATS = {2: np.float32, 3: np.float64}


@dataclass(frozen=True)
class CheckpointHeader:
    """The part of a checkpoint that is about the whole model; see treelite's specification.

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


def read_checkpoint(data: bytes, name: str) -> tuple[CheckpointHeader, list[StoredTree]]:
    """The header and the trees. Raises ProgramError if the data are invalid; the error gives the byte."""
    reader = _Reader(data, name)
    major, minor, _ = (reader.read_number(np.int32) for _ in range(3))
    if major != 4:
        raise reader.fail(f"this is a checkpoint of treelite {major}.{minor}; save it again with treelite 4")
    types = [reader.read_number(np.uint8) for _ in range(2)]
    if any(kind not in _FLOATS for kind in types):
        raise reader.fail("thresholds and leaves must be float32 or float64")
    thresholds, leaves = (_FLOATS[kind] for kind in types)
    n_trees = reader.read_number(np.uint64)
    header = _read_header(reader, thresholds, n_trees)
    trees = [_read_tree(reader, header, leaves, output) for output in header.outputs]
    reader.check_end()
    return header, trees


class _Reader(ByteReader):
    n_values = 0  # of leaves, so far

    def read_number(self, dtype: type[np.generic]) -> int:
        number: int = self._read(dtype, 1)[0].item()
        return number

    def read_float(self, dtype: type[np.generic]) -> float:
        number = float(self._read(dtype, 1)[0])
        if not np.isfinite(number):
            raise self.fail("expected a finite number")
        return number

    def read_array(self, dtype: type[np.generic], length: int | None = None) -> NDArray[Any]:
        """An array `[length]`, by default of any length."""
        found = self.read_number(np.uint64)
        if length is not None and found != length:
            raise self.fail(f"expected {length} values, got {found}")
        return self._read(dtype, found)

    def read_text(self) -> str:
        return self.take_text(self.read_number(np.uint64))

    def skip_fields(self) -> None:
        """Skip optional fields, each a name, an element size and a number of elements; no version has any yet."""
        for _ in range(self.read_number(np.int32)):
            self.read_text()
            size, n = self.read_number(np.uint16), self.read_number(np.uint64)
            self.take(size * n)

    def _read(self, dtype: type[np.generic], n: int) -> NDArray[Any]:
        return self.take_array(np.dtype(dtype).newbyteorder("<"), n)


def _read_header(reader: _Reader, thresholds: Any, n_trees: int) -> CheckpointHeader:
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
        raise reader.fail("the header's number of features, targets or classes, or its task, is out of range")
    n_outputs = n_targets * max(n_classes)
    if ratio_c == 0 or len(base_scores) != n_outputs or not np.isfinite(base_scores).all():
        raise reader.fail(f"expected {n_outputs} finite base scores, and a ratio_c other than 0")
    n_values = shape[0] * shape[1]
    if min(shape) < 1 or n_values not in (1, n_outputs):
        raise reader.fail(f"leaves hold {shape[0]} by {shape[1]} values, but the model has {n_outputs} outputs")
    outputs: list[int | None] = []
    for target, number in zip(targets, classes, strict=True):
        if not (-1 <= target < n_targets and -1 <= number < max(n_classes)):
            raise reader.fail("a tree's target or class is out of range")
        if n_values > 1 and (target >= 0 < n_targets - 1 or number >= 0 < max(n_classes) - 1):
            raise reader.fail("a tree for one output has leaves with several values")
        outputs.append(None if n_values > 1 else max(target, 0) * max(n_classes) + max(number, 0))
    return CheckpointHeader(
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


def _read_tree(reader: _Reader, header: CheckpointHeader, leaves: Any, output: int | None) -> StoredTree:
    n_nodes = reader.read_number(np.int32)
    if n_nodes < 1:
        raise reader.fail("a tree has no nodes")
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
        raise reader.fail("a node has an unknown type, or no feature")
    if (~is_leaf & (kind == _NUMERIC) & ((operator < 1) | (operator >= len(_OPERATORS)))).any():
        raise reader.fail("a node has an unknown operator")
    if output is None:
        values = _read_vectors(reader, vectors, vector_starts, vector_ends, is_leaf, header.n_outputs)
    cases: dict[int, Cases] = {}
    yes, no, missing = left.copy(), right.copy(), default_left.copy()
    categorical = np.flatnonzero(kind == _CATEGORICAL)
    segments = zip(categorical.tolist(), starts[categorical].tolist(), ends[categorical].tolist(), strict=True)
    for node, codes in cut_sets(segments, categories, reader.fail).items():
        if in_right[node]:
            yes[node], no[node], missing[node] = right[node], left[node], not default_left[node]
        cases[node] = list_runs(codes, missing=bool(missing[node]))
    return StoredTree(
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
    """The leaves' values, `[n_nodes, n]`."""
    first, last = starts[is_leaf], ends[is_leaf]
    if (first > len(vectors)).any() or (last != first + np.uint64(n)).any() or (last > len(vectors)).any():
        raise reader.fail(f"expected {n} values for each leaf")
    reader.n_values += len(is_leaf) * n  # leaves may share them
    check_claim(reader.n_values, len(reader.data), "values of leaves", reader.name, NUMBERS)
    values = np.zeros((len(is_leaf), n), vectors.dtype)
    values[is_leaf] = vectors[first.astype(np.int64)[:, None] + np.arange(n)]
    return values
