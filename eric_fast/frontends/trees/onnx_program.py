"""The graph of an ONNX model as a `RuleModel`: its inputs, its ensembles, and what its outputs are of their leaves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.fields import NUMBERS, check_claim
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.onnx_answer import EnsembleAnswer, GraphForest, read_answer
from eric_fast.frontends.trees.onnx_attributes import read_attributes
from eric_fast.frontends.trees.onnx_columns import Feature, map_tree
from eric_fast.frontends.trees.onnx_graph import describe_node, read_constant, run_node
from eric_fast.frontends.trees.onnx_outputs import (
    are_same,
    choose_by_leaf,
    fill_tree,
    find_link,
    find_scale,
    find_shared_score,
)
from eric_fast.frontends.trees.onnx_symbols import N_ROWS, Symbolic, Symbols
from eric_fast.frontends.trees.onnx_trees import Ensemble, read_ensemble, read_new_ensemble
from eric_fast.frontends.trees.onnx_values import (
    EnsembleOutput,
    FixedValue,
    HighestPlace,
    LeafSums,
    Leaves,
    RowValue,
    UnsupportedError,
    as_sums,
    count_numbers,
    scale_sums,
)
from eric_fast.frontends.trees.tree_model import make_tree_model, name_columns
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

_DOMAIN = "ai.onnx.ml"
_ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
_KINDS = {1: ("float32", "float32"), 11: ("float64", "float64"), 6: ("float32", "int64"), 7: ("float32", "int64")}


def has_ensemble(graph: Any) -> bool:
    """Whether a node is an ensemble of trees."""
    return any(node.op_type in _ENSEMBLES and node.domain == _DOMAIN for node in graph.node)


def make_model(graph: Any, size: int, name: str) -> RuleModel:
    """See `from_onnx`; `size` is the file's in bytes.

    Raises:
        ModelError, ProgramError: see `from_onnx`.
    """
    return _Reader(graph, size, name).read()


class _Reader:
    def __init__(self, graph: Any, size: int, name: str) -> None:
        self.graph, self.size, self.name = graph, size, name
        self.symbols = Symbols(size, name, self._expand)
        self.tensors: dict[str, Any] = {"": None}
        self.forests: list[GraphForest] = []
        self.trees: list[StoredTree] = []
        self.sums: dict[int, tuple[RowValue, ...]] = {}  # of the leaves of each ensemble
        self.columns: list[Column] = []
        self.kinds: dict[int, str] = {}  # of the columns that trees compare
        self.named = False  # whether the columns have names, as several inputs of one column do

    def read(self) -> RuleModel:
        self.tensors |= {tensor.name: read_constant(tensor, self.name) for tensor in self.graph.initializer}
        ensembles = self._read_ensembles()
        self._make_inputs(max((read.n_columns for read, _ in ensembles.values()), default=0))
        for place, node in enumerate(self.graph.node):
            given = [self._find(tensor, node) for tensor in node.input]
            made = self._add_ensemble(node, given, *ensembles[place]) if place in ensembles else None
            made = run_node(node, given, self.symbols, self.name) if made is None else made
            self.tensors.update(zip(node.output, made, strict=False))
        if not self.forests:
            raise ModelError(f"{self.name}: the graph has no tree ensemble")
        return self._answer()

    def _find(self, tensor: str, node: Any) -> Any:
        if tensor not in self.tensors:
            raise ModelError(f"{self.name}: {describe_node(node)} takes '{tensor}', which no node makes")
        return self.tensors[tensor]

    def _read_ensembles(self) -> dict[int, tuple[Ensemble, Any]]:
        """The ensembles of the graph by the places of their nodes, with their attributes."""
        found = {}
        n_trees = n_outputs = n_values = 0
        for place, node in enumerate(self.graph.node):
            if node.op_type in _ENSEMBLES and node.domain == _DOMAIN:
                attributes = read_attributes(node, f"{self.name}: {node.op_type}")
                read = read_new_ensemble if node.op_type == "TreeEnsemble" else read_ensemble
                ensemble = read(attributes, self.size)
                found[place] = ensemble, attributes
                n_trees += len(ensemble.trees)
                n_outputs += ensemble.n_outputs
                n_values += sum(tree.values.size for tree in ensemble.trees)
                check_claim(n_trees, self.size, "trees", self.name)
                check_claim(n_outputs, self.size, "outputs", self.name)
                check_claim(n_values, self.size, "values of leaves", self.name, NUMBERS)
        return found

    def _make_inputs(self, least: int) -> None:
        """Add the columns of the graph's inputs, `least` where it doesn't say how many."""
        inputs = [value for value in self.graph.input if value.name not in self.tensors]
        widths = []
        for value in inputs:
            dims = value.type.tensor_type.shape.dim
            widths.append(int(dims[1].dim_value) if len(dims) == 2 else 0)
            if value.type.tensor_type.elem_type not in _KINDS:
                raise ModelError(f"{self.name}: input '{value.name}' must hold float32, float64, or integers")
        self.named = len(inputs) > 1
        if self.named and any(width != 1 for width in widths):
            raise ModelError(f"{self.name}: several inputs must be one column each")
        names = [value.name for value in inputs]
        if len(inputs) == 1:
            names = name_columns([], max(least, widths[0]) if widths[0] < 1 else widths[0], self.size, self.name)
            widths = [len(names)]
        for value, width in zip(inputs, widths, strict=True):
            kind, dtype = _KINDS[value.type.tensor_type.elem_type]
            first = len(self.columns)
            self.tensors[value.name] = self.symbols.make([Feature(first + i, kind, dtype) for i in range(width)])
            self.columns += [Column(column, kind) for column in names[first : first + width]]

    def _add_ensemble(self, node: Any, given: Sequence[Any], ensemble: Ensemble, attributes: Any) -> list[Any]:
        """The tensors that an ensemble makes."""
        place = f"{self.name}: {describe_node(node)}"
        tensor = given[0] if given else None
        if not isinstance(tensor, Symbolic) or len(tensor.shape) != 2 or tensor.shape[0] != N_ROWS:
            raise ModelError(f"{place} must take columns of the graph's inputs")
        features = [self.symbols.get(code) for code in tensor.codes[0].tolist()]
        rows = tensor.codes - tensor.codes[:1]
        if any(not isinstance(value, Feature) for value in features) or (rows != np.arange(N_ROWS)[:, None]).any():
            raise ModelError(f"{place} must take columns of the graph's inputs")
        if ensemble.n_columns > len(features):
            raise ModelError(
                f"{place} compares column {ensemble.n_columns - 1}, but there are only {len(features)} columns"
            )
        columns = [value for value in features if isinstance(value, Feature)]
        if len({value.dtype for value in columns}) > 1:
            raise ModelError(f"{self.name}: the ensemble's inputs must be all float32, all float64, or all integers")
        trees = [map_tree(tree, columns, self.name) for tree in ensemble.trees]
        for value in columns:
            if self.kinds.setdefault(value.column, value.kind) != value.kind:
                raise ModelError(f"{self.name}: column {value.column} is compared in float32 and in float64")
        is_single = not columns or columns[0].dtype != "float64"
        answer = read_answer(attributes, ensemble, is_single=is_single)
        dtype = "float64" if not is_single and node.op_type == "TreeEnsemble" else "float32"
        self.forests.append(GraphForest(ensemble, answer, trees, len(self.trees), dtype))
        self.trees += trees
        number = len(self.forests) - 1
        scores = self.symbols.make([EnsembleOutput(number, "score", i) for i in range(ensemble.n_outputs)])
        if node.op_type != "TreeEnsembleClassifier":
            return [scores]
        return [Symbolic(self.symbols.make([EnsembleOutput(number, "label")]).codes[:, 0]), scores]

    def _expand(self, output: EnsembleOutput) -> RowValue:
        return self.forests[output.ensemble].expand(output, self._find_sums(output.ensemble))

    def _find_sums(self, number: int) -> tuple[RowValue, ...]:
        """See `GraphForest.add_leaves`; computed once."""
        if number not in self.sums:
            forest = self.forests[number]
            made = []
            for output in range(forest.n_sums):
                made.append(forest.add_leaves(output))
                self.symbols.charge(count_numbers(made[-1], ()))
            self.sums[number] = tuple(made)
        return self.sums[number]

    def _answer(self) -> RuleModel:
        outputs = [self._read_output(value.name) for value in self.graph.output]
        labels = [values for values in outputs if all(self._is_label(value) for value in values)]
        others = [values for values in outputs if values not in labels]
        if len(labels) > 1 or (labels and len(labels[0]) != 1) or (not labels and len(others) > 1):
            raise ModelError(f"{self.name}: the graph answers with several classes or sums; save a graph of each")
        whole = self._find_forest(labels, others)
        if whole is not None:
            return self._make(whole.ensemble.kind, whole.trees, whole.ensemble.n_outputs, whole.answer)
        try:
            return self._answer_values(labels, others[0] if others else None)
        except UnsupportedError as error:
            raise ModelError(f"{self.name}: an output of the graph {error}") from error

    def _read_output(self, tensor: str) -> list[RowValue]:
        """What a row has in an output. Raises ModelError: not the same for each row."""
        found = self.tensors.get(tensor)
        shape = getattr(found, "shape", ())
        if (
            not isinstance(found, Symbolic)
            or shape[:1] != (N_ROWS,)
            or found.codes.size > N_ROWS * max(2**16, self.size)
        ):
            raise ModelError(f"{self.name}: output '{tensor}' doesn't have an answer for each row")
        codes = found.codes.reshape(N_ROWS, -1)
        values = [self.symbols.get(code, whole=True) for code in codes[0].tolist()]
        free = np.array([isinstance(value, FixedValue) for value in values], np.bool_)
        if not ((codes - codes[:1] == np.arange(N_ROWS)[:, None]) | free).all():
            raise ModelError(f"{self.name}: output '{tensor}' doesn't have an answer for each row")
        return values

    @staticmethod
    def _is_label(value: RowValue) -> bool:
        if isinstance(value, EnsembleOutput):
            return value.role == "label"
        return isinstance(value, HighestPlace) or (isinstance(value, Leaves) and value.values.dtype.kind in "iuU")

    def _find_forest(self, labels: list[list[RowValue]], others: list[list[RowValue]]) -> GraphForest | None:
        """The only ensemble, if the graph's outputs are its own answers."""
        values = [value for group in (*labels, *others) for value in group]
        if len(self.forests) > 1 or not all(isinstance(value, EnsembleOutput) for value in values):
            return None
        forest = self.forests[0]
        wanted = [("score", i) for i in range(forest.ensemble.n_outputs)]
        for group in others:
            if [(value.role, value.place) for value in group if isinstance(value, EnsembleOutput)] != wanted:
                return None
        return forest if labels or forest.answer.labels is None else None

    def _answer_values(self, labels: list[list[RowValue]], scores: list[RowValue] | None) -> RuleModel:
        if scores is not None:
            scores = [self._expand(value) if isinstance(value, EnsembleOutput) else value for value in scores]
        chosen = self._find_choice(labels[0][0], scores) if labels else None
        given: Sequence[RowValue] = scores if scores is not None else chosen.parts if chosen else ()
        link, parts = find_link(given)
        threshold, scale = None, 1.0
        if chosen is not None:
            _, ranked = find_link(chosen.parts)
            scale = find_scale(parts[-1:], ranked[-1:])
            scaled = tuple(scale_sums(value, scale) if isinstance(value, LeafSums) else value for value in ranked)
            is_same = are_same(parts, scaled)
            shared = None if is_same else find_shared_score(link, parts, (*ranked[:1], *scaled[1:]))
            if is_same:
                parts = ranked
            elif shared is not None:
                parts, threshold = ranked[1:], shared
                link = "sigmoid" if link == "sigmoids" else "probability"
            else:
                raise UnsupportedError("has classes that are not those of its highest scores")
        sums = [as_sums(part) for part in parts]
        used = sorted({number for part in sums for number in part.terms})
        n_nodes = sum(len(self.trees[number].column) for number in used)
        check_claim(n_nodes * len(sums), self.size, "nodes by outputs", self.name, NUMBERS)
        trees = [fill_tree(self.trees[number], number, sums) for number in used]
        if chosen is not None and link == "identity" and all(tree.values.min(initial=0.0) >= 0 for tree in trees):
            link = "average" if all(part.base >= 0 for part in sums) else link
        table = None if chosen is None else np.array([np.asarray(entry).item() for entry in chosen.table])
        if table is not None and table.dtype.kind == "f":
            table = table.astype(np.int64) if (table == np.floor(table)).all() else table
        answer = EnsembleAnswer(table, [part.base for part in sums], link, threshold=threshold)
        kinds = {forest.ensemble.kind for forest in self.forests}
        kind = kinds.pop() if len(kinds) == 1 else "graph"
        return self._make(kind, trees, len(sums), answer, scale)

    def _find_choice(self, label: RowValue, scores: list[RowValue] | None) -> HighestPlace:
        label = self._expand(label) if isinstance(label, EnsembleOutput) else label
        if isinstance(label, Leaves) and scores is None:
            n_labels = len(np.unique(label.values))
            check_claim(n_labels * len(label.values), self.size, "leaves by labels", self.name, NUMBERS)
        label = choose_by_leaf(label, scores) if isinstance(label, Leaves) else label
        if not isinstance(label, HighestPlace):
            raise UnsupportedError("is not the class of the highest score")
        return label

    def _make(
        self, kind: str, trees: list[StoredTree], n_outputs: int, answer: EnsembleAnswer, scale: float = 1.0
    ) -> RuleModel:
        return make_tree_model(
            f"ONNX {kind}",
            [replace(column, kind=self.kinds.get(i, column.kind)) for i, column in enumerate(self.columns)],
            trees,
            self.name,
            n_outputs=n_outputs if answer.threshold is None else 1,
            labels=answer.labels,
            base=answer.base,
            threshold=answer.threshold or 0.0,
            link=answer.link,
            divisor=answer.divisor,
            scale=scale,
            named=self.named,
        )
