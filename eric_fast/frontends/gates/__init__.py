"""Circuits and networks of gates."""
