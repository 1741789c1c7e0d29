"""ONNX: graphs of tree ensembles, with what converters write around them. Files need the `onnx` package.

Runtimes add leaves up in float32, this package in float64; so scores differ by their rounding.
"""

from os import PathLike
from pathlib import Path
from typing import Any

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.front_end import FrontEnd
from eric_fast.frontends.rules.onnx_matrices import compares_columns, read_matrices
from eric_fast.frontends.trees.onnx_program import has_ensemble, make_model
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file


def _matches(source: Any) -> bool:
    """Whether it is a `ModelProto`, or a path that ends in `.onnx`."""
    if isinstance(source, str | PathLike):
        return str(source).lower().endswith(".onnx") and Path(source).is_file()
    return type(source).__name__ == "ModelProto" and hasattr(source, "SerializeToString")


def from_onnx(source: Any) -> RuleModel:
    """Tree ensembles in ONNX as a program.

    A graph may hold several ensembles, as bagging, boosting and voting do, and what scales, clips, casts or fills
    columns before them: comparisons are then of the columns themselves, exactly as the runtime computes. Nodes after
    them may add, scale and choose; of a single tree they may compute anything.

    For a classifier `predict` gives labels, and `predict_proba` gives the graph's second output, or `decision_function`
    if scores are not probabilities. For a regression `predict` gives the graph's output. If two classes have the
    weights of one, the class is onnxruntime's; if they have weights of both, it is the one with the higher score;
    refused is a graph where onnxruntime, which gives the second whenever its score is above 0, may answer otherwise.

    Args:
        source: an `onnx.ModelProto`, or the path of its file.

    Raises:
        ModelError: the `onnx` package is missing; a node that is not supported here; an ensemble whose meaning
            runtimes disagree on, or that aggregates by MIN or MAX.
        ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from skl2onnx import to_onnx
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(rows, labels)
        >>> model = ef.from_onnx(to_onnx(tree, rows[:1].astype("float32")))
        >>> bool((model.predict(rows) == tree.predict(rows)).all())
        True
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
        if compares_columns(model.graph) and not has_ensemble(model.graph):
            return read_matrices(model.graph, size, name)
        return make_model(model.graph, size, name)
    except UnicodeDecodeError as error:
        raise ProgramError(f"{name}: expected UTF-8 text: {error}") from error


ONNX = FrontEnd("ONNX", _matches, from_onnx)
