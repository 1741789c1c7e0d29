"""Benchmarks and reference tables: `python -m bench CASE`."""
