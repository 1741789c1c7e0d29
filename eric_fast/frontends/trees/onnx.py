"""ONNX: tree ensembles, with the simple nodes that converters write around them. Files need the `onnx` package.

Runtimes add leaves up in float32, this package in float64; so scores differ by their rounding.
"""

from os import PathLike
from pathlib import Path
from typing import Any

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.front_end import FrontEnd
from eric_fast.frontends.trees.onnx_answer import EnsembleAnswer, read_answer
from eric_fast.frontends.trees.onnx_attributes import read_attributes
from eric_fast.frontends.trees.onnx_trees import Ensemble, read_ensemble, read_new_ensemble
from eric_fast.frontends.trees.tree_model import make_tree_model, name_columns
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file

_DOMAIN = "ai.onnx.ml"
_ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
_FLOAT, _INT32, _INT64, _DOUBLE = 1, 6, 7, 11  # TensorProto.DataType
_KINDS = {_FLOAT: "float32", _DOUBLE: "float64", _INT32: "float32", _INT64: "float32"}  # thresholds are float32 there
_SHAPES = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")  # change no value
_LINKS = {"Exp": "exp", "Sigmoid": "sigmoid"}  # what may follow a sum


def _matches(source: Any) -> bool:
    """Whether it is a `ModelProto`, or a path that ends in `.onnx`."""
    if isinstance(source, str | PathLike):
        return str(source).lower().endswith(".onnx") and Path(source).is_file()
    return type(source).__name__ == "ModelProto" and hasattr(source, "SerializeToString")


def from_onnx(source: Any) -> RuleModel:
    """A tree ensemble in ONNX as a program.

    For a classifier `predict` gives labels, and `predict_proba` gives the graph's second output, or `decision_function`
    if scores are not probabilities. For a regression `predict` gives the graph's output. If two classes have the
    weights of one, the class is onnxruntime's; if they have weights of both, it is the one with the higher score
    (onnxruntime gives the second whenever its score is above 0).

    Args:
        source: an `onnx.ModelProto`, or the path of its file.

    Raises:
        ModelError: the `onnx` package is missing; nodes beside the ensemble that are not supported; an ensemble whose
            meaning runtimes disagree on, or that aggregates by MIN or MAX.
        ProgramError: an invalid file; the error says where.
    """
    if isinstance(source, str | PathLike):
        return read_onnx(read_file(source), str(source))
    return _read_model(source, source.ByteSize(), "ModelProto")


def read_onnx(data: bytes, name: str) -> RuleModel:
    """The model in a file's bytes; see `from_onnx`. Data in other files are never read."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError(f"{name}: reading ONNX needs the package 'onnx': pip install onnx") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whose class depends on its implementation
        raise ProgramError(f"{name}: not an ONNX model: {error}") from error
    return _read_model(model, len(data), name)


def _read_model(model: Any, size: int, name: str) -> RuleModel:
    try:
        node, columns, link = _read_graph(model.graph, size, name)
        attributes = read_attributes(node, f"{name}: {node.op_type}")
        read = read_new_ensemble if node.op_type == "TreeEnsemble" else read_ensemble
        ensemble = read(attributes, size)
        listed, named = columns(ensemble.n_columns)
        is_single = not listed or listed[0].kind == "float32"
        answer = read_answer(attributes, ensemble, link, is_single)
    except UnicodeDecodeError as error:
        raise ProgramError(f"{name}: expected UTF-8 text: {error}") from error
    return _make_model(ensemble, answer, (listed, named), name)


def _read_graph(graph: Any, size: int, name: str) -> tuple[Any, Any, str]:
    """The ensemble's node, a function from the least number of columns to the columns, and the link function."""
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
        refusal = ModelError(f"{name}: op '{node.op_type}' is not supported beside a tree ensemble")
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
        raise ModelError(f"{name}: the graph has no tree ensemble")
    node, values, kind = found
    if kind is None:
        raise ModelError(f"{name}: the ensemble's inputs must be all float32, all float64, or all integers")
    return node, lambda least: _list_columns(values, kind, least, size, name), link


def _cast_kind(node: Any, kind: str | None) -> str | None:
    """The kind of values after this node; None for a type that trees don't compare, or a more precise one."""
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
    """The columns of the graph's inputs, and whether they have names, as several inputs of one column do."""
    widths = []
    for value in values:
        dims = value.type.tensor_type.shape.dim
        widths.append(int(dims[1].dim_value) if len(dims) == 2 else 0)
    if len(values) == 1:
        names = name_columns([], max(least, widths[0]), size, name)
        return [Column(column, kind) for column in names], False
    if any(width != 1 for width in widths) or len(values) < least:
        raise ModelError(f"{name}: several inputs must be one column each, and {least} or more in all")
    return [Column(value.name, kind) for value in values], True


def _make_model(ensemble: Ensemble, answer: EnsembleAnswer, columns: tuple[list[Column], bool], name: str) -> RuleModel:
    listed, named = columns
    return make_tree_model(
        f"ONNX {ensemble.kind}",
        listed,
        ensemble.trees,
        name,
        n_outputs=ensemble.n_outputs if answer.threshold is None else 1,
        labels=answer.labels,
        base=answer.base,
        threshold=answer.threshold or 0.0,
        link=answer.link,
        divisor=answer.divisor,
        named=named,
    )


ONNX = FrontEnd("ONNX", _matches, from_onnx)
