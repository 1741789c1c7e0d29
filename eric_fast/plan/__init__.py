"""Plans: a program from one start layer as flat arrays, for kernels; checked, printed and run without an engine."""

from eric_fast.plan.interpret import interpret_steps
from eric_fast.plan.listing import print_plan
from eric_fast.plan.plan import Plan, Sums
from eric_fast.plan.steps import Steps
from eric_fast.plan.verify import check_steps

__all__ = ["Plan", "Steps", "Sums", "check_steps", "interpret_steps", "print_plan"]
