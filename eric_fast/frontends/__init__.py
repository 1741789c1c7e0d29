"""Other tools' rules and trees as programs: one file for each source, each giving a `RuleModel`.

Each of `SOURCES` is a module with `matches(source)`, which says at no cost and without its optional package whether an
object or a file is its own, and `load_source(source)`, which makes the `RuleModel`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from eric_fast.errors import ModelError
from eric_fast.frontends.files import is_pickled, read_head
from eric_fast.table.model import RuleModel

__all__ = ["RuleModel", "load"]

# In this order: text that others may take for theirs comes last.
SOURCES: tuple[str, ...] = (
    *("trees.scikit_learn", "trees.xgboost", "trees.lightgbm", "trees.catboost", "trees.onnx", "trees.treelite"),
    *("rules.imodels", "gates.logic_network", "gates.circuit", "rules.program_text", "rules.asp"),
)


def load(source: Any) -> RuleModel:
    """What another tool learned, an object or a file, as a `RuleModel`; `RuleModel.source` says what it was taken for.

    What a file holds decides, whatever it is called. Nothing is unpickled.

    Args:
        source: a path, a model of another library, or a text with rules.

    Raises:
        ModelError: nothing that is known, or a pickled file. ProgramError: a file that is wrong, and where.
    """
    is_path = isinstance(source, Path) or (isinstance(source, str) and ":-" not in source)
    if is_path and is_pickled(source):
        raise ModelError(
            f"{source} is pickled, and unpickling runs code that is in the file: load it where you trust it, "
            "and give the object to eric_fast.load, or save it in its library's own format"
        )
    for name in SOURCES:
        module = import_module(f"eric_fast.frontends.{name}")
        if module.matches(source):
            model: RuleModel = module.load_source(source)
            return model
    if is_path and read_head(source) is None:
        raise ModelError(f"{source} can't be read; give the path of a file")
    what = f"the file {source}" if is_path else f"a {type(source).__module__}.{type(source).__name__}"
    raise ModelError(f"{what} is no model or program that can be loaded")
