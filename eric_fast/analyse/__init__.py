"""Analyse: key kernels, what they build on, and the sub-classes that rules find, counted on packed bits."""

from eric_fast.analyse.effects import Answers, Effect, Effects, measure_effects
from eric_fast.analyse.relations import Coactivation, Links, Pair, list_links, measure_coactivation
from eric_fast.analyse.sets import find_fires, pack_classes

__all__ = [
    "Answers",
    "Coactivation",
    "Effect",
    "Effects",
    "Links",
    "Pair",
    "find_fires",
    "list_links",
    "measure_coactivation",
    "measure_effects",
    "pack_classes",
]
