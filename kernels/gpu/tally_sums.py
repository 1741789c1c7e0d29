"""`tally_sums` on the GPU: in plain tensors."""

from eric_fast.kernels.reference.tally_sums import tally_sums

__all__ = ["tally_sums"]
