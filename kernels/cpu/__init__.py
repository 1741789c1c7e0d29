"""The CPU engine: Numba on packed words."""
