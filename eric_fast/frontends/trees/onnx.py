"""ONNX: tree ensembles and the harmless nodes that converters write around them; read with the `onnx` package.

Leaves are added up in float64, where a runtime has float32: scores differ by what its rounding adds.
"""

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.parts import name_columns, read_bytes
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.nodes import join_trees
from eric_fast.frontends.trees.onnx_answer import Answer, read_answer
from eric_fast.frontends.trees.onnx_attributes import Attributes
from eric_fast.frontends.trees.onnx_trees import Ensemble, read_ensemble, read_new_ensemble
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.answers import spell_labels
from eric_fast.table.model import RuleModel

_DOMAIN = "ai.onnx.ml"
_ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
_FLOAT, _INT32, _INT64, _DOUBLE = 1, 6, 7, 11  # TensorProto.DataType
_KINDS = {_FLOAT: "float32", _DOUBLE: "float64", _INT32: "float32", _INT64: "float32"}  # thresholds are float32 there
_SHAPES = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")  # change no value
_LINKS = {"Exp": "exp", "Sigmoid": "sigmoid"}  # what may follow a sum


def matches(source: Any) -> bool:
    """Whether it is a `ModelProto`, or a path that ends in `.onnx`."""
    if isinstance(source, str | PathLike):
        return str(source).lower().endswith(".onnx") and Path(source).is_file()
    return type(source).__name__ == "ModelProto" and hasattr(source, "SerializeToString")


def load_source(source: Any) -> RuleModel:
    """See `from_onnx`."""
    return from_onnx(source)


def from_onnx(source: Any) -> RuleModel:
    """A tree ensemble in ONNX as a program.

    Of a classifier `predict` gives labels and `predict_proba` or, where scores are no probabilities,
    `decision_function` what the graph's second output holds. Of a regression `predict` gives the graph's output.
    Where two classes are told apart by the weights of one, the class is the one that onnxruntime gives; by weights of
    both, it is the one with the higher score (onnxruntime gives the second whenever its score is above 0).

    Args:
        source: an `onnx.ModelProto`, or the path of its file.

    Raises:
        ModelError: no `onnx` package; a graph with nodes that do more than carry a tree ensemble's answer; an
            ensemble whose meaning runtimes don't agree on, or that takes the least or the greatest leaf.
        ProgramError: a file that is wrong, and where.
    """
    if isinstance(source, str | PathLike):
        return read_onnx(read_bytes(source), str(source))
    return _read_model(source, source.ByteSize(), "ModelProto")


def read_onnx(data: bytes, name: str) -> RuleModel:
    """The model in a file's bytes; see `from_onnx`. Data outside of the file are never read."""
    try:
        model = import_module("onnx").ModelProto()
    except ImportError as error:
        raise ModelError(f"{name}: reading ONNX needs the package 'onnx': pip install onnx") from error
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whose class depends on its implementation
        raise ProgramError(f"{name}: not an ONNX model: {error}") from error
    return _read_model(model, len(data), name)


def _read_model(model: Any, size: int, name: str) -> RuleModel:
    try:
        node, columns, link = _read_graph(model.graph, size, name)
        attributes = Attributes.read(node, f"{name}: {node.op_type}")
        read = read_new_ensemble if node.op_type == "TreeEnsemble" else read_ensemble
        ensemble = read(attributes, size)
        listed, named = columns(ensemble.n_columns)
        is_single = not listed or listed[0].kind == "float32"
        answer = read_answer(attributes, ensemble, link, is_single)
    except UnicodeDecodeError as error:
        raise ProgramError(f"{name}: a text that isn't UTF-8: {error}") from error
    return _make_model(ensemble, answer, (listed, named), name)


def _read_graph(graph: Any, size: int, name: str) -> tuple[Any, Any, str]:
    """The ensemble's node, a function from the least number of columns to the columns, and what follows the sums."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    role = {value.name: "input" for value in inputs}
    kinds = {value.name: _KINDS.get(value.type.tensor_type.elem_type) for value in inputs}
    parts: dict[str, list[Any]] = {value.name: [value] for value in inputs}
    found, link = None, "identity"
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update(node.output)
            continue
        given = [tensor for tensor in node.input if tensor and tensor not in constants]
        roles = {role.get(tensor, "") for tensor in given}
        where = roles.pop() if len(roles) == 1 else ""
        refusal = ModelError(f"{name}: op '{node.op_type}' is more than carries a tree ensemble's answer")
        if where == "input" and node.op_type == "Concat":
            role[node.output[0]] = "input"
            parts[node.output[0]] = [part for tensor in given for part in parts[tensor]]
            kinds[node.output[0]] = kinds[given[0]] if len({kinds[tensor] for tensor in given}) == 1 else None
        elif where == "input" and len(given) == 1 and node.op_type in ("Identity", "Cast"):
            kinds[node.output[0]] = _cast_kind(node, kinds[given[0]])
            role[node.output[0]], parts[node.output[0]] = "input", parts[given[0]]
        elif where == "input" and node.op_type in _ENSEMBLES and node.domain == _DOMAIN and found is None:
            found = node, parts[given[0]], kinds[given[0]]
            names = ("label", "scores") if node.op_type == _ENSEMBLES[0] else ("sums",)
            role.update(zip(node.output, names, strict=False))
        elif where in ("label", "scores", "sums") and _keeps_values(node, where):
            role.update(dict.fromkeys(node.output, where))
        elif where == "sums" and node.op_type in _LINKS and link == "identity":
            link, role[node.output[0]] = _LINKS[node.op_type], "done"
        elif where == "done" and _keeps_values(node, where):
            role[node.output[0]] = "done"
        else:
            raise refusal
    if found is None:
        raise ModelError(f"{name}: there is no tree ensemble in this graph")
    node, values, kind = found
    if kind is None:
        raise ModelError(f"{name}: the ensemble's input is neither float32 nor float64 nor integers throughout")
    return node, lambda least: _list_columns(values, kind, least, size, name), link


def _cast_kind(node: Any, kind: str | None) -> str | None:
    """What values are once a node has passed them on; None for a type that trees don't compare, or a finer one."""
    if node.op_type == "Identity":
        return kind
    to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
    return "float32" if to == _FLOAT else kind if to == _DOUBLE and kind == "float64" else None


def _keeps_values(node: Any, role: str) -> bool:
    if node.op_type == "Cast":
        to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
        return to in ((_INT32, _INT64) if role == "label" else (_FLOAT, _DOUBLE))
    return node.op_type in _SHAPES or (node.op_type == "ZipMap" and role == "scores")


def _list_columns(values: list[Any], kind: str, least: int, size: int, name: str) -> tuple[list[Column], bool]:
    """The columns of the graph's inputs, in turn, and whether they have names: those of inputs of one column."""
    widths = []
    for value in values:
        dims = value.type.tensor_type.shape.dim
        widths.append(int(dims[1].dim_value) if len(dims) == 2 else 0)
    if len(values) == 1:
        names = name_columns([], max(least, widths[0]), size, name)
        return [Column(column, kind) for column in names], False
    if any(width != 1 for width in widths) or len(values) < least:
        raise ModelError(f"{name}: several inputs must be one column each, {least} or more")
    return [Column(value.name, kind) for value in values], True


def _make_model(ensemble: Ensemble, answer: Answer, columns: tuple[list[Column], bool], name: str) -> RuleModel:
    listed, named = columns
    trees = [tree.shift_output(answer.shift) for tree in ensemble.trees] if answer.shift else ensemble.trees
    labels = None if answer.labels is None else np.asarray(answer.labels)
    outputs = [str(i) for i in range(ensemble.n_outputs)] if labels is None else spell_labels(labels)
    decision = Decision.of_sums(classify=labels is not None)
    program = make_program(join_trees(listed, trees, name), outputs, decision=decision, base=answer.base)
    return RuleModel(program, f"ONNX {ensemble.kind}", labels, link=answer.link, divisor=answer.divisor, named=named)
