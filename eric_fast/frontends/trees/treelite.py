"""treelite: models of any origin, and checkpoint files. The package is needed only to convert other libraries' models.

treelite adds float32 leaves up in float32, this package in float64; so scores differ by treelite's rounding.
"""

import struct
from math import log
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd, is_from, peek_file
from eric_fast.frontends.trees.tree_model import make_tree_model, name_columns
from eric_fast.frontends.trees.treelite_trees import CheckpointHeader, read_checkpoint
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file

_BINARY, _MULTICLASS = 0, 2  # treelite.TaskType


class _Link(NamedTuple):
    """The link functions of a postprocessor (see LINKS), by task; empty if it has no meaning there."""

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


def _matches(source: Any) -> bool:
    """Whether it is a `treelite.Model`, or a checkpoint file of treelite 4."""
    if is_from(source, "treelite"):
        return type(source).__name__ == "Model"
    start = peek_file(source, 14)
    if len(start) < 14:
        return False
    major, minor, patch, thresholds, leaves = struct.unpack("<iiiBB", start)
    return major == 4 and 0 <= minor < 1000 and 0 <= patch < 1000 and thresholds in (2, 3) and leaves in (2, 3)


def from_treelite(source: Any) -> RuleModel:
    """A treelite model as a program.

    For a classifier `predict` gives classes, 0, 1, ..., and `predict_proba` gives what `treelite.gtil.predict` does, or
    `decision_function` if scores are not probabilities. For other models `predict` gives that, without dimensions of
    one. `apply` gives what `treelite.gtil.predict_leaf` does.

    Args:
        source: a `treelite.Model`; the path of its checkpoint (`Model.serialize`); or a model of XGBoost, LightGBM or
            scikit-learn, which treelite converts.

    Raises:
        ModelError: the `treelite` package is needed but missing; several targets that are classes; an unknown
            postprocessor. ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> import treelite
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> forest = RandomForestClassifier(5, random_state=0).fit(rows, labels)
        >>> model = ef.from_treelite(treelite.sklearn.import_model(forest))
        >>> bool((model.predict(rows) == forest.predict(rows)).all())
        True
    """
    if isinstance(source, str | PathLike):
        return read_treelite(read_file(source), str(source))
    return read_treelite(_import_model(source).serialize_bytes(), "treelite model")


def read_treelite(data: bytes, name: str) -> RuleModel:
    """The model in a checkpoint's bytes; see `from_treelite`. `name` is what errors call the file."""
    header, trees = read_checkpoint(data, name)
    names = name_columns([], header.n_features, len(data), name)
    columns = [Column(column, "float32" if header.thresholds is np.float32 else "float64") for column in names]
    classifies = header.task in (_BINARY, _MULTICLASS)
    is_binary = classifies and header.n_outputs == 1
    if classifies and len(header.n_classes) > 1:
        raise ModelError(f"{name}: {len(header.n_classes)} targets that are classes; train a model for each")
    known = _LINKS.get(header.postprocessor)
    if is_binary and known and not known.binary:  # what a score becomes is no probability
        classifies = is_binary = False
    link = known and (known.binary if is_binary else known.classes if classifies else known.sums)
    if not link:
        raise ModelError(f"{name}: postprocessor '{header.postprocessor}' is not supported for this task")
    divisor = _count_trees(header, len(trees), name) if header.averages else 1
    if header.averages and link in ("margin", "identity"):  # then sums are shares
        link = {"margin": "probability", "identity": "average"}[link] if classifies else link
    base = [score * divisor for score in header.base_scores]  # treelite adds them after it divides
    return make_tree_model(
        "treelite model",
        columns,
        trees,
        name,
        n_outputs=len(base),
        labels=np.arange(2 if is_binary else len(base)) if classifies else None,
        base=base,
        threshold=0.5 * divisor if link == "probability" else 0.0,
        leaf_dtype="int64",
        link=link,
        divisor=float(divisor),
        scale=_read_scale(header),
        named=False,
    )


def _import_model(source: Any) -> Any:
    """The object as a `treelite.Model`."""
    package = type(source).__module__.split(".")[0]
    if package == "treelite":
        return source
    try:
        import treelite
        import treelite.sklearn
    except ImportError as error:
        raise ModelError("converting this needs the package 'treelite': pip install treelite") from error
    importers = {
        "sklearn": treelite.sklearn.import_model,
        "xgboost": treelite.frontend.from_xgboost,
        "lightgbm": treelite.frontend.from_lightgbm,
    }
    if package not in importers:
        raise ModelError(f"treelite can't convert a {package} {type(source).__name__}")
    booster = source.get_booster() if hasattr(source, "get_booster") else getattr(source, "booster_", source)
    try:
        return importers[package](booster)
    except treelite.TreeliteError as error:
        raise ModelError(f"treelite can't convert this {type(source).__name__}: {error}") from error


def _read_scale(header: CheckpointHeader) -> float:
    if header.postprocessor in ("sigmoid", "multiclass_ova"):
        return header.sigmoid_alpha
    return -log(2) / header.ratio_c if header.postprocessor == "exponential_standard_ratio" else 1.0


def _count_trees(header: CheckpointHeader, n_trees: int, name: str) -> int:
    """How many trees each output is the average of."""
    counts = np.zeros(header.n_outputs, np.int64)
    for output in header.outputs:
        counts[slice(None) if output is None else output] += 1
    if n_trees and counts.min() != counts.max():
        raise ModelError(f"{name}: its outputs average different numbers of trees, which is not supported")
    return max(1, int(counts.max(initial=1)))


TREELITE = FrontEnd("treelite", _matches, from_treelite)
