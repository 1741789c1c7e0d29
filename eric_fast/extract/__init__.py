"""Extract: trees over the bits of one layer become rules for the kernels of the next and for the classes."""

from eric_fast.extract.chain import (
    GROWN_LITERALS,
    GROWN_RULES,
    LayerRules,
    check_target,
    extract_program,
    grow_classes,
    grow_layer,
    list_sizes_grown,
)
from eric_fast.extract.tree import Leaf, TreeOptions, find_ends, grow_trees, list_leaves, parse_count

__all__ = [
    "GROWN_LITERALS",
    "GROWN_RULES",
    "LayerRules",
    "Leaf",
    "TreeOptions",
    "check_target",
    "extract_program",
    "find_ends",
    "grow_classes",
    "grow_layer",
    "grow_trees",
    "list_leaves",
    "list_sizes_grown",
    "parse_count",
]
