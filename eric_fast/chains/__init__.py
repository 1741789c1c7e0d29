"""Chains: what starting lower costs, grown on true and on predicted bits, beside what the bits allow."""

from eric_fast.chains.measure import Bound, ChainRow, ChainStudy, measure_chains
from eric_fast.chains.plot import check_plot, draw_chains, save_plot
from eric_fast.chains.tables import tabulate_fidelity, tabulate_kernels, tabulate_sizes, tabulate_sweep

__all__ = [
    "Bound",
    "ChainRow",
    "ChainStudy",
    "check_plot",
    "draw_chains",
    "measure_chains",
    "save_plot",
    "tabulate_fidelity",
    "tabulate_kernels",
    "tabulate_sizes",
    "tabulate_sweep",
]
