"""Damaged graphs of ONNX: protocol buffers that are right, whose fields are not."""

import random
from functools import cache
from typing import Any

import numpy as np

from eric_fast.frontends.trees.onnx_graph import ELEMENTWISE, KEEPS, MOVES
from tests.make_onnx import make_graph, make_new, make_old
from tests.optional import import_optional

onnx = import_optional("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

NUMBERS = (-1, 0, 1, 2, 3, 7, 11, 2**16, 2**20, 2**31, 2**40, 2**63 - 1, -(2**63))
OTHERS = (
    *("Constant", "Shape", "ConstantOfShape", "Cast", "Concat", "FeatureVectorizer", "Sum", "Max", "Min", "Mean"),
    *("Clip", "ReduceSum", "ReduceMean", "ArgMax", "Softmax", "LpNormalization", "Normalizer", "Scaler", "Imputer"),
    *("LabelEncoder", "TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier"),
)
OPERATORS = (*MOVES, *KEEPS, *ELEMENTWISE, *OTHERS)
SETTINGS = ("axis", "axes", "keepdims", "to", "perm", "shape", "starts", "ends", "min", "max", "value", "norm", "p")


def make_damaged_graph(rng: random.Random) -> bytes:
    """One of a few graphs with some fields set to what may not be there, and nodes put between its own."""
    model = onnx.ModelProto()
    model.ParseFromString(rng.choice(_make_graphs()))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        rng.choice((_change_field, _change_field, _change_node, _insert_node))(rng, model.graph)
    content: bytes = model.SerializeToString()
    return content


@cache
def _make_graphs() -> list[bytes]:
    """An ensemble alone, and with nodes around it: scaled and filled columns, several ensembles, shares, labels."""
    tree = make_old("Regressor", ids=(0,), weights=((-0.3,), (0.2,)), n_labels=1).graph.node[0]
    second = onnx.NodeProto()
    second.CopyFrom(tree)
    second.output[0] = "p2"
    ends = [
        helper.make_tensor_value_info("l", TensorProto.INT64, None),
        helper.make_tensor_value_info("q", TensorProto.FLOAT, None),
    ]
    sigmoid = [
        helper.make_node("Sum", ["p", "p2"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["t"]),
        helper.make_node("Sub", ["one", "t"], ["n"]),
        helper.make_node("Concat", ["n", "t"], ["q"], axis=1),
        helper.make_node("ArgMax", ["q"], ["i"], axis=1, keepdims=0),
        helper.make_node("Gather", ["labels", "i"], ["l"]),
    ]
    softmax = [
        helper.make_node("Sum", ["p", "p2"], ["u"]),
        helper.make_node("Neg", ["u"], ["v"]),
        helper.make_node("Concat", ["u", "v"], ["s"], axis=1),
        helper.make_node("Exp", ["s"], ["e"]),
        helper.make_node("ReduceSum", ["e", "axes"], ["t"]),
        helper.make_node("Div", ["e", "t"], ["q"]),
        helper.make_node("ArgMax", ["q"], ["i"], axis=1, keepdims=1),
        helper.make_node("ArrayFeatureExtractor", ["labels", "i"], ["k"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["k", "shape"], ["l"]),
    ]
    before = [
        helper.make_node(
            "Imputer",
            ["X"],
            ["F"],
            domain="ai.onnx.ml",
            imputed_value_floats=[1.0, 2.0],
            replaced_value_float=float("nan"),
        ),
        helper.make_node("Scaler", ["F"], ["S"], domain="ai.onnx.ml", offset=[0.5, 0.0], scale=[2.0, -1.0]),
        helper.make_node("Clip", ["S"], ["C"], min=-3.0, max=3.0),
        helper.make_node("Gather", ["C", "columns"], ["G"], axis=1),
        helper.make_node("Slice", ["G", "zero", "columns2", "axes"], ["H"]),
    ]
    graphs = [make_old(), make_new(), make_new(11)]
    for nodes in ([tree, second, *sigmoid], [tree, second, *softmax], [*before, tree, second, *sigmoid]):
        graph = make_graph(nodes, ends)
        for name, kind, values in (
            ("one", TensorProto.FLOAT, [1.0]),
            ("labels", TensorProto.INT64, [4, 6]),
            ("axes", TensorProto.INT64, [1]),
            ("shape", TensorProto.INT64, [-1]),
            ("columns", TensorProto.INT64, [1, 0]),
            ("columns2", TensorProto.INT64, [2]),
            ("zero", TensorProto.INT64, [0]),
        ):
            graph.graph.initializer.append(helper.make_tensor(name, kind, [len(values)], values))
        if nodes[0] is not tree:
            for node in graph.graph.node:
                node.input[:] = [
                    "H" if name == "X" and node.op_type.startswith("Tree") else name for name in node.input
                ]
        graphs.append(graph)
    return [graph.SerializeToString() for graph in graphs]


def _change_field(rng: random.Random, graph: Any) -> None:
    """A field of any message in the graph, found by walking down from it."""
    message = graph
    while True:
        fields = message.ListFields()
        if not fields:
            return
        field, value = rng.choice(fields)
        repeated = hasattr(value, "append") or hasattr(value, "add")
        if field.message_type is not None:
            message = rng.choice(list(value)) if repeated else value
            if repeated and rng.random() < 0.1:
                del value[rng.randrange(len(value)) :]
                return
            continue
        change = _draw_value(rng, rng.choice(list(value)) if repeated else value)
        if not repeated:
            _assign(message, field.name, change)
            return
        kept = list(value)
        place = rng.randrange(len(kept) + 1)
        kept[place : place + rng.randrange(2)] = [change] * rng.choice((0, 1, 1, 1, 3))
        try:
            value[:] = kept
        except (ValueError, OverflowError):
            value[:] = []
        return


def _assign(message: Any, name: str, value: Any) -> None:
    try:
        setattr(message, name, value)
    except (ValueError, OverflowError):  # a number that the field can't hold
        message.ClearField(name)


def _draw_value(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool | int):
        return rng.choice((*NUMBERS, *range(20)))
    if isinstance(value, float):
        return rng.choice((0.0, -0.0, 1e-45, 3e38, -1.0, float("inf"), float("-inf"), float("nan")))
    if isinstance(value, bytes):
        return rng.choice((b"", b"\xff", value[:-1], value * 2, bytes(rng.randrange(256) for _ in value)))
    return rng.choice(("", "X", "p", "q", "s", "one", "labels", "LEAF", "BRANCH_EQ", "SOFTMAX", *OPERATORS))


def _change_node(rng: random.Random, graph: Any) -> None:
    """Another operator, an input that is another's, one attribute more."""
    if not graph.node:
        return
    node = rng.choice(graph.node)
    tensors = _list_tensors(graph)
    match rng.randrange(4):
        case 0:
            node.op_type = rng.choice(OPERATORS)
        case 1 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(tensors)
        case 2:
            node.input.append(rng.choice(tensors))
        case _:
            node.attribute.append(_draw_setting(rng))


def _insert_node(rng: random.Random, graph: Any) -> None:
    """A new node that takes any tensors, often a large constant, and makes what others take."""
    tensors = _list_tensors(graph)
    if rng.random() < 0.4:
        dims = [rng.choice((1, 2, 2**10, 2**16, 2**20)) for _ in range(rng.choice((1, 2, 2)))]
        name = rng.choice(tensors)
        graph.initializer.append(helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(dims)], dims))
        node = helper.make_node(rng.choice(("ConstantOfShape", "Expand")), [f"{name}_shape"], [f"{name}_new"])
        if node.op_type == "Expand":
            node.input.insert(0, name)
    else:
        name = rng.choice(tensors)
        inputs = [name, *(rng.choice(tensors) for _ in range(rng.choice((0, 1, 1, 2))))]
        node = helper.make_node(rng.choice(OPERATORS), inputs, [f"{name}_new"])
        for _ in range(rng.randrange(3)):
            node.attribute.append(_draw_setting(rng))
    place = rng.randrange(len(graph.node) + 1)
    graph.node.insert(place, node)
    for later in graph.node[place + 1 :]:
        later.input[:] = [f"{name}_new" if one == name and rng.random() < 0.7 else one for one in later.input]


def _draw_setting(rng: random.Random) -> Any:
    values = (rng.choice(NUMBERS), 0.5, "L1", [rng.choice(NUMBERS) for _ in "ab"], [1.0, -1.0], np.zeros(2).tolist())
    return helper.make_attribute(rng.choice(SETTINGS), rng.choice(values))


def _list_tensors(graph: Any) -> list[str]:
    return [
        "X",
        *(tensor.name for tensor in graph.initializer),
        *(name for node in graph.node for name in node.output),
    ]
