"""`EricClassifier`: thresholds, trees and rules behind scikit-learn's interface."""

from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from eric_fast.extract import TreeOptions
from eric_fast.program import Column, Program, TableAtom, TableQuantiser
from eric_fast.runs import approximate_model
from eric_fast.store.activations import Activations, CaptureSettings
from eric_fast.table.program_classifier import ProgramClassifier, find_rules, name_classes


class EricClassifier(ProgramClassifier):
    """A decision list over one threshold per feature, as a scikit-learn estimator.

    `X` is float `[n_samples, n_features]`, or a frame; its values are compared in float32, and must be finite.

        model = EricClassifier(min_leaf=5).fit(X, y)
        save_program(model.program_, "iris.lp")
        load("iris.lp").predict(X)   # the same classes

    Args:
        threshold: see `parse_threshold`; `split` by default.
        criterion: `entropy` or `gini`.
        max_depth: the most literals in a rule.
        min_leaf: the fewest samples that a rule covers: a number (int) or a share of them (float).
        max_rules: the most rules.
        engine: see `predict_bits`.

    Attributes:
        program_: the extracted `Program` over the columns of a table; atoms are named after the features.
        rules_: list of str: each rule in words.
        classes_: `[n_classes]`: the classes, in the order of the program's.
        counts_: int64 `[n_rules, n_classes]`: the training samples that each rule decides, by class.
        n_features_in_: the number of features seen during `fit`.
        feature_names_in_: their names, if `X` had names that are all strings; else the program calls them `x0`, `x1`.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> model = ef.EricClassifier(min_leaf=5).fit(rows, labels)
        >>> ef.save_program(model.program_, "iris.lp")
        >>> bool((ef.load("iris.lp").predict(rows) == model.predict(rows)).all())
        True
    """

    def __init__(
        self,
        threshold: str | float = "split",
        *,
        criterion: str = "entropy",
        max_depth: int | None = None,
        min_leaf: int | float = 0.01,
        max_rules: int | None = None,
        engine: str = "auto",
    ) -> None:
        self.threshold = threshold
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_leaf = min_leaf
        self.max_rules = max_rules
        self.engine = engine

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Fit thresholds and rules. `y` is `[n_samples]`: labels, or what a model predicts.

        Raises:
            EricError: a parameter without meaning, or one class only. ValueError: what scikit-learn refuses.
        """
        features, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        self.classes_, classes, target, are_names = name_classes(labels)
        options = TreeOptions(self.criterion, self.max_depth, self.min_leaf, self.max_rules)
        activations = _wrap(features, target, classes)
        program = approximate_model(activations, threshold=str(self.threshold), target="label", options=options)
        model = self._wrap_program(_move_to_table(program, self._name_columns()), are_names)
        self.program_ = model.program
        self.counts_ = np.zeros((len(program.class_rules), len(classes)), np.int64)
        np.add.at(self.counts_, (find_rules(model, features), target), 1)
        return self


def _wrap(features: NDArray[np.float32], target: NDArray[np.int64], classes: list[str]) -> Activations:
    """Features as the norms of one layer's kernels, which thresholds and trees are fitted to."""
    labels = torch.from_numpy(target)
    return Activations(
        norms={"features": torch.from_numpy(np.ascontiguousarray(features))},
        ids=[str(i) for i in range(len(features))],
        labels=labels,
        predictions=labels,
        classes=tuple(classes),
        settings=CaptureSettings(model="EricClassifier", fingerprint="", data="array", norm="mean"),
    )


def _move_to_table(program: Program, names: list[str]) -> Program:
    """The program with its kernels' norms as the columns of a table, without what it says of a network."""
    atoms = program.network_quantiser.atoms
    compared = tuple(TableAtom(atom.column, names[atom.column], atom.operator, atom.constant) for atom in atoms)
    columns = tuple(Column(name, "float32") for name in names)
    settings = tuple(pair for pair in program.settings if pair[0] not in ("model", "dtype", "preprocessing"))
    return replace(program, quantiser=TableQuantiser(compared, columns), settings=settings)
