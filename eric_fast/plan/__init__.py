"""Plans: a program from one start layer as flat arrays, for kernels; nothing in it needs names."""

from eric_fast.plan.plan import Plan
from eric_fast.plan.steps import Steps

__all__ = ["Plan", "Steps"]
