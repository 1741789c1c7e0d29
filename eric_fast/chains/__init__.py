"""Chains: what starting lower costs, grown on true and on predicted bits, beside what the bits allow."""

from eric_fast.chains.measure import MIN_LEAVES, Bound, ChainRow, ChainStudy, measure_chains

__all__ = [
    "MIN_LEAVES",
    "Bound",
    "ChainRow",
    "ChainStudy",
    "measure_chains",
]
