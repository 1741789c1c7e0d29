"""Analyse a program on images: key kernels, the links between kernels, and the sub-classes that rules find."""

from eric_fast.analyse.concepts import ConceptShares, measure_concepts
from eric_fast.analyse.effects import Answers, Effect, Effects, measure_effects
from eric_fast.analyse.masks import MaskFolder
from eric_fast.analyse.relations import Coactivation, Links, Pair, list_links, measure_coactivation
from eric_fast.analyse.sets import pack_classes
from eric_fast.analyse.study import LEAST_PHI, N_STRONGEST, Analysis, analyse_bits, analyse_program
from eric_fast.analyse.subclasses import Subclass, Subclasses, measure_subclasses
from eric_fast.analyse.symbolic import Symbol, find_strongest, list_symbols

__all__ = [
    "LEAST_PHI",
    "N_STRONGEST",
    "Analysis",
    "Answers",
    "Coactivation",
    "ConceptShares",
    "Effect",
    "Effects",
    "Links",
    "MaskFolder",
    "Pair",
    "Subclass",
    "Subclasses",
    "Symbol",
    "analyse_bits",
    "analyse_program",
    "find_strongest",
    "list_links",
    "list_symbols",
    "measure_coactivation",
    "measure_concepts",
    "measure_effects",
    "measure_subclasses",
    "pack_classes",
]
