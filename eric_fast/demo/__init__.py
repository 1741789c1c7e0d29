"""The demo: a small CNN on scikit-learn's handwritten digits, from training to a report."""

from eric_fast.demo.run import PAGE_FOLDER, WEIGHTS, DemoResult, one_thread, run_demo, train_digits

__all__ = ["PAGE_FOLDER", "WEIGHTS", "DemoResult", "one_thread", "run_demo", "train_digits"]
