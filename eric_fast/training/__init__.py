"""Training images: what programs are learned from, and what is chosen on those of them that are held back."""

from eric_fast.training.alternative import Alternative, measure_weight_rules
from eric_fast.training.choose import choose_options, say_grid
from eric_fast.training.prepare import find_logits, find_quantiser, select_training

__all__ = [
    "Alternative",
    "choose_options",
    "find_logits",
    "find_quantiser",
    "measure_weight_rules",
    "say_grid",
    "select_training",
]
