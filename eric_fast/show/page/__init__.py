"""The report: one HTML file that shows a program, the images it was tried on, and why it answers as it does."""

from eric_fast.show.page.build import Report, build_report, save_report
from eric_fast.show.plots import draw_chain, draw_confusion, draw_kernels

__all__ = ["Report", "build_report", "draw_chain", "draw_confusion", "draw_kernels", "save_report"]
