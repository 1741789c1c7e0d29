"""`ProgramClassifier`: what scikit-learn estimators that learn programs have in common."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from eric_fast.kernels import expect
from eric_fast.program import Program
from eric_fast.program.confidence import Confidences
from eric_fast.program.words import describe_class_rule
from eric_fast.table.model import RuleModel

if TYPE_CHECKING:
    import pandas


class NamedClasses(NamedTuple):
    """Labels as a program's classes.

    Attributes:
        labels: `[n_classes]`, ascending.
        names: what the program calls them, all different.
        target: int64 `[n_samples]`, indices of classes.
        are_names: whether the names spell the labels; else labels that read alike were numbered.
    """

    labels: NDArray[Any]
    names: list[str]
    target: NDArray[np.int64]
    are_names: bool


class ProgramClassifier(ClassifierMixin, BaseEstimator):
    """What scikit-learn estimators have in common that learn a program over a table.

    `fit` sets `program_`, `classes_` and `counts_`.
    """

    program_: Program
    classes_: NDArray[Any]
    counts_: NDArray[np.int64]
    engine: str

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The class of each row, `[n_samples]`."""
        data = self._check(X)
        answers: NDArray[Any] = self.classes_[self._load_model().predict_indices(data)]
        return answers

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities of classes, float64 `[n_samples, n_classes]`.

        Those of a row are the shares of the classes among the training samples that its rule decides: a row of
        `counts_`, divided by its sum, as a decision tree of scikit-learn has them.
        """
        data = self._check(X)
        counts = self.counts_[find_rules(self._load_model(), data)]
        shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
        return shares

    def predict_confidence(self, X: ArrayLike) -> Confidences:  # noqa: N803
        """How sure the rule is that decides each row, with its 95 % interval (Wilson)."""
        return self._load_model().predict_confidence(self._check(X))

    def list_rules(self, *, of: str = "classes") -> "pandas.DataFrame":
        """The rules as a data frame; see `Program.list_rules`."""
        check_is_fitted(self)
        return self.program_.list_rules(of=of)

    @property
    def rules_(self) -> list[str]:
        check_is_fitted(self)
        return [describe_class_rule(self.program_, number) for number in range(1, len(self.program_.class_rules) + 1)]

    def _check(self, X: ArrayLike) -> Any:  # noqa: N803
        check_is_fitted(self)
        features: NDArray[np.float32] = validate_data(self, X, dtype=np.float32, reset=False)
        return features

    def _name_columns(self) -> list[str]:
        if hasattr(self, "feature_names_in_"):
            names: list[str] = self.feature_names_in_.tolist()
            return names
        return [f"x{i}" for i in range(self.n_features_in_)]

    def _wrap_program(self, program: Program, are_names: bool, values: str = "finite") -> RuleModel:
        return RuleModel(
            program,
            type(self).__name__,
            self.classes_ if are_names else None,
            values=values,
            named=hasattr(self, "feature_names_in_"),
        )

    def _load_model(self) -> RuleModel:
        return RuleModel.from_program(self.program_, engine=self.engine)


def name_classes(labels: NDArray[Any]) -> NamedClasses:
    """The classes of training labels, `[n_samples]`."""
    classes, target = np.unique(labels, return_inverse=True)
    names = [str(label) for label in classes.tolist()]
    are_names = len(set(names)) == len(names) and all(names)
    if not are_names:  # numbers keep labels apart that read alike
        names = [f"{name} ({i})" for i, name in enumerate(names)]
    return NamedClasses(classes, names, target.astype(np.int64), are_names)


def find_rules(model: RuleModel, data: Any) -> NDArray[np.int32]:
    """int32 `[n_samples]`: the rule that decides each row, counted from 0; -1 where none does."""
    rules: NDArray[np.int32] = expect(model.evaluate(data, rules=True).rules).numpy()
    return rules
