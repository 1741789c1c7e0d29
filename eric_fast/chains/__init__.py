"""Measure what starting a chain lower costs, grown on true and on predicted bits."""

from eric_fast.chains.bounds import Bound
from eric_fast.chains.measure import measure_chains
from eric_fast.chains.study import MIN_LEAVES, ChainRow, ChainStudy

__all__ = [
    "MIN_LEAVES",
    "Bound",
    "ChainRow",
    "ChainStudy",
    "measure_chains",
]
