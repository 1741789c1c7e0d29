"""Whole runs: from a source to a program, and what a program answers on a source.

Runs read their source part by part, in bounded memory, and several processes can share one. The result is the same for
every kind of source, size of parts and number of processes.
"""

from eric_fast.runs.answer import (
    evaluate_chains,
    evaluate_labels,
    evaluate_program,
    iterate_predictions,
    predict_activations,
    predict_bits,
)
from eric_fast.runs.approximate import approximate_model

__all__ = [
    "approximate_model",
    "evaluate_chains",
    "evaluate_labels",
    "evaluate_program",
    "iterate_predictions",
    "predict_activations",
    "predict_bits",
]
