"""treelite: its models of any origin, and their checkpoint files; the package is needed to turn other objects to it.

treelite adds float32 leaves up in float32 and we in float64: scores differ by what its rounding adds.
"""

import struct
from importlib import import_module
from math import log
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.parts import name_columns, peek_file, read_bytes
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.nodes import join_trees, number_leaves
from eric_fast.frontends.trees.treelite_trees import Header, read_checkpoint
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

_BINARY, _MULTICLASS = 0, 2  # treelite.TaskType


class _Link(NamedTuple):
    """A postprocessor: of two classes by one score, of several, of a regression; empty where it means nothing."""

    binary: str
    classes: str
    sums: str


_LINKS = {
    "identity": _Link("margin", "identity", "identity"),
    "identity_multiclass": _Link("", "identity", "identity"),
    "hinge": _Link("margin", "", ""),
    "sigmoid": _Link("sigmoid", "", "sigmoid"),
    "softmax": _Link("", "softmax", "softmax"),
    "multiclass_ova": _Link("", "sigmoids", "sigmoid"),
    "signed_square": _Link("", "", "signed square"),
    "exponential": _Link("", "", "exp"),
    "exponential_standard_ratio": _Link("", "", "exp"),
    "logarithm_one_plus_exp": _Link("", "", "softplus"),
}


def matches(source: Any) -> bool:
    """Whether it is a `treelite.Model`, or a checkpoint file of treelite 4."""
    if type(source).__module__.split(".")[0] == "treelite":
        return type(source).__name__ == "Model"
    start = peek_file(source, 14)
    if len(start) < 14:
        return False
    major, minor, patch, thresholds, leaves = struct.unpack("<iiiBB", start)
    return major == 4 and 0 <= minor < 1000 and 0 <= patch < 1000 and thresholds in (2, 3) and leaves in (2, 3)


def load_source(source: Any) -> RuleModel:
    """See `from_treelite`."""
    return from_treelite(source)


def from_treelite(source: Any) -> RuleModel:
    """A treelite model as a program.

    Of a classifier `predict` gives classes, 0 and up, and `predict_proba` or, where scores are no probabilities,
    `decision_function` what `treelite.gtil.predict` does; of others `predict` gives that, without dimensions of one.
    `apply` gives what `treelite.gtil.predict_leaf` does.

    Args:
        source: a `treelite.Model`; the path of its checkpoint (`Model.serialize`); or a model of XGBoost, LightGBM or
            scikit-learn, which treelite turns to its own.

    Raises:
        ModelError: no `treelite` package where it is needed; several targets that are classes; a postprocessor that
            isn't known. ProgramError: a file that is wrong, and where.
    """
    if isinstance(source, str | PathLike):
        return read_treelite(read_bytes(source), str(source))
    return read_treelite(_import_model(source).serialize_bytes(), "treelite model")


def read_treelite(data: bytes, name: str) -> RuleModel:
    """The model in a checkpoint's bytes; see `from_treelite`. `name` is what errors call the file."""
    header, trees = read_checkpoint(data, name)
    names = name_columns([], header.n_features, len(data), name)
    columns = [Column(column, "float32" if header.thresholds is np.float32 else "float64") for column in names]
    classifies = header.task in (_BINARY, _MULTICLASS)
    is_binary = classifies and header.n_outputs == 1
    if classifies and len(header.n_classes) > 1:
        raise ModelError(f"{name}: {len(header.n_classes)} targets that are classes; make a model of each")
    known = _LINKS.get(header.postprocessor)
    if is_binary and known and not known.binary:  # what a score becomes is no probability
        classifies = is_binary = False
    link = known and (known.binary if is_binary else known.classes if classifies else known.sums)
    if not link:
        raise ModelError(f"{name}: postprocessor '{header.postprocessor}' means nothing for this task")
    divisor = _count_trees(header, len(trees), name) if header.averages else 1
    if header.averages and link in ("margin", "identity"):  # then sums are shares
        link = {"margin": "probability", "identity": "average"}[link] if classifies else link
    base = [score * divisor for score in header.base_scores]  # they are added once sums are divided
    if is_binary:  # the one sum is the second class's
        base = [0.5 * divisor if link == "probability" else 0.0, *base]
        trees = [tree.shift_output(1) for tree in trees]
    joined = join_trees(columns, trees, name)
    labels = np.arange(len(base)) if classifies else None
    program = make_program(
        joined, [str(i) for i in range(len(base))], decision=Decision.of_sums(classify=classifies), base=base
    )
    return RuleModel(
        program,
        "treelite model",
        labels,
        link=link,
        divisor=float(divisor),
        scale=_read_scale(header),
        named=False,
        leaves=number_leaves(joined, trees, "int64"),
    )


def _import_model(source: Any) -> Any:
    """The object as a `treelite.Model`."""
    package = type(source).__module__.split(".")[0]
    if package == "treelite":
        return source
    try:
        treelite = import_module("treelite")
        importers = {"sklearn": import_module("treelite.sklearn").import_model}
    except ImportError as error:
        raise ModelError("turning this to treelite needs the package 'treelite': pip install treelite") from error
    importers |= {"xgboost": treelite.frontend.from_xgboost, "lightgbm": treelite.frontend.from_lightgbm}
    if package not in importers:
        raise ModelError(f"treelite takes no {package} {type(source).__name__}")
    booster = source.get_booster() if hasattr(source, "get_booster") else getattr(source, "booster_", source)
    try:
        return importers[package](booster)
    except treelite.TreeliteError as error:
        raise ModelError(f"treelite can't take this {type(source).__name__}: {error}") from error


def _read_scale(header: Header) -> float:
    if header.postprocessor in ("sigmoid", "multiclass_ova"):
        return header.sigmoid_alpha
    return -log(2) / header.ratio_c if header.postprocessor == "exponential_standard_ratio" else 1.0


def _count_trees(header: Header, n_trees: int, name: str) -> int:
    """How many trees each output is the average of."""
    counts = np.zeros(header.n_outputs, np.int64)
    for output in header.outputs:
        counts[slice(None) if output is None else output] += 1
    if n_trees and counts.min() != counts.max():
        raise ModelError(f"{name}: averages over different numbers of trees")
    return max(1, int(counts.max(initial=1)))
