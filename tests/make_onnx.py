"""Graphs of ONNX with one ensemble of trees: either operator, in every mode."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.optional import import_optional

helper = import_optional("onnx").helper
TensorProto = import_optional("onnx").TensorProto


def make_graph(nodes: Sequence[Any], outputs: Sequence[Any], dtype: int = TensorProto.FLOAT, width: int = 2) -> Any:
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", dtype, [None, width])], outputs)
    opsets = [
        helper.make_opsetid("ai.onnx.ml", 5 if nodes[0].op_type == "TreeEnsemble" else 1),
        helper.make_opsetid("", 15),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def make_new(
    dtype: int = TensorProto.FLOAT,
    modes: Sequence[int] = (0, 6, 4),
    tracks: Sequence[int] = (0, 1, 0),
    targets: Sequence[int] = (0, 0, 0, 0),
    **attributes: Any,
) -> Any:
    """Two levels: node 0 asks column 0, node 1 asks column 1 for 1, 3 or 7, node 2 asks column 0 for 2."""

    def tensor(name: str, values: Sequence[float], kind: int) -> Any:
        return helper.make_tensor(name, kind, [len(values)], values)

    attributes = {"aggregate_function": 1, "tree_roots": [0], "n_targets": max(targets) + 1, **attributes}
    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        nodes_featureids=[0, 1, 0],
        nodes_modes=tensor("modes", modes, TensorProto.UINT8),
        nodes_splits=tensor("splits", [0.5, 0.0, 2.0], dtype),
        nodes_truenodeids=[1, 0, 2],
        nodes_trueleafs=[0, 1, 1],
        nodes_falsenodeids=[2, 1, 3],
        nodes_falseleafs=[0, 1, 1],
        nodes_missing_value_tracks_true=list(tracks),
        membership_values=tensor("members", [1.0, 3.0, 7.0], dtype),
        leaf_targetids=list(targets),
        leaf_weights=tensor("weights", [1.0, 2.0, 3.0, 4.0], dtype),
        **attributes,
    )
    return make_graph([node], [helper.make_tensor_value_info("Y", dtype, [None, max(targets) + 1])], dtype)


def make_old(
    kind: str = "Classifier",
    ids: Sequence[int] = (0, 1, 2),
    weights: Sequence[Sequence[float]] = ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1)),
    after: Iterable[Any] = (),
    n_labels: int = 3,
    **attributes: Any,
) -> Any:
    """One question of column 0, whose leaves have weights for the outputs `ids`."""
    name = "class" if kind == "Classifier" else "target"
    labels = {"classlabels_int64s": list(range(n_labels))} if kind == "Classifier" else {"n_targets": n_labels}
    outputs = ["l", "p"] if kind == "Classifier" else ["p"]
    node = helper.make_node(
        f"TreeEnsemble{kind}",
        ["X"],
        outputs,
        domain="ai.onnx.ml",
        nodes_treeids=[0] * 3,
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0] * 3,
        nodes_modes=attributes.pop("nodes_modes", ["BRANCH_LT", "LEAF", "LEAF"]),
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=attributes.pop("nodes_truenodeids", [1, 0, 0]),
        nodes_falsenodeids=[2, 0, 0],
        **{
            f"{name}_treeids": [0] * 2 * len(ids),
            f"{name}_nodeids": [1] * len(ids) + [2] * len(ids),
            f"{name}_ids": list(ids) * 2,
            f"{name}_weights": [weight for leaf in weights for weight in leaf[: len(ids)]],
        },
        **labels,
        **attributes,
    )
    after = list(after)
    outputs[-1:] = [after[-1].output[0] if after else "p"]
    kinds = {"l": TensorProto.INT64}
    last = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs]
    return make_graph([node, *after], last)


def after(op: str, **attributes: Any) -> list[Any]:
    """The node that follows an ensemble."""
    return [helper.make_node(op, ["p"], ["q"], **attributes)]
