"""Quantise: norms to bits, with one threshold per kernel fitted on training images."""

from eric_fast.quantise.fit import MOST_VALUES, fit_quantiser
from eric_fast.quantise.logits import ScaledLogits, scale_logits
from eric_fast.quantise.pack import check_fits, list_norm_comparisons, pack_layer, pack_part, quantise_activations
from eric_fast.quantise.spec import Threshold, parse_threshold, split_threshold
from eric_fast.quantise.splits import find_best_splits
from eric_fast.quantise.sums import ColumnSums

__all__ = [
    "MOST_VALUES",
    "ColumnSums",
    "ScaledLogits",
    "Threshold",
    "check_fits",
    "find_best_splits",
    "fit_quantiser",
    "list_norm_comparisons",
    "pack_layer",
    "pack_part",
    "parse_threshold",
    "quantise_activations",
    "scale_logits",
    "split_threshold",
]
