"""Decision trees as plain arrays: from a program's rules, from and to scikit-learn, and to treelite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels import Forest
from eric_fast.program import Program, atom_of


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree over bits; node 0 is the root.

    Attributes:
        column: int64 `[n_nodes]`: the bit that a node asks for; -1 at a leaf.
        false, true: int64 `[n_nodes]`: the child where the bit is 0, where it is 1; -1 at a leaf.
        values: float64 `[n_nodes, n_outputs]`: what a leaf answers: a share for each class.
    """

    column: NDArray[np.int64]
    false: NDArray[np.int64]
    true: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def n_leaves(self) -> int:
        return int((self.column < 0).sum())


Path = tuple[tuple[int, ...], int]  # literals over columns, and the class that the leaf answers


def build_tree(paths: Sequence[Path], n_classes: int, default: int) -> Tree:
    """The tree whose leaves are these paths, and `default` wherever none of them leads.

    Raises:
        ValueError: the paths are not those of a tree.
    """
    column, false, true, answers = [-1], [-1], [-1], [default]
    pending = [(0, list(paths), frozenset[int]())]
    while pending:
        node, below, asked = pending.pop()
        if not below:
            continue
        if any(len(body) == len(asked) for body, _ in below):
            if len(below) > 1:
                raise ValueError("one path of a tree goes on where another ends")
            answers[node] = below[0][1]
            continue
        split = _find_split([body for body, _ in below], asked)
        column[node] = split
        for children, literal in ((false, ~split), (true, split)):
            children[node] = len(column)
            pending.append((len(column), [path for path in below if literal in path[0]], asked | {split}))
            for values, value in ((column, -1), (false, -1), (true, -1), (answers, default)):
                values.append(value)
    return Tree(np.array(column), np.array(false), np.array(true), np.eye(n_classes)[answers])


def _find_split(bodies: Sequence[tuple[int, ...]], asked: frozenset[int]) -> int:
    """An atom that each of these bodies mentions and none above has asked for: the tree's next question."""
    for literal in bodies[0]:
        atom = atom_of(literal)
        if atom not in asked and all(atom in body or ~atom in body for body in bodies):
            return atom
    raise ValueError("the rules are not the branches of a tree: no kernel is in all of them")


def build_layer_trees(program: Program, layer: str) -> list[Tree]:
    """The trees of a layer's kernels, in order, over the columns of the layer below; classes are false and true."""
    below = program.quantiser.rows_of_layer[program.layers[program.layers.index(layer) - 1]].start
    trees = []
    for atom in program.quantiser.rows_of_layer[layer]:
        default = int(atom in program.negated)
        paths = [(_shift(rule.body, below), 1 - default) for rule in program.rules_of_atom.get(atom, ())]
        trees.append(build_tree(paths, 2, default))
    return trees


def build_class_tree(program: Program) -> Tree:
    """The tree of the class rules, over the columns of the highest layer."""
    below = program.quantiser.rows_of_layer[program.layers[-1]].start
    paths = [(_shift(rule.body, below), rule.head) for rule in program.class_rules]
    return build_tree(paths, len(program.classes), 0)


def _shift(body: tuple[int, ...], first: int) -> tuple[int, ...]:
    return tuple(literal - first if literal >= 0 else literal + first for literal in body)


def list_grown(forest: Forest) -> list[Tree]:
    """The trees that `grow_trees` grew, every leaf of them, with what its samples weigh by value."""
    column, false, true = (array.numpy().astype(np.int64) for array in (forest.feature, forest.left, forest.right))
    shares = forest.weights.numpy().astype(np.float64)
    ends = zip(forest.offsets[:-1].tolist(), forest.offsets[1:].tolist(), strict=True)
    return [Tree(column[a:z], false[a:z], true[a:z], shares[a:z]) for a, z in ends]


def list_leaves(tree: Tree) -> list[tuple[tuple[int, ...], NDArray[np.float64]]]:
    """Each leaf's literals over columns, root first, and its values."""
    leaves = []
    pending: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while pending:
        node, body = pending.pop()
        column = int(tree.column[node])
        if column < 0:
            leaves.append((body, tree.values[node]))
            continue
        pending.append((int(tree.false[node]), (*body, ~column)))
        pending.append((int(tree.true[node]), (*body, column)))
    return leaves


def from_sklearn(fitted: Any) -> Tree:
    """A fitted classifier's tree on bits, with its class shares."""
    tree = fitted.tree_
    column = np.where(tree.children_left < 0, -1, tree.feature)
    return Tree(column, tree.children_left.copy(), tree.children_right.copy(), tree.value[:, 0].copy())


def to_sklearn(tree: Tree, n_columns: int) -> Any:
    """A `DecisionTreeClassifier` that holds exactly this tree, as if it had been fitted."""
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.tree._tree import NODE_DTYPE
    from sklearn.tree._tree import Tree as SklearnTree

    n_nodes, n_classes = tree.values.shape
    nodes = np.zeros(n_nodes, NODE_DTYPE)
    nodes["left_child"], nodes["right_child"] = tree.false, tree.true
    nodes["feature"] = np.where(tree.column < 0, -2, tree.column)
    nodes["threshold"] = np.where(tree.column < 0, -2, 0.5)
    nodes["n_node_samples"] = nodes["weighted_n_node_samples"] = 1
    inner = SklearnTree(n_columns, np.array([n_classes]), 1)
    depth = max(len(body) for body, _ in list_leaves(tree))
    inner.__setstate__(
        {"max_depth": depth, "node_count": n_nodes, "nodes": nodes, "values": tree.values[:, None, :].copy()}
    )
    fitted = DecisionTreeClassifier()
    fitted.tree_, fitted.n_features_in_, fitted.n_outputs_ = inner, n_columns, 1
    fitted.classes_, fitted.n_classes_, fitted.max_features_ = np.arange(n_classes), n_classes, n_columns
    return fitted


def to_sklearn_forest(trees: Sequence[Tree], n_columns: int) -> Any:
    """A `RandomForestClassifier` of exactly these trees: it averages their values."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=len(trees), n_jobs=-1)
    forest.estimators_ = [to_sklearn(tree, n_columns) for tree in trees]
    n_classes = trees[0].values.shape[1]
    forest.classes_, forest.n_classes_ = np.arange(n_classes), n_classes
    forest.n_features_in_, forest.n_outputs_ = n_columns, 1
    return forest


def to_treelite(trees: Sequence[Tree], n_columns: int) -> Any:
    """A treelite model with one output per tree: its first class's complement, so 0 or 1 for a tree of two classes."""
    from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

    n = len(trees)
    builder = ModelBuilder(
        threshold_type="float32",
        leaf_output_type="float32",
        metadata=Metadata(
            num_feature=n_columns,
            task_type="kRegressor",
            average_tree_output=False,
            num_target=n,
            num_class=[1] * n,
            leaf_vector_shape=(1, 1),
        ),
        tree_annotation=TreeAnnotation(num_tree=n, target_id=list(range(n)), class_id=[0] * n),
        postprocessor=PostProcessorFunc(name="identity"),
        base_scores=[0.0] * n,
    )
    for tree in trees:
        builder.start_tree()
        for node, column in enumerate(tree.column.tolist()):
            builder.start_node(node)
            if column < 0:
                builder.leaf(float(tree.values[node].argmax()))
            else:
                builder.numerical_test(
                    feature_id=column,
                    threshold=0.5,
                    default_left=True,
                    opname="<=",
                    left_child_key=int(tree.false[node]),
                    right_child_key=int(tree.true[node]),
                )
            builder.end_node()
        builder.end_tree()
    return builder.commit()
