"""scikit-learn's pipelines and meta-estimators: the same object, with the tree models in it replaced by `RuleModel`s.

So everything else, such as scaling, encoding, voting, stacking and calibration, stays scikit-learn's own code.
"""

import copy
from collections.abc import Callable
from typing import Any

from eric_fast.errors import ModelError

# Class -> the attributes that hold fitted models, or lists, pairs or dictionaries of them
FITTED_PARTS = {
    "Pipeline": ("steps",),
    **dict.fromkeys(("StackingClassifier", "StackingRegressor"), ("estimators_", "final_estimator_")),
    **dict.fromkeys(
        (
            *("VotingClassifier", "VotingRegressor", "OneVsRestClassifier", "OneVsOneClassifier"),
            *("OutputCodeClassifier", "MultiOutputClassifier", "MultiOutputRegressor"),
            *("ClassifierChain", "RegressorChain"),
        ),
        ("estimators_",),
    ),
    "CalibratedClassifierCV": ("calibrated_classifiers_",),
    "_CalibratedClassifier": ("estimator",),
    "FrozenEstimator": ("estimator",),
    **dict.fromkeys(("FixedThresholdClassifier", "TunedThresholdClassifierCV"), ("estimator_",)),
    "TransformedTargetRegressor": ("regressor_",),
    **dict.fromkeys(
        ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"), ("best_estimator_",)
    ),
}


def replace_trees(source: Any, convert: Callable[[Any], Any | None]) -> Any:
    """A copy of a fitted pipeline or meta-estimator with its tree models replaced; it shares all else.

    Args:
        convert: gives the `RuleModel` of an object; None if it is no tree model.

    Raises:
        ModelError: it is not fitted, or holds no tree model.
    """
    name = type(source).__name__
    missing = [attribute for attribute in FITTED_PARTS[name] if not hasattr(source, attribute)]
    if missing:
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    replaced, count = _replace(source, convert)
    if not count:
        raise ModelError(f"the {name} holds no fitted model of trees, so there is nothing to convert")
    return replaced


def _replace(value: Any, convert: Callable[[Any], Any | None]) -> tuple[Any, int]:
    """The value with the models in it replaced, and their number."""
    if isinstance(value, dict):
        pairs = {key: _replace(part, convert) for key, part in value.items()}
        return {key: part for key, (part, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list | tuple):
        parts = [_replace(part, convert) for part in value]
        return type(value)([part for part, _ in parts]), sum(count for _, count in parts)
    attributes = FITTED_PARTS.get(type(value).__name__, ()) if type(value).__module__.startswith("sklearn.") else ()
    if not attributes:
        model = convert(value)
        return (value, 0) if model is None else (model, 1)
    changed, n_replaced = copy.copy(value), 0
    for attribute in attributes:
        part, count = _replace(getattr(value, attribute), convert)
        setattr(changed, attribute, part)
        n_replaced += count
    return changed, n_replaced
