"""Packages that tests compare with and the product doesn't need: skipped where they lack, but not in CI."""

import importlib
import os
import warnings
from typing import Any

import pytest


def import_optional(name: str) -> Any:
    """The module, or a skipped test; an error in CI, where everything is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a package deprecates while it is imported is not ours
        try:
            return importlib.import_module(name)
        except ImportError:
            if os.environ.get("CI"):
                raise
    return pytest.skip(f"{name} isn't installed", allow_module_level=True)
