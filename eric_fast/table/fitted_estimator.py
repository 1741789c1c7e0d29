"""`FittedEstimator`: scikit-learn's interface to a model that is fitted already."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from eric_fast.table.model_fields import ModelFields

if TYPE_CHECKING:
    from sklearn.utils import Tags


class FittedEstimator(ModelFields):
    """What pipelines, scorers and searches ask of an estimator, besides its answers."""

    @abstractmethod
    def predict(self, data: Any) -> NDArray[Any]:
        """The answers, `[n_rows]` or `[n_rows, n_outputs]`."""

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, `[n_classes]`."""
        if not self.program.decision.gives_class:
            raise AttributeError(f"{self.source} has no classes")
        return np.asarray(self.program.classes if self.labels is None else self.labels)

    @property
    def n_features_in_(self) -> int:
        return len(self.program.table_quantiser.columns)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The columns' names, object `[n_features]`. AttributeError if the source was given none."""
        if not self.named:
            raise AttributeError(f"{self.source} has no feature names")
        return np.array([column.name for column in self.program.table_quantiser.columns], object)

    @property
    def n_outputs_(self) -> int:
        """The number of values that `predict` gives for a row; 1 for a class."""
        if self.program.decision.gives_bits:
            return len(self.program.outputs)
        has_many = self.program.decision.gives_sums or self.program.decision.gives_labels
        return len(self.program.classes) if has_many else 1

    def score(self, data: Any, truth: Any, sample_weight: Any = None) -> float:
        """The accuracy of a classifier, or the R2 of a regression, as in scikit-learn."""
        from sklearn.metrics import accuracy_score, r2_score  # loads when it is needed

        measure = r2_score if self.program.decision.gives_sums else accuracy_score
        return float(measure(truth, self.predict(data), sample_weight=sample_weight))

    def fit(self, data: Any, truth: Any = None) -> Self:
        """Change nothing, as scikit-learn's `FrozenEstimator` does, so that pipelines and searches take the model."""
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """No parameters that a search could change."""
        return {}

    def __sklearn_clone__(self) -> Self:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> "Tags":
        """For scikit-learn's scorers: whether this is a classifier."""
        from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags  # is loaded, as it asks

        if not (self.program.decision.gives_class or self.program.decision.gives_labels):
            return Tags("regressor", TargetTags(required=False), regressor_tags=RegressorTags())
        return Tags("classifier", TargetTags(required=False), classifier_tags=ClassifierTags())
