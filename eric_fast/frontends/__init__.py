"""Other tools' rules and trees as programs: one file for each source, each giving a `RuleModel`.

Each of `SOURCES` is a module with `matches(source)`, which says at no cost and without its optional package whether an
object or a file is its own, and `load_source(source)`, which makes the `RuleModel`.
"""

from importlib import import_module
from typing import Any

from eric_fast.errors import ModelError
from eric_fast.frontends.model import RuleModel

__all__ = ["RuleModel", "load"]

SOURCES: tuple[str, ...] = ("scikit_learn", "xgboost", "lightgbm", "catboost", "onnx", "treelite")


def load(source: Any) -> RuleModel:
    """What another tool learned, an object or a file, as a `RuleModel`; `RuleModel.source` says what it was taken for.

    Raises:
        ModelError: nothing that is known. ProgramError: a file that is wrong, and where.
    """
    for name in SOURCES:
        module = import_module(f"eric_fast.frontends.{name}")
        if module.matches(source):
            model: RuleModel = module.load_source(source)
            return model
    what = f"file {source}" if isinstance(source, str) else f"a {type(source).__module__}.{type(source).__name__}"
    raise ModelError(f"{what} is nothing that can be loaded")
