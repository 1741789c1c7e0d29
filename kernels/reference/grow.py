"""`grow`: what it means, level by level in plain tensors on any device."""

from eric_fast.kernels.growth import Forest, GrowControl, GrownSamples, Limits
from eric_fast.kernels.level_trees import grow_by_level
from eric_fast.kernels.reference.count import count


def grow(samples: GrownSamples, limits: Limits, control: GrowControl) -> Forest:
    """Grow a tree for every target; see `kernels.grow`."""
    return grow_by_level(samples, limits, control, count)
