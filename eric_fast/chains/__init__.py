"""Measure what starting a chain lower costs, grown on true and on predicted bits."""

from eric_fast.chains.bounds import Bound
from eric_fast.chains.measure import MIN_LEAVES, ChainRow, ChainStudy, measure_chains

__all__ = [
    "MIN_LEAVES",
    "Bound",
    "ChainRow",
    "ChainStudy",
    "measure_chains",
]
