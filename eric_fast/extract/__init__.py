"""Extract: trees over the bits of one layer become rules for the kernels of the next and for the classes."""

from eric_fast.extract.fold import FoldLimits, learn_decision_list
from eric_fast.extract.fold_rules import flatten_list, name_exceptions
from eric_fast.extract.label_rules import check_label_options
from eric_fast.extract.layer import GROWN_LITERALS, GROWN_RULES
from eric_fast.extract.options import GROWN_ON, ExtractOptions, TreeOptions, complete_options, parse_count
from eric_fast.extract.presets import PRESETS, apply_preset
from eric_fast.extract.program import extract_program
from eric_fast.extract.tree import Leaf, find_ends, grow_trees, list_leaves
from eric_fast.extract.weight_options import WeightOptions

__all__ = [
    "GROWN_LITERALS",
    "GROWN_ON",
    "GROWN_RULES",
    "PRESETS",
    "ExtractOptions",
    "FoldLimits",
    "Leaf",
    "TreeOptions",
    "WeightOptions",
    "apply_preset",
    "check_label_options",
    "complete_options",
    "extract_program",
    "find_ends",
    "flatten_list",
    "grow_trees",
    "learn_decision_list",
    "list_leaves",
    "name_exceptions",
    "parse_count",
]
