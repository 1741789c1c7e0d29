"""Chains: what starting lower costs, grown on true and on predicted bits, beside what the bits allow."""

from eric_fast.chains.measure import MIN_LEAVES, Bound, ChainRow, ChainStudy, measure_chains
from eric_fast.chains.plot import draw_chains, save_plot
from eric_fast.chains.tables import list_tables
from eric_fast.plotting import check_plot

__all__ = [
    "MIN_LEAVES",
    "Bound",
    "ChainRow",
    "ChainStudy",
    "check_plot",
    "draw_chains",
    "list_tables",
    "measure_chains",
    "save_plot",
]
