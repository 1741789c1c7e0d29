"""`EricClassifier`: thresholds, trees and rules behind scikit-learn's interface."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from eric_fast.extract import TreeOptions
from eric_fast.runs import approximate_model, predict_activations
from eric_fast.store.activations import Activations, CaptureSettings

LAYER = "features"


class EricClassifier(ClassifierMixin, BaseEstimator):
    """A logic program over one threshold per feature, as an estimator.

    `X` is float `[n_samples, n_features]`: norms of kernels, or any numeric features; it is compared in float32.

    Args:
        threshold: see `parse_threshold`; `mean` by default.
        criterion: `entropy` or `gini`.
        max_depth: literals in a rule at most.
        min_leaf: samples that a rule covers at least: a number (int) or a share of them (float).
        max_rules: rules at most.
        engine: see `predict_bits`.

    Attributes:
        program_: the extracted `Program`; its layer is called `features`.
        classes_: the classes, in the order of the program's.
        n_features_in_: features seen during `fit`.
    """

    def __init__(
        self,
        threshold: str | float = "mean",
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
        self.classes_, target = np.unique(labels, return_inverse=True)
        options = TreeOptions(self.criterion, self.max_depth, self.min_leaf, self.max_rules)
        activations = self._wrap(features, target)
        self.program_ = approximate_model(activations, threshold=str(self.threshold), target="label", options=options)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The class of each row, `[n_samples]`: every row is in a leaf of the tree, so some rule always fires."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float32, reset=False)
        activations = self._wrap(features, np.zeros(len(features), np.int64))
        predictions = predict_activations(self.program_, activations, engine=self.engine)
        answers: NDArray[Any] = self.classes_[predictions.classes.numpy()]
        return answers

    def _wrap(self, features: NDArray[np.float32], target: NDArray[np.int64]) -> Activations:
        labels = torch.from_numpy(target.astype(np.int64))
        classes = [str(label) for label in self.classes_.tolist()]
        if len(set(classes)) < len(classes) or not all(classes):  # labels that read alike: numbers keep them apart
            classes = [f"{name} ({i})" for i, name in enumerate(classes)]
        return Activations(
            norms={LAYER: torch.from_numpy(np.ascontiguousarray(features))},
            ids=[str(i) for i in range(len(features))],
            labels=labels,
            predictions=labels,
            classes=tuple(classes),
            settings=CaptureSettings(model="EricClassifier", fingerprint="", data="array"),
        )
