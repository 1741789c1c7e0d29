"""The trees of ONNX's ensembles: of the old operators, and of `TreeEnsemble` in ai.onnx.ml 5."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.fields import NUMBERS, Field, check_claim
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.onnx_attributes import get_array, get_name, get_texts

_OPERATORS = {
    "BRANCH_LEQ": "<=",
    "BRANCH_LT": "<",
    "BRANCH_GTE": ">=",
    "BRANCH_GT": ">",
    "BRANCH_EQ": "==",
    "BRANCH_NEQ": "!=",
}
_MODES = (*_OPERATORS, "BRANCH_MEMBER")  # by their numbers in `TreeEnsemble`
_FUNCTIONS = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass(frozen=True)
class Ensemble:
    """Trees, and how their leaves become sums.

    Attributes:
        kind: the operator.
        weighted: the outputs that some leaf has a weight for, ascending.
        always: the outputs that get a weight from every sample.
        positive: whether no weight is below 0.
        averages: whether sums are divided by the number of trees.
        transform: one of ONNX's post_transforms.
        n_columns: past the last feature that is compared.
    """

    kind: str
    trees: list[StoredTree]
    n_outputs: int
    weighted: list[int]
    always: set[int]
    positive: bool
    averages: bool
    transform: str
    n_columns: int


def read_ensemble(attributes: Field, size: int) -> Ensemble:
    """Of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.

    Args:
        size: of the file in bytes; it limits memory.

    Raises:
        ModelError: an aggregate other than SUM and AVERAGE. ProgramError: arrays that don't fit together.
    """
    classifies = "classlabels_int64s" in attributes.value or "classlabels_strings" in attributes.value
    leaf = "class" if classifies else "target"
    tree_ids = get_array(attributes, "nodes_treeids", whole=True)
    n_nodes = len(tree_ids)
    modes = get_texts(attributes, "nodes_modes")
    if len(modes) != n_nodes or n_nodes == 0:
        raise attributes.fail(f"'nodes_modes' has {len(modes)} modes for {n_nodes} nodes")
    node_ids, features, yes, no = (
        get_array(attributes, f"nodes_{name}", n_nodes, whole=True)
        for name in ("nodeids", "featureids", "truenodeids", "falsenodeids")
    )
    is_leaf = np.array([mode == "LEAF" for mode in modes])
    operators = np.array([_OPERATORS.get(mode, "") for mode in modes])
    unknown = (operators == "") & ~is_leaf
    if unknown.any():
        raise attributes.fail(f"mode {modes[int(unknown.argmax())]!r} is not one of {', '.join(_OPERATORS)}, LEAF")
    places = {key: place for place, key in enumerate(zip(tree_ids.tolist(), node_ids.tolist(), strict=True))}
    if len(places) < n_nodes:
        raise attributes.fail("two nodes of a tree have the same number")

    def find(trees: NDArray[Any], nodes: NDArray[Any]) -> NDArray[np.int64]:
        found = [places.get(key, -1) for key in zip(trees.tolist(), nodes.tolist(), strict=True)]
        if -1 in found:
            raise attributes.fail(f"node {nodes[found.index(-1)]} of tree {trees[found.index(-1)]} is missing")
        return np.array(found, np.int64)

    yes, no = (np.where(is_leaf, -1, find(tree_ids, np.where(is_leaf, node_ids, child))) for child in (yes, no))
    is_child = np.zeros(n_nodes, np.bool_)
    is_child[np.concatenate([yes[~is_leaf], no[~is_leaf]])] = True
    roots = np.flatnonzero(~is_child)
    if len(np.unique(tree_ids[roots])) != len(roots) or len(roots) != len(np.unique(tree_ids)):
        raise attributes.fail("a tree must have one root")
    outputs = get_array(attributes, f"{leaf}_ids", whole=True)
    of_tree, of_node = (
        get_array(attributes, f"{leaf}_{name}", len(outputs), whole=True) for name in ("treeids", "nodeids")
    )
    nodes = StoredTree(
        np.where(is_leaf, -1, np.where(features < 0, -2, features)),
        get_array(attributes, "nodes_values", n_nodes),
        yes,
        no,
        _read_missing(attributes, operators),
        np.zeros(n_nodes),
        operators,
    )
    weights = _Weights(find(of_tree, of_node), outputs, get_array(attributes, f"{leaf}_weights", len(outputs)))
    if not is_leaf[weights.nodes].all():
        raise attributes.fail(f"'{leaf}_nodeids' has a node that is not a leaf")
    n_labels = len(
        get_texts(attributes, "classlabels_strings") or get_array(attributes, "classlabels_int64s", whole=True)
    )
    return _make_ensemble(attributes, size, roots, nodes, weights, n_labels if classifies else None)


def read_new_ensemble(attributes: Field, size: int) -> Ensemble:
    """Of `TreeEnsemble`, which numbers inner nodes and leaves separately; each inner node gets leaves of its own.

    Raises:
        ModelError: an aggregate other than SUM and AVERAGE. ProgramError: arrays that don't fit together.
    """
    features = get_array(attributes, "nodes_featureids", whole=True)
    n_inner = len(features)
    outputs = get_array(attributes, "leaf_targetids", whole=True)
    weights = get_array(attributes, "leaf_weights", len(outputs))
    modes = get_array(attributes, "nodes_modes", n_inner, whole=True)
    if ((modes < 0) | (modes >= len(_MODES))).any():
        raise attributes.fail(f"'nodes_modes' has a number past the {len(_MODES)} modes")
    children, leaf_nodes, leaf_places = [], [], []
    for first, side in ((n_inner, "true"), (2 * n_inner, "false")):
        to = get_array(attributes, f"nodes_{side}nodeids", n_inner, whole=True)
        ends = get_array(attributes, f"nodes_{side}leafs", n_inner, whole=True) != 0
        if ((to < 0) | (to >= np.where(ends, len(outputs), n_inner))).any():
            raise attributes.fail(f"'nodes_{side}nodeids' has a number past the last")
        children.append(np.where(ends, first + np.arange(n_inner), to))
        leaf_nodes.append(first + np.flatnonzero(ends))
        leaf_places.append(to[ends])
    roots = get_array(attributes, "tree_roots", whole=True)
    if ((roots < 0) | (roots >= n_inner)).any():
        raise attributes.fail(f"'tree_roots' has a number past the {n_inner} nodes")
    operators = np.array([*(_OPERATORS.get(mode, "in") for mode in _MODES), ""])[modes]
    no_children = np.full(2 * n_inner, -1)
    nodes = StoredTree(
        np.append(np.where(features < 0, -2, features), no_children),
        np.append(get_array(attributes, "nodes_splits", n_inner), np.zeros(2 * n_inner)),
        np.append(children[0], no_children),
        np.append(children[1], no_children),
        np.append(_read_missing(attributes, operators), no_children >= 0),
        np.zeros(3 * n_inner),
        np.append(operators, np.full(2 * n_inner, "<=")),
        sets=_read_members(attributes, np.flatnonzero(operators == "in").tolist()),
    )
    places = np.concatenate(leaf_places)
    found = _Weights(np.concatenate(leaf_nodes), outputs[places], weights[places])
    return _make_ensemble(attributes, size, roots, nodes, found, None)


@dataclass(frozen=True)
class _Weights:
    """What leaves add, `[n_weights]` each: a node, an output, a number."""

    nodes: NDArray[np.int64]
    outputs: NDArray[np.int64]
    values: NDArray[np.float64]


def _make_ensemble(
    attributes: Field, size: int, roots: NDArray[Any], nodes: StoredTree, weights: _Weights, n_labels: int | None
) -> Ensemble:
    """The trees, each on its own, and what their sums mean.

    Args:
        nodes: of all trees, as one; children are places among them.
        n_labels: of a classifier.
    """
    n_nodes = len(nodes.column)
    n_outputs = attributes.value.get("n_targets", 1) if n_labels is None else n_labels
    if type(n_outputs) is not int:
        raise attributes.fail("'n_targets' must be an integer")
    check_claim(n_outputs, size, "outputs", attributes.place)
    if n_outputs < 1 or (len(weights.outputs) and not 0 <= weights.outputs.min() <= weights.outputs.max() < n_outputs):
        raise attributes.fail(f"a leaf adds to an output out of range: there are {n_outputs}")
    function = get_name(attributes, "aggregate_function", _FUNCTIONS, "SUM")
    if function not in ("SUM", "AVERAGE"):
        raise ModelError(f"{attributes.place}: aggregate_function {function} is not supported, only SUM and AVERAGE")
    if (nodes.column < -1).any():
        raise attributes.fail("'nodes_featureids' has a negative number")
    transform = get_name(attributes, "post_transform", _TRANSFORMS, "NONE")
    if attributes.value.get("post_transform") in (1, 2):
        raise ModelError(f"{attributes.place}: ONNX and onnxruntime disagree on post_transform 1 and 2")
    trees, tree_of_node = _cut_trees(attributes, roots, nodes)
    if ((tree_of_node < 0) & (nodes.column >= 0)).any():
        raise attributes.fail("the nodes don't make trees: no path leads to some")
    kept = tree_of_node[weights.nodes] >= 0
    weights = _Weights(weights.nodes[kept], weights.outputs[kept], weights.values[kept])
    tree, known = tree_of_node[weights.nodes], weights.outputs
    output_of_tree = np.zeros(len(roots), np.int64)
    output_of_tree[tree] = known
    if bool((np.bincount(weights.nodes, minlength=n_nodes) <= 1).all()) and bool((output_of_tree[tree] == known).all()):
        values = np.zeros(n_nodes)
        values[weights.nodes] = weights.values
    else:
        check_claim(n_nodes * n_outputs, size, "nodes by outputs", attributes.place, NUMBERS)
        values = np.zeros((n_nodes, n_outputs))
        np.add.at(values, (weights.nodes, known), weights.values)
    pairs = np.unique(weights.nodes * n_outputs + known)  # of a leaf and an output, each once
    of_tree, counts = np.unique(tree_of_node[pairs // n_outputs] * n_outputs + pairs % n_outputs, return_counts=True)
    n_leaves = np.bincount(tree_of_node[(tree_of_node >= 0) & (nodes.column < 0)], minlength=len(roots))
    reached = nodes.column[tree_of_node >= 0]
    return Ensemble(
        attributes.place.rpartition(" ")[2],
        [
            replace(tree, values=values[places], output=output)
            for (places, tree), output in zip(trees, output_of_tree.tolist(), strict=True)
        ],
        n_outputs,
        np.unique(known).tolist(),
        set((of_tree % n_outputs)[counts == n_leaves[of_tree // n_outputs]].tolist()),
        bool((weights.values >= 0).all()),
        function == "AVERAGE",
        transform,
        int(reached.max(initial=-1)) + 1,
    )


def _cut_trees(
    attributes: Field, roots: NDArray[Any], nodes: StoredTree
) -> tuple[list[tuple[NDArray[np.int64], StoredTree]], NDArray[np.int64]]:
    """The places of each tree's nodes, its root first, with the tree; and the tree of each node, -1 without one.

    Raises:
        ProgramError: nodes that don't make trees.
    """
    n_nodes = len(nodes.column)
    tree_of_node = np.full(n_nodes, -1)
    position = np.full(n_nodes + 1, -1)  # a leaf's children are -1, whose position is the last
    inner = (nodes.column >= 0).tolist()
    yes, no = nodes.yes.tolist(), nodes.no.tolist()
    trees = []
    n_visits = 0
    for number, root in enumerate(roots.tolist()):
        order = [root]
        for node in order:  # it grows meanwhile
            if inner[node]:
                order += (yes[node], no[node])
                if len(order) + n_visits > n_nodes:
                    break
        n_visits += len(order)
        places = np.array(order, np.int64)
        if n_visits > n_nodes or (tree_of_node[places] >= 0).any() or len(set(order)) < len(order):
            raise attributes.fail("the nodes don't make trees: one is its own ancestor, or has two parents")
        tree_of_node[places] = number
        position[places] = np.arange(len(places))
        tree = StoredTree(
            nodes.column[places],
            nodes.constant[places],
            position[nodes.yes[places]],
            position[nodes.no[places]],
            nodes.missing[places],
            nodes.values[places],
            nodes.operator[places],
            sets={int(position[place]): nodes.sets[place] for place in order if place in nodes.sets},
        )
        trees.append((places, tree))
    return trees, tree_of_node


def _read_missing(attributes: Field, operators: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a missing value goes to the true side: if a node says so, or compares by `!=`."""
    tracks = get_array(attributes, "nodes_missing_value_tracks_true", whole=True)
    if len(tracks) not in (0, len(operators)):
        raise attributes.fail("'nodes_missing_value_tracks_true' must have a number for each node")
    missing: NDArray[np.bool_] = operators == "!="
    return missing | (tracks != 0) if len(tracks) else missing


def _read_members(attributes: Field, nodes: list[int]) -> dict[int, tuple[float | str, ...]]:
    """Node -> the values of its set; sets follow each other, separated by NaN."""
    values = get_array(attributes, "membership_values")
    ends = np.flatnonzero(np.isnan(values)).tolist()
    starts = [0, *(end + 1 for end in ends)]
    sets = [values[start:end] for start, end in zip(starts, [*ends, len(values)], strict=True)]
    if len(sets) == len(nodes) + 1 and len(sets[-1]) == 0:  # NaN may end the last
        sets.pop()
    if len(sets) != len(nodes):
        raise attributes.fail(f"'membership_values' has {len(sets)} sets for {len(nodes)} nodes")
    return {node: tuple(dict.fromkeys((members + 0.0).tolist())) for node, members in zip(nodes, sets, strict=True)}
