"""Extract: trees over the bits of one layer become rules for the kernels of the next and for the classes."""

from eric_fast.extract.chain import extract_program
from eric_fast.extract.tree import Leaf, TreeOptions, grow_trees, list_leaves, parse_min_leaf

__all__ = ["Leaf", "TreeOptions", "extract_program", "grow_trees", "list_leaves", "parse_min_leaf"]
