"""All front ends, and `load`, which finds the one for a model."""

from os import PathLike
from pathlib import Path
from typing import Any

from eric_fast.errors import ModelError
from eric_fast.frontends.files import is_rule_text
from eric_fast.frontends.gates.circuit import CIRCUIT
from eric_fast.frontends.gates.logic_network import LOGIC_NETWORK
from eric_fast.frontends.rules.asp import ASP
from eric_fast.frontends.rules.imodels import IMODELS
from eric_fast.frontends.rules.program_text import PROGRAM_TEXT
from eric_fast.frontends.trees.catboost import CATBOOST
from eric_fast.frontends.trees.lightgbm import LIGHTGBM
from eric_fast.frontends.trees.onnx import ONNX
from eric_fast.frontends.trees.rounds import Rounds
from eric_fast.frontends.trees.scikit_learn import SCIKIT_LEARN
from eric_fast.frontends.trees.treelite import TREELITE
from eric_fast.frontends.trees.xgboost import XGBOOST
from eric_fast.frontends.untaken import describe_untaken
from eric_fast.table.model import RuleModel

# The first that matches is used. The text formats come last because their patterns match most loosely.
FRONT_ENDS = (
    *(SCIKIT_LEARN, XGBOOST, LIGHTGBM, CATBOOST, ONNX, TREELITE, IMODELS, LOGIC_NETWORK, CIRCUIT),
    *(PROGRAM_TEXT, ASP),
)


def load(source: Any, *, n_rounds: Rounds = None) -> RuleModel:
    """Convert what another tool learned to a `RuleModel`; `RuleModel.source` says what it was taken for.

    A file is recognised by its contents; only `.onnx` and `.blif` files are recognised by name. Nothing is unpickled.

    Args:
        source: a path, a fitted model of another library, or a text with rules.
        n_rounds: of XGBoost, LightGBM and CatBoost: how many boosting rounds to use, or `best` or `all`; by default
            those that the source's own `predict` uses.

    Raises:
        ModelError: an unknown kind of model, or a pickled file; `n_rounds` for a model without rounds.
        ProgramError: an invalid file; the error says where.
    """
    is_path = isinstance(source, str | PathLike) and not is_rule_text(source)
    if is_path and (what := describe_untaken(source)) is not None:
        raise ModelError(f"{source} {what}")
    for kind in FRONT_ENDS:
        if kind.matches(source):
            if n_rounds is None:
                return kind.load(source)
            if not kind.has_rounds:
                raise ModelError(f"a model of {kind.name} has no boosting rounds to choose from: leave n_rounds out")
            return kind.load(source, n_rounds=n_rounds)
    if is_path and not Path(source).is_file():
        raise ModelError(f"{source} can't be read; give the path of a file")
    what = f"the file {source}" if is_path else f"a {type(source).__module__}.{type(source).__name__}"
    known = ", ".join(kind.name for kind in FRONT_ENDS)
    raise ModelError(f"{what} is no model or program that can be loaded; eric_fast.load takes: {known}")
