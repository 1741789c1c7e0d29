"""`grow` on the GPU: level by level in plain tensors, with the GPU's `count`."""

from eric_fast.kernels.gpu.count import count
from eric_fast.kernels.growth import Forest, GrowControl, GrownSamples, Limits
from eric_fast.kernels.reference.grow import grow_by_level


def grow(samples: GrownSamples, limits: Limits, control: GrowControl) -> Forest:
    """As `reference.grow`, to the node, on the device of the samples."""
    return grow_by_level(samples, limits, control, count)
