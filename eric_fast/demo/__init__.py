"""The demo: a small CNN on scikit-learn's handwritten digits, from training to a report."""
