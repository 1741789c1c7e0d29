"""Explain what a program answers about one row of a table."""
