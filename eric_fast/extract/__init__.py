"""Extract: trees over the bits of one layer become rules for the kernels of the next and for the classes."""

from eric_fast.extract.chain import GROWN_LITERALS, GROWN_RULES, LayerRules, extract_program, grow_layer
from eric_fast.extract.tree import Leaf, TreeOptions, find_ends, grow_trees, list_leaves, parse_count

__all__ = [
    "GROWN_LITERALS",
    "GROWN_RULES",
    "LayerRules",
    "Leaf",
    "TreeOptions",
    "extract_program",
    "find_ends",
    "grow_layer",
    "grow_trees",
    "list_leaves",
    "parse_count",
]
