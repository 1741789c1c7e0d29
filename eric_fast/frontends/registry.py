"""All front ends, and `load`, which finds the one for a model."""

from os import PathLike
from pathlib import Path
from typing import Any, overload

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd, is_from, is_rule_text
from eric_fast.frontends.gates.circuit import CIRCUIT
from eric_fast.frontends.gates.logic_network import LOGIC_NETWORK
from eric_fast.frontends.rules.asp import ASP, PROGRAM_TEXT
from eric_fast.frontends.rules.foldrm import FOLDRM
from eric_fast.frontends.rules.imodels import IMODELS
from eric_fast.frontends.trees.catboost import CATBOOST
from eric_fast.frontends.trees.composites import FITTED_PARTS, replace_trees
from eric_fast.frontends.trees.lightgbm import LIGHTGBM
from eric_fast.frontends.trees.onnx import ONNX
from eric_fast.frontends.trees.rounds import Rounds
from eric_fast.frontends.trees.scikit_learn import SCIKIT_LEARN, is_tree_model
from eric_fast.frontends.trees.treelite import TREELITE
from eric_fast.frontends.trees.xgboost import XGBOOST
from eric_fast.frontends.untaken import describe_untaken
from eric_fast.table.model import RuleModel

# The first that matches is used. The text formats come last because their patterns match most loosely.
FRONT_ENDS = (
    *(SCIKIT_LEARN, XGBOOST, LIGHTGBM, CATBOOST, ONNX, TREELITE, IMODELS, FOLDRM, LOGIC_NETWORK, CIRCUIT),
    *(PROGRAM_TEXT, ASP),
)


@overload
def load(source: str | PathLike[str], *, n_rounds: Rounds = None) -> RuleModel: ...
@overload
def load(source: Any, *, n_rounds: Rounds = None) -> RuleModel | Any: ...
def load(source: Any, *, n_rounds: Rounds = None) -> RuleModel | Any:
    """Convert what another tool learned to a `RuleModel`; `RuleModel.source` says what it was taken for.

    A pipeline or meta-estimator of scikit-learn, such as a `VotingClassifier`, a search or a calibrated classifier, is
    returned as a copy of itself in which the tree models are `RuleModel`s; all else in it stays scikit-learn's.

    A file is recognised by its contents; only `.onnx` and `.blif` files are recognised by name. Nothing is unpickled.

    Args:
        source: a path, a fitted model of another library, or a text with rules.
        n_rounds: of XGBoost, LightGBM and CatBoost: how many boosting rounds to use, or `best` or `all`; by default
            those that the source's own `predict` uses.

    Raises:
        ModelError: an unknown kind of model, or a pickled file; `n_rounds` for a model without rounds.
        ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> rows, labels = load_iris(return_X_y=True)
        >>> forest = RandomForestClassifier(10, random_state=0).fit(rows, labels)
        >>> fast = ef.load(forest)
        >>> fast.source, bool((fast.predict(rows) == forest.predict(rows)).all())
        ('scikit-learn RandomForestClassifier', True)
    """
    is_path = isinstance(source, str | PathLike) and not is_rule_text(source)
    if is_path:
        _refuse_untaken(source)
    if is_from(source, "sklearn") and type(source).__name__ in FITTED_PARTS:
        return replace_trees(source, _convert_part)
    kind = _find_kind(source)
    if kind is not None and n_rounds is None:
        return kind.load(source)
    if kind is not None:
        if not kind.has_rounds:
            raise ModelError(f"a model of {kind.name} has no boosting rounds to choose from: leave n_rounds out")
        return kind.load(source, n_rounds=n_rounds)
    if is_path and not Path(source).is_file():
        raise ModelError(f"{source} can't be read; give the path of a file")
    what = f"the file {source}" if is_path else f"a {type(source).__module__}.{type(source).__name__}"
    known = ", ".join(kind.name for kind in FRONT_ENDS)
    raise ModelError(f"{what} is not a model or program that can be loaded; eric_fast.load takes: {known}")


def check_is_text(path: str | PathLike[str]) -> None:
    """Refuse a file of another kind than a program's text, before it is read as one.

    Raises:
        ModelError: it is another tool's model, or a file that isn't taken; with what to do instead.
    """
    _refuse_untaken(path)
    kind = _find_kind(path)
    if kind not in (PROGRAM_TEXT, ASP, None):
        raise ModelError(
            f"{path} is a file of {kind.name}, not a program's text; convert it first: "
            f"eric-fast convert {path} -o program.lp"
        )


def _find_kind(source: Any) -> FrontEnd | None:
    return next((kind for kind in FRONT_ENDS if kind.matches(source)), None)


def _refuse_untaken(path: str | PathLike[str]) -> None:
    """Raise ModelError for a file that no front end takes, with what to do instead."""
    if (what := describe_untaken(path)) is not None:
        raise ModelError(f"{path} {what}")


def _convert_part(part: Any) -> RuleModel | None:
    """The model of an object in a pipeline or meta-estimator; None if no front end takes it."""
    kind = None if isinstance(part, str | bytes) else _find_kind(part)
    if kind is None or (kind is SCIKIT_LEARN and not is_tree_model(part)):
        return None
    model: RuleModel = kind.load(part)
    return model
