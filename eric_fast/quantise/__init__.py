"""Quantise: norms to bits, with one threshold per kernel fitted on training images."""

from eric_fast.quantise.fit import fit_quantiser
from eric_fast.quantise.pack import check_fits, list_comparisons, pack_layer, quantise_activations
from eric_fast.quantise.spec import Threshold, parse_threshold
from eric_fast.quantise.splits import find_best_splits
from eric_fast.quantise.sums import ColumnSums

__all__ = [
    "ColumnSums",
    "Threshold",
    "check_fits",
    "find_best_splits",
    "fit_quantiser",
    "list_comparisons",
    "pack_layer",
    "parse_threshold",
    "quantise_activations",
]
